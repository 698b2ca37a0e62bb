"""Making a backup: in a draft folder that is renamed once it is whole, so that what was interrupted never looks like one."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from recant.backups.manifest import Backup, describe_files
from recant.backups.programs import run
from recant.errors import UsageError
from recant.installation import dsn_for
from recant.installation.dsn import embedded_postgres
from recant.installation.secrets import private_folder
from recant.settings import Settings
from recant.store import Connection, connect_once, load, program_environment

KINDS = ("logical", "physical")
DUMP = "knowledge.dump"
_SQL = load(__package__, "backups.sql")


def create_backup(settings: Settings, place: Path, kind: str) -> Backup:
    """A backup of that kind in a new folder under `place`. Raises UsageError, BackupFailed, OutOfSpace."""
    if kind not in KINDS:
        raise UsageError(f"{kind!r}: a backup is one of {', '.join(KINDS)}.")
    if kind == "physical" and settings.dsn is not None:
        raise UsageError("A physical backup is of the embedded server; of your own server make one with its own means.")
    taken, started = datetime.now(UTC), time.monotonic()
    name = f"{taken:%Y%m%dT%H%M%S%fZ}-{kind}"
    with _draft(place, name) as draft:
        about = (_dump if kind == "logical" else _copy)(settings, draft)
        backup = Backup(
            name=name,
            kind=kind,
            taken_at=taken,
            seconds=round(time.monotonic() - started, 3),
            recant_version=metadata.version("recant"),
            files=describe_files(draft),
            folder=place / name,
            **about,
        )
        backup.write(draft)
    return backup


@contextmanager
def _draft(place: Path, name: str) -> Iterator[Path]:
    """A folder that only the owner can enter: a backup holds everything that is known."""
    place.mkdir(parents=True, exist_ok=True)
    draft = private_folder(place / f".{name}.new")
    try:
        yield draft
        draft.replace(place / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _dump(settings: Settings, folder: Path) -> dict[str, Any]:
    """The schema as of one snapshot, the position and chain of which are noted."""
    dsn = dsn_for(settings, "admin")
    with connect_once(dsn) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        about = describe(connection)
        snapshot = connection.execute(_SQL["export_snapshot"]).fetchone()
        assert snapshot is not None
        arguments = ["--format=custom", "--schema=recant", "--no-password", f"--snapshot={snapshot['snapshot']}"]
        run("pg_dump", [*arguments, "--file", folder / DUMP], program_environment(dsn))
    (folder / DUMP).chmod(0o600)
    return about


def _copy(settings: Settings, folder: Path) -> dict[str, Any]:
    """The embedded server's files with the WAL that makes them consistent. What is noted of the log is before the copy."""
    dsn = embedded_postgres(settings).dsn("recant")
    with connect_once(dsn) as connection:
        about = describe(connection)
    arguments = [
        "--format=tar",
        "--gzip",
        "--wal-method=stream",
        "--manifest-checksums=SHA256",
        "--checkpoint=fast",
        "--no-password",
        "--pgdata",
    ]
    run("pg_basebackup", [*arguments, folder], program_environment(dsn))
    for path in folder.iterdir():
        path.chmod(0o600)
    ranges = json.loads((folder / "backup_manifest").read_text("utf-8"))["WAL-Ranges"]
    wal = {"timeline": ranges[0]["Timeline"], "start_lsn": ranges[0]["Start-LSN"], "end_lsn": ranges[-1]["End-LSN"]}
    return about | {"wal": wal}


def describe(connection: Connection) -> dict[str, Any]:
    """Position, chain, migrations, PostgreSQL's version and our roles."""
    row = connection.execute(_SQL["describe_log"]).fetchone()
    assert row is not None
    return dict(row) | {"roles": [dict(role) for role in connection.execute(_SQL["find_roles"])]}
