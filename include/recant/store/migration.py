"""What the database is: the numbered SQL files of init-scripts/, applied once each and remembered with their checksums.

The Postgres image applies the same files on its first boot; both roads give the same schema.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

from recant.errors import ConfigurationError, MigrationChanged, SchemaOutdated
from recant.store.database import Connection, connect_once
from recant.store.failures import translated

_LOCK = 7241168


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered SQL file."""

    name: str
    sql: LiteralString
    sha256: str


def migrations(scripts: Path) -> list[Migration]:
    """The SQL files in order. Raises ConfigurationError when there are none or two share a number."""
    found = [_read(path) for path in sorted(scripts.glob("[0-9][0-9][0-9][0-9]_*.sql"))]
    numbers = [m.name[:4] for m in found]
    if not found or len(set(numbers)) != len(numbers):
        raise ConfigurationError(
            f"{scripts} must hold SQL files numbered 0001_…, 0002_…, each number once (RECANT_PROJECT names their project)"
        )
    return found


def migrate(dsn: str, scripts: Path) -> list[str]:
    """Applies what is missing, one transaction a file, and returns the names. Needs a role that may create roles.

    Raises MigrationChanged when an applied file was changed, SchemaOutdated when the database is newer than this code.
    """
    wanted = migrations(scripts)
    with translated(), connect_once(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        missing = _missing(connection, wanted)
        for migration in missing:
            _apply(connection, migration)
    return [m.name for m in missing]


def pending_migrations(dsn: str, scripts: Path) -> list[str]:
    """Names of the files that `migrate` would apply; the same errors."""
    with translated(), connect_once(dsn, autocommit=True) as connection:
        return [m.name for m in _missing(connection, migrations(scripts))]


def _read(path: Path) -> Migration:
    data = path.read_bytes()
    return Migration(path.name, data.decode("utf-8"), hashlib.sha256(data).hexdigest())


def _missing(connection: Connection, wanted: list[Migration]) -> list[Migration]:
    applied = _applied(connection)
    unknown = sorted(applied.keys() - {m.name for m in wanted})
    if unknown:
        raise SchemaOutdated(
            f"The database was migrated by a newer Recant ({', '.join(unknown)}): install that version or a later one."
        )
    for migration in wanted:
        if applied.get(migration.name, migration.sha256) != migration.sha256:
            raise MigrationChanged(
                f"{migration.name} was changed after it had been applied: put the released file back and make the change in a new one."
            )
    return [m for m in wanted if m.name not in applied]


def _applied(connection: Connection) -> dict[str, str]:
    there = connection.execute("SELECT to_regclass('recant.schema_migration') IS NOT NULL AS there").fetchone()
    if not there or not there["there"]:
        return {}
    return {r["name"]: r["sha256"] for r in connection.execute("SELECT name, sha256 FROM recant.schema_migration")}


def _apply(connection: Connection, migration: Migration) -> None:
    with connection.transaction():
        connection.execute(migration.sql)
        connection.execute(
            "INSERT INTO recant.schema_migration (name, sha256) VALUES (%s, %s)", [migration.name, migration.sha256]
        )
