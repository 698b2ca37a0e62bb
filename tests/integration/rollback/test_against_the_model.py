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
    precondition,
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
documents = st.lists(record, min_size=1, max_size=4, unique=True)
grounds = st.tuples(record, st.sampled_from(["affirmed", "derived", "derived", "cited"]), number)
there_is_open = precondition(lambda self: self.twins.has("open"))
there_is_published = precondition(lambda self: self.twins.has("published"))


class Histories(RuleBasedStateMachine):
    """Every rule is a verb of the log; numbers pick among what is there."""

    fresh: Callable[[], AbstractContextManager[Library]]

    def __init__(self) -> None:
        super().__init__()
        self.stack, self.steps = ExitStack(), 0
        self.twins = Twins(self.stack.enter_context(type(self).fresh()))

    @initialize(several=st.lists(documents, min_size=2, max_size=5))
    def begin(self, several: list[list[str]]) -> None:
        """So that there is something to take back."""
        for n, records in enumerate(several):
            self.write_and_publish(AGENTS[n % 2], records, [])

    @rule(agent=st.sampled_from(AGENTS), session=st.sampled_from(SESSIONS), last_wins=st.integers(0, 9))
    def open(self, agent: str, session: str | None, last_wins: int) -> None:
        self.twins.open(agent, session, last_wins == 9)

    @there_is_open
    @rule(number=number, records=documents, retire=st.integers(0, 5))
    def write(self, number: int, records: list[str], retire: int) -> None:
        for name in records:
            self.twins.write(number, name, retire == 5)

    @rule(agent=st.sampled_from(AGENTS), records=documents, ground=st.lists(grounds, min_size=1, max_size=3))
    def write_and_publish(self, agent: str, records: list[str], ground: list[tuple[str, str, int]]) -> None:
        self.twins.open(agent, None)
        for name in records:
            self.twins.write(-1, name, False)
        for name, kind, own in ground:
            self.twins.build_on(-1, name, kind, own)
        self.twins.publish(-1)

    @there_is_open
    @rule(number=number, ground=grounds)
    def build_on(self, number: int, ground: tuple[str, str, int]) -> None:
        self.twins.build_on(number, *ground)

    @there_is_open
    @rule(number=number)
    def publish(self, number: int) -> None:
        self.twins.publish(number)

    @there_is_open
    @rule(session=st.sampled_from(["s", "t"]))
    def merge(self, session: str) -> None:
        self.twins.merge(session)

    @there_is_open
    @rule(session=st.sampled_from(["s", "t"]), sure=st.integers(0, 3))
    def discard(self, session: str, sure: int) -> None:
        if sure == 3:
            self.twins.discard(session)

    @there_is_open
    @rule(number=number)
    def abort(self, number: int) -> None:
        if number % 4 == 3:
            self.twins.abort(number)

    @there_is_published
    @rule(given=conditions, policy=policy)
    def rollback(self, given: dict[str, object], policy: str) -> None:
        self.twins.rollback(given, policy)

    @there_is_published
    @rule(given=conditions, policy=policy)
    def plan(self, given: dict[str, object], policy: str) -> None:
        self.twins.plan(given, policy)

    @precondition(lambda self: self.twins.plans)
    @rule(number=number)
    def apply(self, number: int) -> None:
        self.twins.apply(number)

    @precondition(lambda self: any(o.verdicts for o in self.twins.model.ops.values()))
    @rule(number=number, policy=st.sampled_from(["refuse", "force"]))
    def redo(self, number: int, policy: str) -> None:
        self.twins.redo(number, policy)

    @there_is_published
    @rule(given=conditions)
    def quarantine(self, given: dict[str, object]) -> None:
        self.twins.quarantine(given)

    @precondition(lambda self: any(o.kind == "quarantine" for o in self.twins.model.ops.values()))
    @rule(given=conditions, force=st.booleans())
    def release(self, given: dict[str, object], force: bool) -> None:
        self.twins.release(given, force)

    @there_is_published
    @rule(number=number)
    def restore(self, number: int) -> None:
        if number % 2:
            self.twins.restore(number)

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
}
"""What a harness that compares has to notice."""


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
    max_examples=12,
    stateful_step_count=40,
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


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_found_out(postgres: EmbeddedPostgres, migrated_template: str, flaw: str):
    """The same histories on a database that lacks one of its safeguards go wrong."""
    with pytest.raises(AssertionError):
        run(
            in_new_databases(postgres, migrated_template, FLAWS[flaw]),
            settings(ALWAYS_THE_SAME, phases=(Phase.generate,)),
        )
