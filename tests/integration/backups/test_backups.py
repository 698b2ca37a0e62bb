"""Backups of a real, durable server: made, destroyed, restored elsewhere, compared."""

from __future__ import annotations

import json
import shutil
import tarfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from recant.backups import Backup, Backups
from recant.backups.programs import BackupFailed
from recant.errors import RecantError, Refused, UsageError, VerificationFailed
from recant.installation import dsn_for
from recant.installation.databases import prepare_knowledge
from recant.installation.dsn import embedded_postgres
from recant.installation.home import Home
from recant.installation.postgres import EmbeddedPostgres
from recant.monitoring import Health
from recant.monitoring.health import values
from recant.rollback import verify_log
from recant.settings import Settings, read_settings
from recant.store import Database, connect_once
from tests.integration.search.search_library import Library, Part, sign_vector

QUESTIONS = [sign_vector(np.random.default_rng(n)) for n in range(5)]


@pytest.fixture(scope="module")
def new_home(reachable_folder: Path) -> Iterator[Callable[[], Settings]]:
    """Settings of an installation that has nothing yet; whatever runs there afterwards is stopped."""
    made: list[Settings] = []

    def make() -> Settings:
        folder = reachable_folder / f"home-{uuid.uuid4().hex[:8]}"
        made.append(read_settings({"RECANT_HOME": str(folder)}))
        return made[-1]

    yield make
    for settings in made:
        embedded_postgres(settings).stop()
        shutil.rmtree(settings.home, ignore_errors=True)


def start(settings: Settings) -> EmbeddedPostgres:
    """The installation's server, with the schema."""
    Home(settings.home).prepare()
    postgres = embedded_postgres(settings)
    postgres.start()
    prepare_knowledge(postgres, settings.init_scripts)
    return postgres


def fill(settings: Settings) -> None:
    """Two operations, a rollback of the first, an open one, and an index."""
    random = np.random.default_rng(1)
    with Database(dsn_for(settings)) as database:
        library = Library(database)
        first = library.publish({f"a{n}": [Part(f"a {n}", sign_vector(random))] for n in range(10)})
        library.publish({f"b{n}": [Part(f"b {n}", sign_vector(random))] for n in range(10)})
        library.control("rollback", {first: False})
        library.build_index()
        library.write(library.open(session="mine"), {"draft": [Part("draft", QUESTIONS[0])]})


def answers(settings: Settings) -> list[object]:
    """What searches give, now, in a session and in the past, with the log's digest."""
    with Database(dsn_for(settings)) as database:
        library = Library(database)
        found = [
            [hit.to_dict() for hit in library.search(question, **options).hits]
            for question in QUESTIONS
            for options in ({}, {"session": "mine"}, {"as_of": 2})
        ]
        report = verify_log(database)
        assert report.ok, report.checks
        return [found, report.position, report.digest]


@pytest.fixture(scope="module")
def source(new_home: Callable[[], Settings]) -> Settings:
    """A filled installation that runs."""
    settings = new_home()
    start(settings)
    fill(settings)
    return settings


@pytest.mark.parametrize("kind", ["logical", "physical"])
def test_what_was_destroyed_comes_back(new_home: Callable[[], Settings], kind: str, reachable_folder: Path) -> None:
    """Made, destroyed, restored into a fresh home: `recant verify` passes, searches give the same, writing goes on."""
    old, place = new_home(), reachable_folder / f"backups-{uuid.uuid4().hex[:8]}"
    postgres = start(old)
    fill(old)
    backup = Backups(old).create(kind, to=place)
    before = answers(old)
    assert (backup.position, backup.kind, backup.folder and backup.folder.parent) == (3, kind, place)
    assert values(Health(Database(dsn_for(old)), old).metrics())[f'recant_backup_age_seconds{{kind="{kind}"}}'] < 3600
    postgres.stop()
    shutil.rmtree(old.home)

    fresh = new_home()
    (found,) = Backups(fresh).find(place=place)
    Backups(fresh).verify(found)
    restored = Backups(fresh).restore(found)
    assert (restored.position, restored.chain) == (3, backup.chain)
    assert answers(fresh) == before
    with Database(dsn_for(fresh)) as database:
        library = Library(database)
        library.publish({"after": [Part("after", QUESTIONS[0])]})
        library.control("rollback", {2: False})
        index = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'recant.embedding_vector_1'::regclass"
        with database.transaction() as connection:
            assert connection.execute(index).fetchone() == {"indisvalid": True}
    with pytest.raises(Refused):
        Backups(fresh).restore(found)
    start(fresh)
    shutil.rmtree(place)


def test_archived_wal_brings_a_backup_forward(new_home: Callable[[], Settings], reachable_folder: Path) -> None:
    """To a time between two writes: the first is there, the second isn't."""
    settings, folder = new_home(), reachable_folder / f"wal-{uuid.uuid4().hex[:8]}"
    postgres = start(settings)
    fill(settings)
    folder.mkdir()
    folder.chmod(0o777)
    archive = folder / "archive"
    with connect_once(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET archive_mode = 'on'")
        command = f"mkdir -p {archive} && cp %p {archive}/%f && chmod -R a+rX {archive}"
        connection.execute(f"ALTER SYSTEM SET archive_command = '{command}'")
    postgres.stop()
    postgres.start()
    backup = Backups(settings).create("physical", to=folder / "backups")
    with Database(dsn_for(settings)) as database:
        Library(database).publish({"wanted": [Part("wanted", QUESTIONS[0])]})
        moment = datetime.now(UTC)
        Library(database).publish({"unwanted": [Part("unwanted", QUESTIONS[0])]})
    with connect_once(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_switch_wal()")
    postgres.stop()
    shutil.rmtree(settings.home)

    to_a_time, to_the_end = new_home(), new_home()
    restored = Backups(to_a_time).restore(backup, wal_archive=archive, until=moment.isoformat())
    assert restored.position == 4
    with Database(dsn_for(to_a_time)) as database:
        assert Library(database).search(QUESTIONS[0]).hits[0].text == "wanted"
        Library(database).publish({"more": [Part("more", QUESTIONS[0])]})
        assert verify_log(database).ok
    assert Backups(to_the_end).restore(backup, wal_archive=archive).position == 5
    with connect_once(dsn_for(to_a_time, "admin")) as connection:
        assert connection.execute("SHOW archive_mode").fetchone() == {"archive_mode": "off"}
    assert "restore_command" not in (to_a_time.home / "postgres" / "postgresql.auto.conf").read_text()


def test_a_login_without_rights_makes_a_logical_backup(
    database: str, empty_database: str, tmp_path: Path, source: Settings
) -> None:
    """What DAGs and the command line act as may read all that is in one; it is restored into an empty database."""
    with connect_once(database, autocommit=True) as connection:
        connection.execute(
            "DO $$ BEGIN CREATE ROLE backup_tester LOGIN PASSWORD 'x'; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        connection.execute("GRANT recant_worker TO backup_tester")
    plain = database.replace(database.split("//")[1].split("@")[0], "backup_tester:x")
    with Database(database) as db:
        Library(db).publish({"a": [Part("a", QUESTIONS[0])]})
    settings = read_settings({"RECANT_HOME": str(tmp_path), "RECANT_DSN": plain})
    backup = Backups(settings).create(to=tmp_path / "here")
    assert {role["name"] for role in backup.roles} >= {"recant_owner", "recant_worker"}
    into = read_settings({"RECANT_HOME": str(tmp_path), "RECANT_DSN": empty_database})
    assert Backups(into).restore(backup).position == 1
    with Database(empty_database) as db:
        assert [hit.text for hit in Library(db).search(QUESTIONS[0]).hits] == ["a"]
        assert verify_log(db).ok
    with pytest.raises(Refused, match="already"):
        Backups(into).restore(backup)


def test_a_schema_without_anything_in_it_is_no_hindrance(
    source: Settings, new_home: Callable[[], Settings], tmp_path: Path
) -> None:
    """`recant up` in the new place may have come first."""
    backup = Backups(source).create(to=tmp_path)
    fresh = new_home()
    start(fresh)
    assert Backups(fresh).restore(backup).position == backup.position
    assert answers(fresh) == answers(source)


def test_damage_is_found_before_anything_is_changed(
    source: Settings, new_home: Callable[[], Settings], tmp_path: Path
) -> None:
    """A changed byte, a missing file, a log that isn't what was noted."""
    backups, fresh = Backups(source), new_home()
    logical, physical = backups.create(to=tmp_path), backups.create("physical", to=tmp_path)
    backups.verify(logical)
    backups.verify(physical)
    for backup, name in (logical, "knowledge.dump"), (physical, "base.tar.gz"):
        assert backup.folder is not None
        path = backup.folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-100] + bytes(100))
        for act in (backups.verify, Backups(fresh).restore):
            with pytest.raises(VerificationFailed, match="damaged"):
                act(backup)
        path.write_bytes(whole)
        path.rename(path.with_suffix(".away"))
        with pytest.raises(VerificationFailed, match="missing"):
            backups.verify(backup)
        path.with_suffix(".away").rename(path)
    assert not (fresh.home / "postgres").exists()
    assert logical.folder is not None
    manifest = json.loads((logical.folder / "manifest.json").read_text())
    (logical.folder / "manifest.json").write_text(json.dumps(manifest | {"chain": "00"}))
    with pytest.raises(VerificationFailed, match="another chain"):
        Backups(fresh).restore(Backups(fresh).get(str(logical.folder)))
    (logical.folder / "manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    with pytest.raises(UsageError, match="newer"):
        Backups(fresh).get(str(logical.folder))


def test_a_tampered_archive_can_not_leave_its_folder(
    source: Settings, new_home: Callable[[], Settings], tmp_path: Path
) -> None:
    """A path that leads outside is refused, and nothing stays behind."""
    from recant.backups.manifest import describe_files

    backup = Backups(source).create("physical", to=tmp_path)
    assert backup.folder is not None
    evil = tmp_path / "evil"
    evil.write_text("evil")
    with tarfile.open(backup.folder / "base.tar.gz", "w:gz") as archive:
        archive.add(evil, "../../evil")
    changed = Backup(
        **{f: getattr(backup, f) for f in Backup.__dataclass_fields__} | {"files": describe_files(backup.folder)}
    )
    fresh = new_home()
    with pytest.raises((tarfile.TarError, RecantError)):
        Backups(fresh).restore(changed)
    with pytest.raises(VerificationFailed, match="missing"):
        Backups(fresh).verify(changed)
    assert not (fresh.home / "postgres").exists()
    assert not (fresh.home.parent / "evil").exists()


def test_what_is_no_backup(source: Settings, tmp_path: Path) -> None:
    """Names, kinds, places and options that mean nothing; what was interrupted is passed over."""
    backups = Backups(source)
    (tmp_path / ".20260101-logical.new").mkdir()
    (tmp_path / "other").mkdir()
    assert backups.find(place=tmp_path) == backups.find(place=tmp_path / "none") == []
    with pytest.raises(UsageError, match="no backup"):
        backups.get("nosuch")
    with pytest.raises(UsageError, match="one of"):
        backups.create("magic", to=tmp_path)
    with pytest.raises(UsageError, match="at least one"):
        backups.prune(0, kind="logical")
    backup = backups.create(to=tmp_path)
    with pytest.raises(UsageError, match="Only a physical"):
        backups.restore(backup, until="2026-11-21")
    foreign = read_settings({"RECANT_DSN": "postgresql://nobody@127.0.0.1:1/none", "RECANT_HOME": str(tmp_path / "h")})
    with pytest.raises(UsageError, match="embedded server"):
        Backups(foreign).create("physical", to=tmp_path)


def test_a_failure_leaves_nothing_that_looks_like_a_backup(
    source: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the draft."""

    def fail(*_: object) -> str:
        raise BackupFailed("pg_dump failed")

    monkeypatch.setattr("recant.backups.creation.run", fail)
    with pytest.raises(BackupFailed):
        Backups(source).create(to=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_old_ones_are_dropped(source: Settings, tmp_path: Path) -> None:
    """All but the newest of their kind; `latest` is the newest in the usual place."""
    backups = Backups(source)
    made = [backups.create(to=tmp_path).name for _ in range(3)]
    assert [b.name for b in backups.find(place=tmp_path)] == made[::-1]
    assert backups.prune(1, kind="physical", place=tmp_path) == []
    assert backups.prune(1, kind="logical", place=tmp_path) == [made[1], made[0]]
    assert [b.name for b in backups.find(place=tmp_path)] == [made[2]]
    with pytest.raises(UsageError, match="no backup in"):
        backups.get("latest")
    usual = backups.create()
    assert backups.get("latest").name == backups.get(usual.name).name == usual.name
    assert usual.folder is not None
    assert usual.folder.stat().st_mode & 0o777 == 0o700
