"""Two roads lead to one database: the Postgres image's first boot, and `recant up`.

The image can't run here, so its road is walked by hand on an embedded server: the SQL files in the order of their names,
through psql as the image's entrypoint calls it, and then the script with the variables that the compose file sets.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from recant.installation.databases import prepare_knowledge, prepare_metadata
from recant.installation.postgres import EmbeddedPostgres, binaries
from recant.oplog import Attribution, OperationLog
from recant.settings import read_settings
from recant.store import Database, migrate, pending_migrations

SCRIPTS = read_settings({}).init_scripts
SCRIPT = SCRIPTS / "9000_first_boot.sh"
PASSWORDS = {
    "RECANT_APP_PASSWORD": "secret-of-the-app",
    "AIRFLOW_DB_PASSWORD": "secret-of-airflow",
    "MARQUEZ_DB_PASSWORD": 'it\'s a "secret" of marquez \\ $HOME',
}


@dataclass(frozen=True)
class Image:
    """An embedded server in the state in which the image starts its initialisation."""

    server: EmbeddedPostgres

    def environment(self, **more: str) -> dict[str, str]:
        """What the entrypoint and the script see."""
        path = f"{binaries()}:{os.environ['PATH']}"
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(self.server.port), "PGPASSWORD": self.server.password()}
        return {"PATH": path, "POSTGRES_USER": "postgres", "POSTGRES_DB": "recant", **where, **more}

    def run(self, *command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.environment(**more), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )

    def process_sql(self, file: Path) -> None:
        """The entrypoint's `docker_process_sql -f FILE`."""
        arguments = ["-v", "ON_ERROR_STOP=1", "--username", "postgres", "--no-password", "--no-psqlrc"]
        done = self.run("psql", *arguments, "--dbname", "recant", "-f", file)
        assert done.returncode == 0, done.stderr

    def first_boot(self, script: Path = SCRIPT, **more: str) -> subprocess.CompletedProcess[str]:
        return self.run(script, **(PASSWORDS | more))

    def dsn(self, role: str, password: str, database: str) -> str:
        return psycopg.conninfo.make_conninfo(
            host="127.0.0.1", port=self.server.port, user=role, password=password, dbname=database, connect_timeout=5
        )


@contextmanager
def own_server() -> Iterator[EmbeddedPostgres]:
    """A server with roles of its own, not under pytest's folder: another session would close that to PostgreSQL's user."""
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


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """After the first boot, with every statement in the server's log."""
    with own_server() as server:
        image = Image(server)
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET log_statement = 'all'")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("CREATE DATABASE recant")
        for file in sorted(SCRIPTS.glob("*.sql")):
            image.process_sql(file)
        done = image.first_boot()
        assert done.returncode == 0, done.stderr
        yield image


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedPostgres]:
    """What `recant up` prepares."""
    with own_server() as server:
        prepare_knowledge(server, SCRIPTS)
        prepare_metadata(server)
        yield server


def dump(server: EmbeddedPostgres, program: str, *arguments: str, database: str = "recant") -> list[str]:
    """What a dump program prints, without the lines that are random or say nothing."""
    environment = {"PATH": str(binaries()), "PGPASSWORD": server.password()}
    where = ["--host=127.0.0.1", f"--port={server.port}", "--username=postgres"]
    command = [str(binaries() / program), *where, *arguments, *([database] if program == "pg_dump" else [])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [
        line for line in done.stdout.splitlines() if line and not line.startswith(("--", "\\restrict", "\\unrestrict"))
    ]


def test_both_roads_give_the_same_schema(image: Image, embedded: EmbeddedPostgres) -> None:
    """Tables, functions, triggers, owners, grants and comments are equal, and so are the database's own grants."""
    first_boot = dump(image.server, "pg_dump", "--schema-only", "--create")
    assert first_boot == dump(embedded, "pg_dump", "--schema-only", "--create")
    assert any("CREATE TABLE recant.operation " in line for line in first_boot)


def test_both_roads_give_the_same_roles(image: Image, embedded: EmbeddedPostgres) -> None:
    """Roles and memberships are equal; Marquez' login is the only one more."""
    roles = [
        [line for line in dump(server, "pg_dumpall", "--roles-only", "--no-role-passwords") if "marquez" not in line]
        for server in (image.server, embedded)
    ]
    assert roles[0] == roles[1]
    assert any(line.startswith("GRANT recant_worker TO recant_app") for line in roles[0])


def test_both_roads_give_airflow_the_same_database(image: Image, embedded: EmbeddedPostgres) -> None:
    """It belongs to its login, and nobody else may connect."""
    databases = [dump(s, "pg_dump", "--schema-only", "--create", database="airflow") for s in (image.server, embedded)]
    assert databases[0] == databases[1]
    assert any(line.startswith("REVOKE CONNECT,TEMPORARY ON DATABASE airflow FROM PUBLIC") for line in databases[0])


def test_migrate_finds_nothing_to_do_after_the_first_boot(image: Image) -> None:
    """The script has recorded every SQL file with the checksum that `recant migrate` compares."""
    admin = image.server.dsn("recant")
    assert pending_migrations(admin, SCRIPTS) == []
    assert migrate(admin, SCRIPTS) == []


def test_a_file_added_later_is_left_to_migrate(image: Image, tmp_path: Path) -> None:
    """Run again beside a newer SQL file, the script doesn't record as applied what nobody has applied."""
    shutil.copytree(SCRIPTS, tmp_path / "init-scripts")
    later = tmp_path / "init-scripts" / "7777_later.sql"
    later.write_text("CREATE TABLE recant.later ();")
    assert image.first_boot(tmp_path / "init-scripts" / SCRIPT.name).returncode == 0
    assert pending_migrations(image.server.dsn("recant"), later.parent) == [later.name]


def test_the_application_writes_with_its_own_login(image: Image) -> None:
    """recant_app logs in with the password given, and opens an operation."""
    with Database(image.dsn("recant_app", PASSWORDS["RECANT_APP_PASSWORD"], "recant")) as database:
        assert OperationLog(database).open("ingest", Attribution("alice")) >= 1


@pytest.mark.parametrize("role", ["airflow", "marquez"])
def test_a_neighbour_owns_its_database_and_reaches_no_other(image: Image, role: str) -> None:
    """Airflow and Marquez make their own tables, and can't connect to the knowledge."""
    password = PASSWORDS[f"{role.upper()}_DB_PASSWORD"]
    with psycopg.connect(image.dsn(role, password, role)) as connection:
        connection.execute("CREATE TABLE its_own (id integer)")
        connection.rollback()
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(image.dsn(role, password, "recant"))


def test_no_password_reaches_the_server_or_its_log(image: Image) -> None:
    """With every statement logged, the log holds SCRAM verifiers only."""
    log = image.server.log_file.read_text("utf-8")
    assert "SCRAM-SHA-256$" in log
    for password in PASSWORDS.values():
        assert password not in log
        assert psycopg.sql.Literal(password).as_string(None).strip(" E'") not in log


def test_no_password_is_an_argument_or_printed(image: Image, tmp_path: Path) -> None:
    """What psql is called with, which every user of the machine can list, and what the script prints is free of them."""
    recorder = tmp_path / "psql"
    recorder.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" >> "{tmp_path}/arguments"\nexec "{binaries()}/psql" "$@"\n')
    recorder.chmod(0o755)
    done = image.first_boot(PATH=f"{tmp_path}:{image.environment()['PATH']}")
    seen = (tmp_path / "arguments").read_text() + done.stdout + done.stderr
    assert "\\password recant_app" in seen
    assert not [password for password in PASSWORDS.values() if password in seen]


def test_running_it_again_sets_the_passwords_anew(image: Image, tmp_path: Path) -> None:
    """A password may come from a file; what was there stays, and the old password stops working."""
    file = tmp_path / "password"
    file.write_text("another secret\n")
    before = dump(image.server, "pg_dump", "--schema-only", "--create")
    done = image.first_boot(RECANT_APP_PASSWORD="", RECANT_APP_PASSWORD_FILE=str(file))
    assert done.returncode == 0, done.stderr
    psycopg.connect(image.dsn("recant_app", "another secret", "recant")).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(image.dsn("recant_app", PASSWORDS["RECANT_APP_PASSWORD"], "recant"))
    assert dump(image.server, "pg_dump", "--schema-only", "--create") == before
    assert image.first_boot().returncode == 0


def test_a_missing_password_is_named(image: Image) -> None:
    """The container's initialisation fails then, and says which variable to set."""
    done = image.first_boot(AIRFLOW_DB_PASSWORD="")
    assert done.returncode != 0
    assert re.search(r"set AIRFLOW_DB_PASSWORD .* role airflow needs a password", done.stderr)


def test_an_unreadable_password_file_stops_it(image: Image, tmp_path: Path) -> None:
    """A secret that was not mounted is an error, not an empty password."""
    done = image.first_boot(MARQUEZ_DB_PASSWORD="", MARQUEZ_DB_PASSWORD_FILE=str(tmp_path / "missing"))
    assert done.returncode != 0
    assert "missing: No such file" in done.stderr


def test_a_sourced_script_does_the_same(image: Image) -> None:
    """The entrypoint sources a script without its executable bit; options and functions of the entrypoint stay its own."""
    done = image.run("bash", "-c", f'set -Eeo pipefail; . "{SCRIPT}"; echo "still here: ${{UNSET}}$-"', **PASSWORDS)
    assert done.returncode == 0, done.stderr
    assert re.search(r"still here: \w*", done.stdout)
    assert "u" not in done.stdout.split("still here: ")[1]
