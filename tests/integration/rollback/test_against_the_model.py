"""Random histories on Postgres and on the reference model (tests/semantics_model.py): the same calls, the same answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from recant.installation.postgres import EmbeddedPostgres
from recant.store import Database
from tests.conftest import throwaway_database
from tests.integration.library import Library
from tests.integration.rollback.twins import AGENTS, RECORDS, SESSIONS, Twins

number = st.integers(0, 20)
record = st.sampled_from(RECORDS)
policy = st.sampled_from(["refuse", "refuse", "safe_only", "cascade", "force"])
sources = st.lists(record, min_size=1, max_size=3, unique=True)
wide = {
    "operations": st.lists(number, min_size=1, max_size=2),
    "agents": st.lists(st.sampled_from(AGENTS), min_size=1, max_size=1),
    "sessions": st.lists(st.sampled_from(["s", "t"]), min_size=1, max_size=1),
    "touching": st.lists(record, min_size=1, max_size=1),
    "positions": st.tuples(number, number),
    "window": st.tuples(number, number),
}
one = st.one_of([st.fixed_dictionaries({name: values}) for name, values in wide.items()])
narrow = st.fixed_dictionaries({"sources": sources})
conditions = st.one_of(
    one, narrow, st.builds(lambda a, b: a | b, one, narrow), one, narrow, st.builds(lambda a, b: a | b, one, one), one,
    narrow, st.just({}),
)  # fmt: skip
"""By one condition or two, by document, by both; nothing given stands for everything."""
documents = st.lists(record, min_size=1, max_size=3, unique=True)
kinds = st.sampled_from(["affirmed", "derived", "derived", "cited"])
grounds = st.tuples(record, kinds, number)
agent, session = st.sampled_from(AGENTS), st.sampled_from(["s", "t"])
hops = st.sampled_from([0, 0, 1, 2])
seldom = st.integers(0, 9).map(lambda n: n == 9)


def verb(name: str, *arguments: st.SearchStrategy[object], weight: int = 1) -> list[st.SearchStrategy[object]]:
    """Calls of one of the twins' methods, `weight` times as likely as others."""
    return [st.tuples(st.just(name), *arguments)] * weight


VERBS = [
    *verb("open", agent, st.sampled_from(SESSIONS), seldom),
    *verb("write", number, record, seldom, weight=2),
    *verb("build_on", number, record, kinds, number),
    *verb("publish", number),
    *verb("write_and_publish", agent, documents, st.lists(grounds, min_size=1, max_size=3), weight=3),
    *verb("merge", session),
    *verb("discard_or_not", session, seldom),
    *verb("abort_or_not", number, seldom),
    *verb("rollback", conditions, policy, hops, weight=3),
    *verb("plan", conditions, policy, hops, weight=2),
    *verb("search", session, documents),
    *verb("erase_or_not", record, seldom),
    *verb("reclaim_or_not", number, seldom),
    *verb("tag", number),
    *verb("untag", number),
    *verb("apply", number, weight=2),
    *verb("call_off", number),
    *verb("redo", number, st.sampled_from(["refuse", "force"]), weight=2),
    *verb("quarantine", conditions),
    *verb("release", conditions, seldom),
    *verb("restore_or_not", number, seldom),
]


class Histories(RuleBasedStateMachine):
    """One rule for all verbs, so that each has its share of every history; numbers pick among what is there."""

    fresh: Callable[[], AbstractContextManager[Library]]

    def __init__(self) -> None:
        super().__init__()
        self.stack, self.steps = ExitStack(), 0
        self.twins = Twins(self.stack.enter_context(type(self).fresh()))

    @initialize(several=st.lists(documents, min_size=2, max_size=5))
    def begin(self, several: list[list[str]]) -> None:
        """So that there is something to take back."""
        for n, records in enumerate(several):
            self.twins.write_and_publish(AGENTS[n % 2], records, [])

    @rule(call=st.one_of(VERBS))
    def step(self, call: tuple[str, object]) -> None:
        name, *arguments = call
        getattr(self.twins, name)(*arguments)

    @invariant()
    def they_agree(self) -> None:
        self.steps += 1
        self.twins.compare(7 * self.steps)

    def teardown(self) -> None:
        try:
            self.twins.finish()
        finally:
            self.stack.close()


Fresh = Callable[[], AbstractContextManager[Library]]
FLAWS = {
    "any write passes": "CREATE OR REPLACE FUNCTION recant.raise_conflicts(p_operations bigint[], p_since bigint) "
    "RETURNS void LANGUAGE sql AS 'SELECT'",
    "any input passes": "CREATE OR REPLACE FUNCTION recant.raise_withdrawn_inputs(p_operations bigint[]) "
    "RETURNS void LANGUAGE sql AS 'SELECT'",
    "the past is forgotten": "CREATE RULE forget AS ON INSERT TO recant.visibility_history WHERE NOT new.visible "
    "DO INSTEAD UPDATE recant.visibility_history SET visible = false WHERE operation_id = new.operation_id",
    "documents are never withheld": "CREATE OR REPLACE FUNCTION recant.withhold(p_position bigint, p_operations bigint[], "
    "p_records bigint[], p_shows boolean[]) RETURNS void LANGUAGE sql AS 'SELECT'",
}
"""Safeguards taken away, one each."""
HISTORY = [
    ("write_and_publish", "A", ["r0", "r1"], []),
    ("open", "A", None),
    ("write", 0, "r0", False),
    ("open", "B", None),
    ("write", 1, "r2", False),
    ("build_on", 1, "r1", "derived", 0),
    ("rollback", {"operations": [0], "sources": ["r1"]}, "refuse", 0),
    ("publish", 1),
    ("write_and_publish", "B", ["r0"], []),
    ("publish", 0),
    ("rollback", {"operations": [1]}, "refuse", 0),
]
"""Meets every one of them."""


def in_new_databases(postgres: EmbeddedPostgres, template: str, flaw: str = "SELECT") -> Fresh:
    """A library in a new database, as often as asked."""

    @contextmanager
    def library() -> Iterator[Library]:
        for dsn in throwaway_database(postgres, template=template):
            with psycopg.connect(dsn) as connection:
                connection.execute(flaw)
            with Database(dsn) as database:
                made = Library(database)
                assert made.collection is not None
                yield made

    return library


def run(fresh: Fresh, given: settings) -> None:
    """All of the histories, on such databases."""
    machine = type("Here", (Histories,), {"fresh": staticmethod(fresh)})
    run_state_machine_as_test(machine, settings=given)


ALWAYS_THE_SAME = settings(
    max_examples=20,
    stateful_step_count=50,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)
NIGHTLY = settings(ALWAYS_THE_SAME, max_examples=150, stateful_step_count=80, derandomize=False, print_blob=True)


@pytest.mark.timeout(3600)
def test_random_histories_agree_with_the_model(postgres: EmbeddedPostgres, migrated_template: str, nightly: bool):
    """Views, searches, states, refusals, positions and certificates are the model's after every step, whatever came before."""
    run(in_new_databases(postgres, migrated_template), NIGHTLY if nightly else ALWAYS_THE_SAME)


def tell(library: Library) -> None:
    """That one history."""
    twins = Twins(library)
    for name, *arguments in HISTORY:
        getattr(twins, name)(*arguments)
        twins.compare(0)
    twins.finish()


def test_a_history_that_meets_every_safeguard(postgres: EmbeddedPostgres, migrated_template: str):
    """It agrees with the model while they are all there."""
    with in_new_databases(postgres, migrated_template)() as library:
        tell(library)


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_found_out(postgres: EmbeddedPostgres, migrated_template: str, flaw: str):
    """The same history on a database that lacks one of them goes wrong."""
    with in_new_databases(postgres, migrated_template, FLAWS[flaw])() as library, pytest.raises(AssertionError):
        tell(library)
