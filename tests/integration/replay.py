"""The log told again from its first position, from nothing but positions, verdicts and versions: slow, and nobody's cache.

Offers what is seen at every position, and whether each write was made over what was seen when it was published. Reads no
`visible`, `withheld` or history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from recant.store import Connection, Database

Pair = tuple[int, int]
"""An operation and one of the records it wrote."""


@dataclass(frozen=True)
class Entry:
    """A published operation."""

    id: int
    position: int
    kind: str
    last_wins: bool
    verdicts: dict[int, bool]
    record_verdicts: dict[Pair, bool]
    versions: dict[int, Version]
    """By record."""


@dataclass(frozen=True)
class Version:
    """What an operation says of a document."""

    operation: int
    source: str
    over: int | None
    tombstone: bool
    payload: str
    """kept, erased or reclaimed: by now, whenever it was seen."""
    chunks: tuple[str, ...]

    @property
    def present(self) -> bool:
        """Whether its document is there when it is the head."""
        return not self.tombstone and self.payload == "kept"


@dataclass
class State:
    """What is seen at a position."""

    position: int = 0
    seen: set[int] = field(default_factory=set)
    withheld: set[Pair] = field(default_factory=set)
    heads: dict[int, Version] = field(default_factory=dict)
    """By record, tombstones included."""

    def documents(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """By source: the operation and the chunks."""
        return {v.source: (v.operation, v.chunks) for v in self.heads.values() if v.present}


@dataclass(frozen=True)
class Replay:
    """Every published operation, oldest first, and the versions of open ones."""

    entries: list[Entry]
    opened: dict[int, dict[int, Version]]
    sessions: dict[int, str | None]

    @cached_property
    def by_record(self) -> dict[int, list[tuple[int, Version]]]:
        """Positions and versions of each record, in order."""
        found: dict[int, list[tuple[int, Version]]] = {}
        for entry in self.entries:
            for record, version in entry.versions.items():
                found.setdefault(record, []).append((entry.position, version))
        return found

    def states(self) -> Iterator[tuple[Entry, State, State]]:
        """Each entry with what was seen before and after it. The states are changed as it goes on."""
        state = State()
        for entry in self.entries:
            before = State(state.position, set(state.seen), set(state.withheld), dict(state.heads))
            state.position = entry.position
            if entry.verdicts or entry.record_verdicts:
                state = self.at(entry.position)
            else:
                state.seen.add(entry.id)
                state.heads |= entry.versions
            yield entry, before, state

    def at(self, position: int) -> State:
        """The one rule at both layers, latest first: the last effective word wins."""
        said: dict[int, bool] = {}
        said_of_records: dict[Pair, bool] = {}
        state = State(position)
        for entry in reversed(self.entries[:position]):
            if said.get(entry.id, True):
                state.seen.add(entry.id)
                said = entry.verdicts | said
                said_of_records = entry.record_verdicts | said_of_records
        state.withheld = {pair for pair, shows in said_of_records.items() if not shows}
        for record, versions in self.by_record.items():
            for at, version in reversed(versions):
                pair = (version.operation, record)
                if at <= position and version.operation in state.seen and pair not in state.withheld:
                    state.heads[record] = version
                    break
        return state

    def view(self, position: int | None = None, session: str | None = None) -> dict[str, tuple[int, tuple[str, ...]]]:
        """Documents seen at a position; now, with a session's own open operations on top."""
        state = self.at(len(self.entries) if position is None else position)
        for operation in sorted(i for i, s in self.sessions.items() if session is not None and s == session):
            state.heads |= self.opened[operation]
        return state.documents()


def replay(database: Database) -> Replay:
    """Reads the log in one snapshot."""
    with database.snapshot() as connection:
        operations = _rows(connection, "SELECT id, position, life, kind, session, last_wins FROM operation")
        versions = _versions(connection)
        verdicts = _grouped(connection, "SELECT control_id, operation_id AS about, shows FROM verdict")
        narrow = "SELECT control_id, operation_id, record_id, shows FROM record_verdict"
        record_verdicts = _grouped(connection, narrow)
    published = sorted((row for row in operations if row["life"] == "published"), key=lambda row: row["position"])
    assert [row["position"] for row in published] == list(range(1, len(published) + 1)), "positions have gaps"
    entries = [
        Entry(
            row["id"],
            row["position"],
            row["kind"],
            row["last_wins"],
            verdicts.get(row["id"], {}),
            record_verdicts.get(row["id"], {}),
            versions.get(row["id"], {}),
        )
        for row in published
    ]
    opened = {row["id"]: row for row in operations if row["life"] == "open"}
    return Replay(entries, {i: versions.get(i, {}) for i in opened}, {i: row["session"] for i, row in opened.items()})


def _versions(connection: Connection) -> dict[int, dict[int, Version]]:
    rows = _rows(
        connection,
        """
        SELECT v.operation_id, v.record_id, r.key, v.over_operation_id, v.tombstone, v.payload::text,
               array_agg(c.text ORDER BY c.index) FILTER (WHERE c.id IS NOT NULL) AS chunks
        FROM version v JOIN record r ON r.id = v.record_id LEFT JOIN chunk c ON c.version_id = v.version_id
        WHERE r.kind = 'document' GROUP BY v.version_id, r.key
        """,
    )
    found: dict[int, dict[int, Version]] = {}
    for row in rows:
        version = Version(
            row["operation_id"],
            row["key"],
            row["over_operation_id"],
            row["tombstone"],
            row["payload"],
            tuple(row["chunks"] or ()),
        )
        found.setdefault(row["operation_id"], {})[row["record_id"]] = version
    return found


def _grouped(connection: Connection, query: str) -> dict[int, dict[Any, bool]]:
    found: dict[int, dict[Any, bool]] = {}
    for row in _rows(connection, query):
        about = row["about"] if "about" in row else (row["operation_id"], row["record_id"])
        found.setdefault(row["control_id"], {})[about] = row["shows"]
    return found


def _rows(connection: Connection, query: str) -> list[dict[str, Any]]:
    return connection.execute(query).fetchall()
