"""Lineage told a second time: by closing over all rows in Python, and from nothing but the OpenLineage events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from recant.lineage.events import render_event
from recant.store import Database, load
from tests.integration.replay import Replay, replay

Edges = set[tuple[int, int]]
"""What was built (first) on what (second)."""


@dataclass
class Ties:
    """What was built on what, and who was shown what before it wrote."""

    edges: Edges
    reads: Edges
    positions: dict[int, int | None]

    def closure(self, start: int, *, upstream: bool, position: int) -> tuple[dict[int, int], dict[int, int]]:
        """Every operation up or down from one, with its hops, by going over all edges again and again.

        First those that need no read, then those to which only ways over one read lead.
        """
        found, hop = {(start, False): 0}, 0
        while True:
            hop += -1 if upstream else 1
            steps = {(a, b, read) if upstream else (b, a, read) for a, b, read in self._all()}
            reached = {
                (b, read or over_a_read)
                for a, b, read in steps
                for over_a_read in (False, True)
                if (a, over_a_read) in found and not (read and over_a_read) and self.is_there(b, position)
            }
            new = reached - found.keys()
            if not new:
                definite = {o: hops for (o, over_a_read), hops in found.items() if not over_a_read}
                return definite, {
                    o: hops for (o, over_a_read), hops in found.items() if over_a_read and o not in definite
                }
            found |= dict.fromkeys(new, hop)

    def _all(self) -> set[tuple[int, int, bool]]:
        return {(*edge, False) for edge in self.edges} | {(*edge, True) for edge in self.reads}

    def is_there(self, operation: int, position: int) -> bool:
        """Whether it was published by then."""
        at = self.positions[operation]
        return at is not None and at <= position


@dataclass
class Log(Ties):
    """All that closures need."""

    replay: Replay
    record_edges: set[tuple[int, int, int, int]]
    """operation, its record or 0, input operation, input record."""
    record_reads: set[tuple[int, int, int]]
    """operation, and which record of which operation it was shown."""

    def below_document(self, starts: Iterable[tuple[int, int]], position: int) -> tuple[set[int], set[int]]:
        """What was made from a document, and what may have been."""
        definite = self._made_from(starts, position)
        shown = {
            (operation, 0)
            for operation, made_from, of in self.record_reads
            if ((made_from, of) in definite or (made_from, 0) in definite) and self.is_there(operation, position)
        }
        sure = {operation for operation, _ in definite}
        return sure, {operation for operation, _ in self._made_from(shown, position)} - sure

    def _made_from(self, starts: Iterable[tuple[int, int]], position: int) -> set[tuple[int, int]]:
        """Pairs of operation and record, record 0 where all of it is meant."""
        found = set(starts)
        while True:
            new = {
                (operation, record)
                for operation, record, made_from, of in self.record_edges
                if ((made_from, of) in found or (made_from, 0) in found) and self.is_there(operation, position)
            } - found
            if not new:
                return found
            found |= new

    def states(self, position: int) -> dict[int, tuple[str, int]]:
        """Of each operation: its state, and how many of its records are withheld."""
        state = self.replay.at(position)
        said: dict[int, str] = {}
        for entry in self.replay.entries[:position]:
            if entry.id in state.seen:
                said |= dict.fromkeys(entry.verdicts, entry.kind)
        withheld = Counter(operation for operation, _ in state.withheld)
        return {
            entry.id: ("published" if entry.id in state.seen else _hidden_by(said[entry.id]), withheld[entry.id])
            for entry in self.replay.entries[:position]
        }


def read_log(database: Database) -> Log:
    """From the tables."""
    with database.snapshot() as connection:
        edges = connection.execute("SELECT DISTINCT operation_id, input_operation_id FROM dependency").fetchall()
        operations = connection.execute("SELECT id, position FROM operation").fetchall()
        records = connection.execute(
            "SELECT d.operation_id AS o, d.class, d.input_operation_id AS i, made.record_id AS r, own.record_id AS own "
            "FROM dependency d JOIN version made ON made.version_id = d.input_version_id "
            "LEFT JOIN version own ON own.version_id = d.version_id"
        ).fetchall()
        shown = connection.execute(
            "SELECT DISTINCT s.operation_id AS o, r.operation_id AS i, r.record_id AS r FROM session_search s "
            "JOIN session_read r ON r.search_id = s.id WHERE s.operation_id <> r.operation_id"
        ).fetchall()
    narrow = {(r["o"], r["own"] or (r["r"] if r["class"] == "affirmed" else 0), r["i"], r["r"]) for r in records}
    pairs = {(row["operation_id"], row["input_operation_id"]) for row in edges}
    return Log(
        pairs,
        {(row["o"], row["i"]) for row in shown},
        {row["id"]: row["position"] for row in operations},
        replay(database),
        narrow,
        {(row["o"], row["i"], row["r"]) for row in shown},
    )


@dataclass
class Told:
    """One run, from its events."""

    job: str
    operation: int
    datasets: set[tuple[str, str, str]]
    life: str = "START"
    position: int | None = None
    verdicts: dict[int, bool] = field(default_factory=dict)
    built_on: set[tuple[int, str]] = field(default_factory=set)
    starts_as_it_ends: bool = True


def tell(events: Iterable[Mapping[str, Any]]) -> dict[int, Told]:
    """Runs by operation, from START and terminal events alone."""
    runs: dict[str, Told] = {}
    for event in events:
        facet = event["run"]["facets"]["recant_operation"]
        datasets = {(side, d["namespace"], d["name"]) for side in ("inputs", "outputs") for d in event[side]}
        known = runs.setdefault(event["run"]["runId"], Told(event["job"]["name"], facet["operation_id"], datasets))
        known.life, known.starts_as_it_ends = event["eventType"], known.datasets == datasets
        known.position = facet.get("position")
        known.verdicts = dict.fromkeys(facet.get("withdrew") or (), False)
        known.verdicts |= dict.fromkeys(facet.get("brought_back") or (), True)
        inputs = event["run"]["facets"].get("recant_dependencies", {"built_on": ()})["built_on"]
        known.built_on |= {(each["operation_id"], each["class"]) for each in inputs}
        assert all(runs[each["run_id"]].operation == each["operation_id"] for each in inputs)
    return {run.operation: run for run in runs.values()}


def ties(runs: Mapping[int, Told]) -> Ties:
    """What was built on what, from the events alone."""
    pairs = {(run.operation, made_from, kind) for run in runs.values() for made_from, kind in run.built_on}
    return Ties(
        {(a, b) for a, b, kind in pairs if kind != "read"},
        {(a, b) for a, b, kind in pairs if kind == "read"},
        {run.operation: run.position for run in runs.values()},
    )


def hidden(runs: Mapping[int, Told]) -> set[int]:
    """Published operations that are not seen: the latest word that is itself in effect, told from the last one back."""
    said: dict[int, bool] = {}
    found = set()
    for run in sorted((r for r in runs.values() if r.position), key=lambda r: -(r.position or 0)):
        if said.get(run.operation, True):
            said = run.verdicts | said
        else:
            found.add(run.operation)
    return found


def events_of(database: Database, namespace: str = "recant") -> list[dict[str, Any]]:
    """What the relay would send, in the outbox's order."""
    with database.snapshot() as connection:
        ids = [row["id"] for row in connection.execute("SELECT id FROM lineage_event ORDER BY id")]
        rows = connection.execute(load("recant.lineage", "lineage.sql")["read_events"], {"events": ids}).fetchall()
    return [render_event(row, namespace=namespace) for row in rows]


def _hidden_by(kind: str) -> str:
    return "quarantined" if kind == "quarantine" else "reverted"
