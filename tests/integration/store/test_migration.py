"""Migrations: applied once each, in order, remembered by checksum, refused when the past was rewritten."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from recant.errors import (
    AuthenticationFailed,
    ConfigurationError,
    DatabaseUnreachable,
    MigrationChanged,
    RecantError,
    SchemaOutdated,
)
from recant.installation.postgres import EmbeddedPostgres
from recant.oplog import Attribution, OperationLog
from recant.settings import read_settings
from recant.store import Database, migrate, pending_migrations
from recant.store.migration import migrations

SCRIPTS = read_settings({}).init_scripts
NAMES = [m.name for m in migrations(SCRIPTS)]
PASSWORD = "not-the-password-3f9c"


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A copy of the SQL files, to be changed."""
    return Path(shutil.copytree(SCRIPTS, tmp_path / "init scripts", ignore=shutil.ignore_patterns("*.sh")))


@pytest.fixture
def own_server() -> Iterator[EmbeddedPostgres]:
    """A server on which nobody has made our roles yet."""
    with TemporaryDirectory(prefix="recant-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        server = EmbeddedPostgres(
            folder / "data", secrets_dir=folder / "secrets", log_file=folder / "postgres.log", durable=False
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()


def fetch(dsn: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


def recorded(dsn: str) -> list[object]:
    return [name for (name,) in fetch(dsn, "SELECT name FROM recant.schema_migration ORDER BY name")]


def test_an_empty_database_gets_every_file_in_order(empty_database: str) -> None:
    """They are pending before, reported as applied, and recorded with their checksums."""
    assert pending_migrations(empty_database, SCRIPTS) == NAMES
    assert migrate(empty_database, SCRIPTS) == NAMES
    assert recorded(empty_database) == NAMES
    hashes = dict(fetch(empty_database, "SELECT name, sha256 FROM recant.schema_migration"))
    assert hashes == {m.name: m.sha256 for m in migrations(SCRIPTS)}


def test_migrating_twice_does_nothing_the_second_time(empty_database: str) -> None:
    """Nothing is applied again, and when a file was applied stays what it was."""
    migrate(empty_database, SCRIPTS)
    before = fetch(empty_database, "SELECT * FROM recant.schema_migration ORDER BY name")
    assert migrate(empty_database, SCRIPTS) == []
    assert pending_migrations(empty_database, SCRIPTS) == []
    assert fetch(empty_database, "SELECT * FROM recant.schema_migration ORDER BY name") == before


def test_a_new_file_is_applied_alone(database: str, scripts: Path) -> None:
    """On a database that has the others, only what is missing runs, and data that is there stays."""
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO recant.embedding_space (model, digest, dimensions) VALUES ('m', 'd', 4)")
    (scripts / "0900_later.sql").write_text("CREATE TABLE recant.later (id integer);")
    assert pending_migrations(database, scripts) == ["0900_later.sql"]
    assert migrate(database, scripts) == ["0900_later.sql"]
    assert fetch(database, "SELECT model FROM recant.embedding_space") == [("m",)]
    assert fetch(database, "SELECT * FROM recant.later") == []


def test_a_changed_applied_file_is_refused_by_name(database: str, scripts: Path) -> None:
    """A comment is change enough, and a later file that is fine isn't applied either."""
    changed = scripts / NAMES[2]
    changed.write_text(changed.read_text("utf-8") + "-- one more word\n", "utf-8")
    (scripts / "0900_later.sql").write_text("CREATE TABLE recant.later (id integer);")
    for act in (migrate, pending_migrations):
        with pytest.raises(MigrationChanged, match=f"{NAMES[2]} was changed after it had been applied"):
            act(database, scripts)
    assert fetch(database, "SELECT to_regclass('recant.later')") == [(None,)]


def test_a_newer_database_is_left_alone(database: str, scripts: Path) -> None:
    """A file that this code doesn't know was applied: the message names it, and says to install the newer version."""
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO recant.schema_migration (name, sha256) VALUES ('0999_future.sql', 'x')")
    for act in (migrate, pending_migrations):
        with pytest.raises(SchemaOutdated, match=r"newer Recant \(0999_future.sql\)"):
            act(database, scripts)


def test_a_failing_file_leaves_the_earlier_ones_applied_and_itself_not(empty_database: str, scripts: Path) -> None:
    """What it did before its error is undone with it; once mended, migrating goes on from there."""
    broken = scripts / "0800_broken.sql"
    broken.write_text("CREATE TABLE recant.half (id integer);\nSELECT 1 / 0;\n")
    (scripts / "0900_later.sql").write_text("CREATE TABLE recant.later (id integer);")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_database, scripts)
    assert recorded(empty_database) == NAMES
    assert fetch(empty_database, "SELECT to_regclass('recant.half'), to_regclass('recant.later')") == [(None, None)]
    broken.write_text("CREATE TABLE recant.half (id integer);\n")
    assert migrate(empty_database, scripts) == ["0800_broken.sql", "0900_later.sql"]


def test_of_two_migrators_at_once_one_does_each_file(empty_database: str) -> None:
    """The second waits for the first, and finds everything done."""
    start = Barrier(2)

    def run() -> list[str]:
        start.wait()
        return migrate(empty_database, SCRIPTS)

    with ThreadPoolExecutor(2) as pool:
        results = [future.result() for future in [pool.submit(run), pool.submit(run)]]
    assert sorted(results) == [[], NAMES]
    assert recorded(empty_database) == NAMES


def test_a_folder_without_sql_files_is_refused(empty_database: str, tmp_path: Path) -> None:
    """A wrong RECANT_PROJECT is named as the likely reason; the database isn't touched."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigurationError, match="RECANT_PROJECT"):
            migrate(empty_database, folder)
    assert fetch(empty_database, "SELECT to_regnamespace('recant')") == [(None,)]


def test_two_files_of_one_number_are_refused(empty_database: str, scripts: Path) -> None:
    """Their order would be an accident."""
    (scripts / f"{NAMES[0][:4]}_again.sql").write_text("SELECT 1;")
    with pytest.raises(ConfigurationError, match="each number once"):
        migrate(empty_database, scripts)


def test_a_wrong_password_is_told_apart(empty_database: str) -> None:
    """The login was refused: trying again can't help."""
    with pytest.raises(AuthenticationFailed, match="refused the user or the password"):
        migrate(make_conninfo(empty_database, password=PASSWORD), SCRIPTS)


def test_nothing_listening_is_told_apart(empty_database: str) -> None:
    """The server isn't there: trying again can help, and the message says where it looked."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DatabaseUnreachable, match=f"127.0.0.1:{port} can't be reached"):
        migrate(make_conninfo(empty_database, port=port), SCRIPTS)


def test_a_missing_database_is_a_matter_of_configuration(empty_database: str) -> None:
    """The server is there, the database isn't."""
    with pytest.raises(ConfigurationError, match='"no_such_database" does not exist'):
        migrate(make_conninfo(empty_database, dbname="no_such_database"), SCRIPTS)


@pytest.mark.parametrize(
    "change",
    [{"password": PASSWORD}, {"port": 1, "password": PASSWORD}, {"dbname": "nowhere"}, {"host": "host.invalid", "password": PASSWORD}],
)  # fmt: skip
def test_no_error_shows_a_password(empty_database: str, change: dict[str, object]) -> None:
    """Neither the one that was refused nor the right one, in the message or the details, whatever form the DSN has."""
    dsn = make_conninfo(empty_database, connect_timeout=3, **change)
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    uri = "postgresql://{user}:{password}@{host}:{port}/{dbname}?connect_timeout=3".format(**parts)
    for form in (dsn, uri):
        with pytest.raises(RecantError) as caught:
            migrate(form, SCRIPTS)
        assert str(parts["password"]) not in f"{caught.value} {caught.value.details}"


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://me:{PASSWORD}@[broken/db",
        f"postgresql://me:{PASSWORD}%zz@127.0.0.1/db",
        f"postgresql://me:an@{PASSWORD}@127.0.0.1/db",
        f"postgresql://me:{PASSWORD}/an@127.0.0.1/db",
        f"host=127.0.0.1 password=an {PASSWORD}",
        PASSWORD,
    ],
)
def test_a_dsn_that_can_not_be_understood_is_not_repeated(dsn: str) -> None:
    """An unescaped password splits in the wrong place, and libpq's own message would show a part of it."""
    with pytest.raises(ConfigurationError, match="RECANT_DSN can't be understood: write postgresql://") as caught:
        migrate(dsn, SCRIPTS)
    assert PASSWORD not in str(caught.value)


def test_a_login_without_the_right_is_told_so(postgres: EmbeddedPostgres, empty_database: str) -> None:
    """Migrating with the application's own login isn't a defect of ours: the message names the variable to set."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS nobody_special")
        connection.execute(f"CREATE ROLE nobody_special LOGIN PASSWORD '{PASSWORD}'")
    with pytest.raises(ConfigurationError, match="RECANT_ADMIN_DSN"):
        migrate(make_conninfo(empty_database, user="nobody_special", password=PASSWORD), SCRIPTS)


def test_a_login_that_is_no_superuser_can_migrate(own_server: EmbeddedPostgres) -> None:
    """As docs/how-to/use-your-own-postgres.md says: it may create roles, grants them to itself, and owns the database."""
    with psycopg.connect(own_server.dsn("postgres"), autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE recant_admin LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
        superuser.execute("CREATE DATABASE recant OWNER recant_admin")
    with psycopg.connect(own_server.dsn("recant"), autocommit=True) as superuser:
        superuser.execute("CREATE EXTENSION vector")
    admin = make_conninfo(own_server.dsn("recant"), user="recant_admin", password=PASSWORD)
    assert migrate(admin, SCRIPTS) == NAMES
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE recant_app LOGIN PASSWORD '{PASSWORD}' IN ROLE recant_worker")
    app = make_conninfo(admin, user="recant_app")
    assert pending_migrations(app, SCRIPTS) == []
    with Database(app) as database:
        assert OperationLog(database).open("ingest", Attribution("alice")) == 1


def test_a_database_without_the_schema_says_migrate(empty_database: str) -> None:
    """What a user sees who forgot: not the driver's words."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    with (
        Database(empty_database) as fresh,
        pytest.raises(RecantError, match="recant migrate"),
        fresh.transaction() as c,
    ):
        c.execute("SELECT * FROM operation")
