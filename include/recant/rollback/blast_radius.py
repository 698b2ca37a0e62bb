"""What a selection contaminated: operations, agents, sessions, records, datasets, and what would be seen instead."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from recant.rollback.targets import MOST_NAMED, Dependent, Dependents, Flips
from recant.store import Connection, Row, load, numbers_text

_SQL = load(__package__, "rollback.sql")
SAMPLE = 200


@dataclass(frozen=True, slots=True)
class Affected:
    """One operation in a blast radius."""

    operation_id: int
    position: int
    relation: str
    """`selected`, or the class of dependency that leads here: derived, referenced, affirmed, decided, cited; read."""
    certainty: Literal["definite", "possible"]
    """possible: its session was shown what is selected and wrote then, or it was built on what was written so."""
    kind: str
    agent: str
    session: str | None
    run_id: str | None
    collection: str | None
    visible: bool
    """False: it is withdrawn already."""
    via: int | None
    """The operation that it was built on."""
    narrowed_to: tuple[str, ...] = ()
    """The documents of it that are meant; none named: all of it."""
    evidence: tuple[dict[str, Any], ...] = ()
    """Of a read, the first searches that showed it: search_id, agent, query, position, searched_at, source."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What hiding some operations and showing others does to heads."""

    records: dict[str, int]
    """By kind (document, chunk, watermark): seen now from what is hidden."""
    revived: dict[str, int]
    """By kind: seen afterwards and not now."""
    vanishing: dict[str, int]
    """By kind: seen now, and nothing in their place afterwards."""
    sample: list[dict[str, Any]]
    """The first records by name: kind, key, before_operation, after_operation, absent_before, absent_after."""
    digest: str
    """md5 over every record that changes, with the operation whose version is its head afterwards."""


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """Answered from the log at `position`; nothing was changed."""

    position: int
    operations: list[Affected]
    """By position; of many, the first MOST_NAMED that are selected, definite and possible. `counts` has the numbers of all."""
    records: dict[str, int]
    revived: dict[str, int]
    vanishing: dict[str, int]
    sample: list[dict[str, Any]]
    datasets: list[dict[str, str]]
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    """Archives and exports that hold what was selected: artifact_id, kind, path, format, position, collection, state,
    operation_id. They become stale; none of them is a dependent."""

    counts: dict[str, int] = field(default_factory=dict)
    """How many operations are `selected`, how many of the others are `definite` dependents, how many `possible`."""
    agents: list[str] = field(default_factory=list)
    """Whose operations these are, possible ones left out."""
    sessions: list[str] = field(default_factory=list)
    """In which sessions they were made, possible ones left out."""
    possible_agents: list[str] = field(default_factory=list)
    """Of whom only possible dependents are here."""
    possible_sessions: list[str] = field(default_factory=list)
    """In which only possible dependents were made."""
    collections: list[str] = field(default_factory=list)
    """Which collections they wrote, possible ones left out."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready. Made by hand: `asdict` takes most of a large plan's time."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return named | {"operations": [{name: getattr(o, name) for name in o.__slots__} for o in self.operations]}


def changes(connection: Connection, flipped: Flips) -> Changes:
    """Works out which heads would be others. Takes time by the records of what flips; nothing is written."""
    connection.execute(_SQL["drop_changes"])
    for name in ("imagine", "imagine_records", "make_changes"):
        connection.execute(_SQL[name])
    given = {"operations": numbers_text(flipped.operations), "visible": numbers_text(flipped.operations.values())}
    connection.execute(_SQL["fill_imagined"], given)
    pairs = {
        "operations": numbers_text(operation_id for operation_id, _ in flipped.records),
        "records": numbers_text(record_id for _, record_id in flipped.records),
        "visible": numbers_text(flipped.records.values()),
    }
    connection.execute(_SQL["fill_imagined_records"], pairs)
    connection.execute(_SQL["changed_heads"].format(seen_then=_SQL["seen_then"]))
    return summarised(connection)


def summarised(connection: Connection) -> Changes:
    """Of the heads that `changes` has worked out in this transaction."""
    kinds = connection.execute(_SQL["summarise_changes"]).fetchall()
    chunks = connection.execute(_SQL["count_chunks_of_changes"]).fetchone() or {}
    sample = connection.execute(_SQL["sample_changes"], {"limit": SAMPLE}).fetchall()
    digest = connection.execute(_SQL["digest_changes"]).fetchone()
    return Changes(
        records=_by_kind(kinds, "withdrawn") | _some("chunk", chunks.get("withdrawn", 0)),
        revived=_by_kind(kinds, "revived") | _some("chunk", chunks.get("revived", 0)),
        vanishing=_by_kind(kinds, "vanishing"),
        sample=sample,
        digest=digest["digest"] if digest else "",
    )


def affected(
    connection: Connection, selected: Collection[int], dependents: Dependents, narrowed: Mapping[int, list[str]]
) -> dict[str, Any]:
    """The operations, counts and names of a blast radius. `narrowed`: to which documents of it an operation is meant."""
    named = list(selected)
    if len(named) > MOST_NAMED:
        given = {"operations": numbers_text(named), "limit": MOST_NAMED}
        named = [row["id"] for row in connection.execute(_SQL["first_of"], given)]
    entries = [*((number, None) for number in named), *((d.operation_id, d) for d in dependents.named)]
    numbers = {"operations": numbers_text(number for number, _ in entries)}
    rows = {row["id"]: row for row in connection.execute(_SQL["describe_operations"], numbers)}
    found = [_affected(rows[number], dependent, narrowed.get(number, ())) for number, dependent in entries]
    counts = {"selected": len(selected), "definite": len(dependents.definite), "possible": len(dependents.possible)}
    whose = _whose(connection, {*selected, *dependents.definite})
    doubtful = _whose(connection, dependents.possible)
    return {
        "operations": sorted(found, key=lambda entry: entry.position),
        "counts": counts,
        **whose,
        **{f"possible_{name}": sorted({*doubtful[name]} - {*whose[name]}) for name in ("agents", "sessions")},
    }


def _whose(connection: Connection, operations: Collection[int]) -> dict[str, list[str]]:
    """Names of agents, sessions and collections."""
    if not operations:
        return {"agents": [], "sessions": [], "collections": []}
    row = connection.execute(_SQL["whose"], {"operations": numbers_text(operations)}).fetchone()
    return {name: sorted(names) for name, names in (row or {}).items()}


def datasets(connection: Connection, operations: Sequence[int]) -> list[dict[str, str]]:
    """The OpenLineage datasets that these operations read and wrote."""
    return connection.execute(_SQL["datasets_of_operations"], {"operations": numbers_text(operations)}).fetchall()


def _affected(row: Row, dependent: Dependent | None, narrowed_to: Sequence[str]) -> Affected:
    names = ("position", "kind", "agent", "session", "run_id", "collection", "visible")
    return Affected(
        operation_id=row["id"],
        relation=dependent.relation if dependent else "selected",
        certainty=dependent.certainty if dependent else "definite",
        via=dependent.via if dependent else None,
        narrowed_to=dependent.narrowed_to if dependent else tuple(narrowed_to),
        evidence=dependent.evidence if dependent else (),
        **{n: row[n] for n in names},
    )


def _by_kind(rows: Sequence[Row], column: str) -> dict[str, int]:
    return {row["kind"]: row[column] for row in rows if row[column]}


def _some(kind: str, count: int) -> dict[str, int]:
    return {kind: int(count)} if count else {}
