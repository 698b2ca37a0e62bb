"""Random histories of ingests, builds, change-overs, rollbacks and redoes: search equals comparing everything, at every
position, in the space that the log says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from recant.errors import Refused, UsageError, VectorsMissing
from recant.installation.postgres import EmbeddedPostgres
from recant.oplog import Attribution, Selector
from recant.rollback import verify_log
from recant.search.nearest import Neighbourhood
from recant.store import Database
from recant.upkeep.tending import tend_index
from tests.conftest import throwaway_database
from tests.integration.reembedding.conftest import BOB, Shelf, tiny

number = st.integers(0, 30)
SOURCES = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=3, unique=True)
MODELS = st.sampled_from(["tiny-4", "tiny-6", "tiny-9"])
SOAKS = st.sampled_from([timedelta(0), timedelta(days=1)])


def verb(name: str, *arguments: st.SearchStrategy[Any], weight: int = 1) -> list[st.SearchStrategy[Any]]:
    return [st.tuples(st.just(name), *arguments)] * weight


VERBS = [
    *verb("publish", SOURCES, st.integers(0, 6), weight=4),
    *verb("bury", SOURCES),
    *verb("hold", SOURCES, st.integers(0, 6), weight=2),
    *verb("publish_held", weight=2),
    *verb("build", MODELS),
    *verb("switch", MODELS, SOAKS, weight=4),
    *verb("settle"),
    *verb("fill", MODELS),
    *verb("drop", MODELS),
    *verb("take_back", number, weight=3),
    *verb("take_back_switches", weight=2),
    *verb("redo", number, weight=3),
    *verb("restore", number),
    *verb("tend", weight=2),
]  # fmt: skip


class Histories(RuleBasedStateMachine):
    """One rule for all verbs; numbers pick among what is there. A call that makes no sense does nothing."""

    fresh: Callable[[], AbstractContextManager[Shelf]]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.shelf = self.stack.enter_context(type(self).fresh())
        self.held: list[int] = []
        self.models: dict[int, str] = {}
        self.random = np.random.default_rng(1)
        self.publish(["a", "b"], 0)
        self.build_indexes()

    @rule(call=st.one_of(VERBS))
    def step(self, call: tuple[Any, ...]) -> None:
        name, *arguments = call
        with suppress(Refused, UsageError):
            getattr(self, name)(*arguments)
        self.build_indexes()

    @invariant()
    def search_equals_comparing_everything(self) -> None:
        """Now; by the index and without it."""
        self.compare(None)

    def teardown(self) -> None:
        """At every position, and nothing contradicts the log."""
        try:
            for position in range(self.shelf.log.position() + 1):
                self.compare(position)
            report = verify_log(self.shelf.database)
            assert report.ok, [check for check in report.checks if not check.ok]
        finally:
            self.stack.close()

    # ---- verbs

    def publish(self, sources: list[str], text: int) -> None:
        self.shelf.publish({source: f"text {(text + n) % 7}" for n, source in enumerate(sources)})

    def bury(self, sources: list[str]) -> None:
        self.shelf.publish({source: None for source in sources if source in self.shelf.view()})

    def hold(self, sources: list[str], text: int) -> None:
        """Written now, in the spaces of now; published later, maybe after a change-over."""
        operation = self.shelf.open()
        self.shelf.write_everywhere(operation, dict.fromkeys(sources, f"held {text}"))
        self.held.append(operation)

    def publish_held(self) -> None:
        if self.held:
            operation = self.held.pop()
            try:
                self.filling(lambda: self.shelf.log.publish(operation))
            except Refused:
                self.shelf.log.abort(operation, "overtaken")

    def build(self, model: str) -> None:
        self.shelf.reembedding.build(model)

    def switch(self, model: str, soak: timedelta) -> None:
        operation = self.shelf.reembedding.switch(model, BOB, soak=soak).operation_id
        self.models[operation] = model

    def settle(self) -> None:
        model = self.model_at(None)
        self.models[self.shelf.reembedding.settle(BOB).operation_id] = model

    def fill(self, model: str) -> None:
        self.shelf.reembedding.fill(model)

    def drop(self, model: str) -> None:
        self.shelf.reembedding.drop(model)

    def take_back(self, which: int) -> None:
        written = [o.operation_id for o in self.shelf.log.find(limit=100) if o.position and o.kind != "rollback"]
        self.withdraw(Selector(operations=(written[which % len(written)],)))

    def take_back_switches(self) -> None:
        self.withdraw(Selector(kinds=("reembed",)))

    def withdraw(self, selector: Selector) -> None:
        def run() -> Any:
            plan = self.shelf.rollback.plan(selector, policy="force", agent="bob")
            return self.shelf.rollback.run(plan, BOB)

        self.filling(run)

    def redo(self, which: int) -> None:
        taken = [
            o.operation_id for o in self.shelf.log.find(limit=100) if o.kind == "rollback" and o.state == "published"
        ]
        if taken:
            self.filling(lambda: self.shelf.rollback.redo(taken[which % len(taken)], BOB, "force"))

    def restore(self, position: int) -> None:
        position = min(position, self.shelf.log.position())
        self.filling(lambda: self.shelf.rollback.restore("library", position, Attribution("carol")))

    def tend(self) -> None:
        for space_id in self.spaces():
            tend_index(self.shelf.database, space_id, follow_up=False)

    # ---- what is there

    def filling(self, call: Callable[[], Any]) -> None:
        """What lacks vectors is refused and says which model's; filled, it goes through, and is right."""
        for _ in range(3):
            try:
                call()
                return
            except VectorsMissing as refusal:
                assert refusal.details["missing"] > 0
                self.shelf.reembedding.fill(refusal.details["model"])
        raise AssertionError("filled, it is refused still")

    def spaces(self) -> list[int]:
        return [state.space_id for state in self.shelf.reembedding.status("library")]

    def build_indexes(self) -> None:
        with self.shelf.database.transaction() as connection:
            connection.execute("SELECT build_vector_index(id) FROM embedding_space")

    def model_at(self, position: int | None) -> str:
        """The model of the last change-over that was seen then."""
        statement = """
            SELECT v.operation_id FROM version v JOIN record r ON r.id = v.record_id WHERE r.kind = 'embedding_space'
            AND (SELECT h.visible FROM visibility_history h WHERE h.operation_id = v.operation_id
                 AND h.from_position <= %s ORDER BY h.from_position DESC LIMIT 1) ORDER BY v.version_id"""
        at = self.shelf.log.position() if position is None else position
        with self.shelf.database.transaction() as connection:
            seen = [row["operation_id"] for row in connection.execute(statement, [at])]
        return self.models[seen[-1]] if seen else "tiny-4"

    def compare(self, position: int | None) -> None:
        model = tiny(int(self.model_at(position).removeprefix("tiny-")))
        texts = set(self.shelf.view(position).values())
        query = f"query {self.random.integers(1000)}"
        nearest = sorted(texts, key=lambda text: -float(np.float16(model.vector(text)) @ model.vector(query)))
        options = {"collection": "library", "limit": 20, "as_of": position, "by_quality": False}
        found = self.shelf.searcher.search(query, **options)
        assert [hit.text for hit in found.hits] == nearest, (position, model.name)
        assert [hit.text for hit in next(self.shelf.searcher.search_batch([query], **options)).hits] == nearest


@contextmanager
def shelf_in_a_new_database(postgres: EmbeddedPostgres, template: str) -> Iterator[Shelf]:
    for dsn in throwaway_database(postgres, template=template):
        with Database(dsn) as database:
            shelf = Shelf(database)
            assert shelf.collection is not None
            yield shelf


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("indexed", [False, True], ids=["exact", "index"])
def test_search_equals_comparing_everything(
    postgres: EmbeddedPostgres, migrated_template: str, indexed: bool, nightly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the space that the log says, after any history, now and at every position before."""
    if indexed:
        monkeypatch.setattr("recant.search.nearest.EXACT_BELOW", 0)
        monkeypatch.setattr("recant.search.nearest.COST_RATIO", 0)
        asked = []
        search = Neighbourhood.search_index
        monkeypatch.setattr(
            Neighbourhood, "search_index", lambda *given, **how: asked.append(1) or search(*given, **how)
        )
    fresh = partial(shelf_in_a_new_database, postgres, migrated_template)
    histories = type("Here", (Histories,), {"fresh": staticmethod(fresh)})
    run_state_machine_as_test(
        histories,
        settings=settings(
            max_examples=100 if nightly else 6,
            stateful_step_count=30 if nightly else 18,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
            derandomize=not nightly,
            database=None,
            print_blob=True,
        ),
    )
    assert not indexed or asked, "the index was never asked"
