"""Random histories: the answers are those of a closure over all rows, and of the OpenLineage events alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from recant.installation.postgres import EmbeddedPostgres
from recant.lineage import Start, collection_dataset
from recant.lineage.answers import Lineage
from recant.oplog import Dataset
from recant.store import Database
from tests.conftest import throwaway_database
from tests.integration.library import Library
from tests.integration.lineage.lineage_histories import SETTINGS, lineage_of
from tests.integration.lineage.retold import Ties, Told, events_of, hidden, read_log, tell, ties
from tests.integration.rollback.test_against_the_model import VERBS, documents
from tests.integration.rollback.twins import RECORDS, Twins

SOURCES = ("/srv/a", "/srv/b", "https://example.org/c")


@dataclass
class Sourced(Library):
    """A library whose operations read some source and write the collection."""

    opened: int = field(default=0)

    def open(self, agent="alice", session=None, run_id=None, **options) -> int:
        self.opened += 1
        source = Dataset("input", "file", SOURCES[self.opened % 3])
        own = Dataset("output", *collection_dataset(SETTINGS, self.name))
        return super().open(agent, session, run_id, datasets=[source, own], **options)


def check_walks(library: Library, number: int) -> None:
    """From one operation, either way, now and as of an earlier position; from one document."""
    log, lineage = read_log(library.database), lineage_of(library)
    last = len(log.replay.entries)
    positions = {last, last // 2, last * 3 // 4, number % (last + 1)}
    for position in positions:
        states = log.states(position)
        there = [entry.id for entry in log.replay.entries[:position]]
        for operation in there[number % 3 :: 3]:
            for upstream in (True, False):
                direction = "up" if upstream else "down"
                found = lineage.trace(Start(operation=operation), direction=direction, as_of=position)
                definite, possible = log.closure(operation, upstream=upstream, position=position)
                expected = definite | possible
                assert {n.operation_id: n.distance for n in found.operations} == expected
                assert {n.operation_id for n in found.operations if n.certainty == "possible"} == possible.keys()
                assert {n.operation_id: (n.state, n.withheld_records) for n in found.operations} == {
                    o: states[o] for o in expected
                }
                jobs = lineage.jobs(Start(operation=operation), direction=direction, as_of=position)
                assert sum(job.runs for job in jobs.jobs) == len(expected)
                assert sum(job.possible for job in jobs.jobs) == len(possible)
                assert sum(job.hidden for job in jobs.jobs) == sum(states[o][0] != "published" for o in expected)
        check_document(library, RECORDS[number % len(RECORDS)], position)


def check_document(library: Library, source: str, position: int) -> None:
    """Downstream of one document as of a position."""
    log = read_log(library.database)
    records = {
        record
        for entry in log.replay.entries
        for record, version in entry.versions.items()
        if version.source == source and entry.position <= position
    }
    starts = {(e.id, r) for e in log.replay.entries[:position] for r in records & e.versions.keys()}
    if starts:
        found = lineage_of(library).downstream(Start(document=source), as_of=position)
        definite, possible = log.below_document(starts, position)
        assert {n.operation_id for n in found.operations} == definite | possible
        assert {n.operation_id for n in found.operations if n.certainty == "possible"} == possible


def check_events(library: Library) -> None:
    """The runs, their jobs, datasets, positions, what they were built on and what hides them, from the events alone."""
    lineage, told = lineage_of(library), tell(events_of(library.database))
    gone, built = hidden(told), ties(told)
    last = max((run.position or 0 for run in told.values()), default=0)
    for operation, run in told.items():
        found = lineage.trace(Start(operation=operation), depth=1)
        (own,) = [node for node in found.operations if node.operation_id == operation]
        assert (own.job, own.position) == (run.job, run.position)
        assert own.state == {"START": "open", "ABORT": "aborted", "FAIL": "aborted"}.get(run.life, own.state)
        assert (own.state in ("reverted", "quarantined")) == (operation in gone)
        read = {("inputs", *_split(e.source)) for e in found.edges if (e.target, e.relation) == (own.node_id, "read")}
        wrote = {
            ("outputs", *_split(e.target)) for e in found.edges if (e.source, e.relation) == (own.node_id, "wrote")
        }
        assert read | wrote == run.datasets
        assert run.starts_as_it_ends
        if run.position:
            check_built_on(lineage, built, run, last)
    overview = lineage.overview()
    edges = Counter()
    for run in told.values():
        for side, namespace, name in run.datasets:
            dataset, job = f"dataset:{namespace}:{name}", f"job:{run.job}"
            edges[(dataset, job) if side == "inputs" else (job, dataset)] += 1
    assert {(e.source, e.target): e.count for e in overview.edges} == dict(edges)
    assert {job.job: job.runs for job in overview.jobs} == Counter(run.job for run in told.values())
    assert {j.job: j.hidden for j in overview.jobs if j.hidden} == Counter(told[o].job for o in gone)


def check_built_on(lineage: Lineage, built: Ties, run: Told, last: int) -> None:
    """What it was built on, and all up and down from it: as whoever has the events alone would find it."""
    for direction in ("up", "down"):
        found = lineage.trace(Start(operation=run.operation), direction=direction)
        definite, possible = built.closure(run.operation, upstream=direction == "up", position=last)
        assert {n.operation_id: n.distance for n in found.operations} == definite | possible
        assert {n.operation_id for n in found.operations if n.certainty == "possible"} == possible.keys()
    nearest = lineage.upstream(Start(operation=run.operation), depth=1)
    inputs = {
        (int(edge.source.removeprefix("operation:")), edge.relation)
        for edge in nearest.edges
        if edge.source.startswith("operation:") and edge.target == f"operation:{run.operation}"
    }
    there = {(number, kind) for number, kind in run.built_on if built.is_there(number, last)}
    assert inputs == {(number, "shown" if kind == "read" else kind) for number, kind in there}


def _split(node: str) -> tuple[str, str]:
    """Namespace and name; in these tests only the namespace has colons, before two slashes."""
    namespace, _, name = node.removeprefix("dataset:").replace("://", "§").rpartition(":")
    return namespace.replace("§", "://"), name.replace("§", "://")


class Histories(RuleBasedStateMachine):
    """The verbs that the model is tested with; lineage is looked at when the history is over."""

    fresh: Callable[[], AbstractContextManager[Library]]

    def __init__(self) -> None:
        super().__init__()
        self.stack, self.number = ExitStack(), 0
        self.library = self.stack.enter_context(type(self).fresh())
        self.twins = Twins(self.library)

    @initialize(several=st.lists(documents, min_size=2, max_size=4), number=st.integers(0, 1000))
    def begin(self, several: list[list[str]], number: int) -> None:
        self.number = number
        for records in several:
            self.twins.write_and_publish("A", records, [])

    @rule(call=st.one_of(VERBS))
    def step(self, call: tuple[str, object]) -> None:
        name, *arguments = call
        getattr(self.twins, name)(*arguments)

    def teardown(self) -> None:
        try:
            check_walks(self.library, self.number)
            check_events(self.library)
        finally:
            self.stack.close()


FEW = settings(
    max_examples=6,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),
)
NIGHTLY = settings(FEW, max_examples=100, stateful_step_count=80, derandomize=False, print_blob=True)


@pytest.mark.timeout(3600)
def test_random_histories_answer_as_a_closure_and_as_the_events(
    postgres: EmbeddedPostgres, migrated_template: str, nightly: bool
):
    """Up and down from operations and documents, now and earlier; and the graph that somebody with the events alone has."""

    @contextmanager
    def library() -> Iterator[Library]:
        for dsn in throwaway_database(postgres, template=migrated_template):
            with Database(dsn) as database:
                made = Sourced(database)
                assert made.collection is not None
                yield made

    machine = type("Here", (Histories,), {"fresh": staticmethod(library)})
    run_state_machine_as_test(machine, settings=NIGHTLY if nightly else FEW)
