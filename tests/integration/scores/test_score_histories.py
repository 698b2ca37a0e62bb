"""Scores after random histories: what is stored is what the log says, told again from nothing, and was so at every position."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from recant.errors import Refused, UsageError
from recant.feedback import VERDICTS, submit_feedback
from recant.installation.postgres import EmbeddedPostgres
from recant.oplog import Attribution, Selector
from recant.scores import Policy, Scores
from recant.search import Searcher
from recant.settings import read_settings
from tests.integration.library import Library
from tests.integration.rollback.test_against_the_model import in_new_databases
from tests.integration.scores.score_oracle import expected_scores, stored_scores

number = st.integers(0, 30)
AGENTS = st.sampled_from(["A", "B", "C"])
SOURCES = st.sampled_from(["r0", "r1", "r2", "r3"])
SECONDS = st.sampled_from([0.01, 0.3, 5.0])


def verb(name: str, *arguments: st.SearchStrategy[Any], weight: int = 1) -> list[st.SearchStrategy[Any]]:
    return [st.tuples(st.just(name), *arguments)] * weight


VERBS = [
    *verb("publish", AGENTS, st.lists(SOURCES, min_size=1, max_size=3, unique=True), weight=2),
    *verb("cite", AGENTS, SOURCES, number),
    *verb("say", AGENTS, number, st.sampled_from(VERDICTS), weight=9),
    *verb("search", SOURCES),
    *verb("count", number),
    *verb("recalculate", number, weight=3),
    *verb("set_policy", SECONDS, st.booleans(), weight=2),
    *verb("unset_policy"),
    *verb("pin", SOURCES, st.sampled_from([None, 10.0, 90.0])),
    *verb("unpin", SOURCES),
    *verb("rollback", st.fixed_dictionaries({"agents": st.tuples(AGENTS), "kinds": st.just(("feedback",))})),
    *verb("rollback", st.fixed_dictionaries({"kinds": st.tuples(st.sampled_from(["set_policy", "recalculate_quality"]))})),
    *verb("rollback", st.fixed_dictionaries({"sources": st.tuples(SOURCES)})),
    *verb("rollback", st.fixed_dictionaries({"agents": st.tuples(AGENTS)})),
    *verb("take_back", number, weight=2),
    *verb("quarantine", AGENTS),
    *verb("release", AGENTS),
    *verb("restore", number),
    *verb("redo", number, weight=2),
]  # fmt: skip


class Histories(RuleBasedStateMachine):
    """One rule for all verbs; numbers pick among what is there. A call that makes no sense does nothing."""

    fresh: Callable[[], AbstractContextManager[Library]]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.library = self.stack.enter_context(type(self).fresh())
        given = read_settings({"RECANT_COLLECTION": self.library.name})
        self.scores = Scores(self.library.database, given)
        self.searcher = Searcher(self.library.database, self.library.model.vector)
        self.settings, self.then, self.written = given, {}, 0
        self.publish("A", ["r0", "r1", "r2"])
        self.say("B", 0, "helpful")
        self.set_policy(0.3, False)
        self.recalculate(0)

    @rule(call=st.one_of(VERBS))
    def step(self, call: tuple[Any, ...]) -> None:
        name, *arguments = call
        with suppress(Refused, UsageError):
            getattr(self, name)(*arguments)

    @invariant()
    def scores_are_what_the_log_says(self) -> None:
        stored = stored_scores(self.library.database)
        assert stored == expected_scores(self.library.database)
        assert self.scores.check() == []
        self.then[self.library.log.position()] = stored

    def teardown(self) -> None:
        """Every earlier position is answered with the scores of then, whatever was taken back since."""
        try:
            chunks = [chunk for (chunk,) in self._rows("SELECT id FROM chunk")]
            for position, stored in self.then.items():
                query = "SELECT * FROM compute_quality(%s, %s, %s)"
                asked = (self.library.collection.id, position)
                for of in (chunks, None):
                    found = {
                        c: (*(round(p, 1) for p in rest[:4]), rest[4]) for c, *rest in self._rows(query, *asked, of)
                    }
                    assert found == stored, f"at {position} by {'chunk' if of else 'collection'}"
        finally:
            self.stack.close()

    # ---- verbs

    def publish(self, agent: str, sources: list[str]) -> None:
        self.written += 1
        self.library.publish({source: f"{source} text {self.written}" for source in sources}, agent=agent)

    def cite(self, agent: str, source: str, n: int) -> None:
        self.written += 1
        operation = self.library.open(agent=agent, session="s" if n % 2 else None)
        try:
            self.library.build_on(operation, source, "cited")
            self.library.write(operation, {f"note {self.written}": f"note {self.written}"})
            self.library.log.publish(operation)
        except BaseException:
            self.library.log.abort(operation, "it can't be cited")
            raise

    def say(self, agent: str, n: int, verdict: str) -> None:
        chunks = [row[0] for row in self._rows("SELECT id FROM chunk ORDER BY id")]
        submit_feedback(self.library.database, self.settings, chunks[n % len(chunks)], verdict, Attribution(agent))

    def search(self, query: str) -> None:
        self.searcher.search(query, collection=self.library.name, limit=2, session="s", agent="A")

    def count(self, n: int) -> None:
        self._rows(
            "SELECT count_accesses(ARRAY[1, 1], (SELECT array_agg(id) FROM (SELECT id FROM record LIMIT 2) r), %s)",
            [n, 1],
        )

    def recalculate(self, n: int) -> None:
        """At times that come as they may, an earlier one after a later one too; every third is cut off once it is published."""
        self.scores._fold = (lambda collection_id: None) if n % 3 == 0 else partial(Scores._fold, self.scores)
        self.scores.recalculate(Attribution("R"), at=datetime.now(UTC) - timedelta(milliseconds=20 * n))

    def set_policy(self, seconds: float, of_type: bool) -> None:
        policy = Policy("test" if of_type else "", seconds / 86_400, 0.0, 20.0)
        self.scores.set_policy(policy, Attribution("P"))

    def unset_policy(self) -> None:
        self.scores.unset_policy("", Attribution("P"))

    def pin(self, source: str, score: float | None) -> None:
        self.scores.pin(source, Attribution("P"), score=score)

    def unpin(self, source: str) -> None:
        self.scores.unpin(source, Attribution("P"))

    def rollback(self, conditions: dict[str, Any]) -> None:
        plan = self.library.rollback.plan(Selector(**conditions), policy="cascade", agent="x")
        self.library.rollback.run(plan, Attribution("x"))

    def take_back(self, n: int) -> None:
        written = self._of("NOT control")
        self.rollback({"operations": (written[n % len(written)],)})

    def quarantine(self, agent: str) -> None:
        self.library.rollback.quarantine(Selector(agents=(agent,)), Attribution("x"))

    def release(self, agent: str) -> None:
        self.library.rollback.release(Selector(agents=(agent,)), Attribution("x"), "force")

    def restore(self, n: int) -> None:
        self.library.rollback.restore(self.library.name, n % self.library.log.position(), Attribution("x"))

    def redo(self, n: int) -> None:
        if controls := self._of("control"):
            self.library.rollback.redo(controls[n % len(controls)], Attribution("x"), "force")

    def _of(self, condition: str) -> list[int]:
        return [
            row[0] for row in self._rows(f"SELECT id FROM operation WHERE position > 0 AND {condition} ORDER BY id")
        ]

    def _rows(self, query: str, *given: Any) -> list[tuple[Any, ...]]:
        with self.library.database.transaction() as connection:
            return [tuple(row.values()) for row in connection.execute(query, given)]


ALWAYS_THE_SAME = settings(
    max_examples=12, stateful_step_count=30, derandomize=True, database=None, deadline=None,
    suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
)  # fmt: skip
NIGHTLY = settings(ALWAYS_THE_SAME, max_examples=150, stateful_step_count=60, derandomize=False, print_blob=True)


def test_scores_follow_from_the_log(postgres: EmbeddedPostgres, migrated_template: str, nightly: bool):
    """After any history of feedback, policies, pins, recalculations, rollbacks and redos, at every step of it."""
    fresh = in_new_databases(postgres, migrated_template)
    machine = type("Here", (Histories,), {"fresh": staticmethod(fresh)})
    run_state_machine_as_test(machine, settings=NIGHTLY if nightly else ALWAYS_THE_SAME)


def test_a_flaw_is_found_out(postgres: EmbeddedPostgres, migrated_template: str):
    """The same histories go wrong where nothing is brought up to date after an operation."""
    flaw = """CREATE OR REPLACE FUNCTION recant.touched_by_quality(p_collection integer, p_since bigint, p_until bigint,
              p_recalculation bigint) RETURNS bigint[] LANGUAGE sql AS $$ SELECT '{}'::bigint[] $$"""
    machine = type("Here", (Histories,), {"fresh": staticmethod(in_new_databases(postgres, migrated_template, flaw))})
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=settings(ALWAYS_THE_SAME, max_examples=2, phases=(Phase.generate,)))
