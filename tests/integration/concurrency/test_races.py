"""Races that other designs lose, each in both orders: whoever comes second is told, and nothing vanishes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recant.errors import HasDependents, InputWithdrawn, OperationClosed, PlanStale, WriteConflict
from recant.oplog import Attribution, OperationLog, Selector
from recant.rollback import Rollback, verify_log
from recant.settings import read_settings
from tests.integration.concurrency.interleaving import Halting, first_then_second
from tests.integration.library import Library

BY = Attribution("x")


@pytest.fixture
def halting(database: str) -> Iterator[Halting]:
    """The same database, for the one who stops before the commit."""
    with Halting(database) as db:
        yield db


@pytest.fixture(autouse=True)
def _sound(library: Library) -> Iterator[None]:
    """After each race the log is what it should be."""
    yield
    report = verify_log(library.database)
    assert report.ok, report


def plan_of(library: Library, operation_id: int, policy: str = "refuse") -> str:
    return library.rollback.plan(Selector(operations=(operation_id,)), policy=policy, agent="x").plan_id


def over(library: Library, source: str = "a") -> int:
    """An open operation with a version over what is there."""
    operation_id = library.open("writer")
    library.write(operation_id, {source: "over it"})
    return operation_id


def built_on(library: Library, source: str = "a") -> int:
    """An open operation that names what is there as its ground."""
    operation_id = library.open("writer")
    library.affirm(operation_id, source)
    library.write(operation_id, {"b": "built on it"})
    return operation_id


def test_a_publish_over_what_is_being_withdrawn_is_refused(library: Library, halting: Halting):
    """The rollback commits first: the publish that waited for it meets WriteConflict, and can be done again."""
    poison = library.publish({"a": "poison"})
    late, plan = over(library), plan_of(library, poison)
    rollback = Rollback(halting, read_settings({}))
    first, second = first_then_second(
        halting, library.database, lambda: rollback.apply(plan, BY), lambda: library.log.publish(late)
    )
    assert first.refusal is None
    assert isinstance(second.refusal, WriteConflict)
    assert library.view() == {}
    library.log.abort(late, "again")
    library.publish({"a": "over nothing"})
    assert library.view() == {"a": "over nothing"}


def test_a_rollback_under_what_is_being_published_is_stale(library: Library, halting: Halting):
    """The publish commits first: the plan's answer is another one, and the published version is seen."""
    poison = library.publish({"a": "poison"})
    late, plan = over(library), plan_of(library, poison)
    first, second = first_then_second(
        halting,
        library.database,
        lambda: OperationLog(halting).publish(late),
        lambda: library.rollback.apply(plan, BY),
    )
    assert first.refusal is None
    assert isinstance(second.refusal, PlanStale)
    assert library.view() == {"a": "over it"}


def test_a_publish_built_on_what_is_being_withdrawn_is_refused(library: Library, halting: Halting):
    """The rollback commits first: InputWithdrawn, and the poison has no new dependents."""
    poison = library.publish({"a": "poison"})
    late, plan = built_on(library), plan_of(library, poison)
    rollback = Rollback(halting, read_settings({}))
    first, second = first_then_second(
        halting, library.database, lambda: rollback.apply(plan, BY), lambda: library.log.publish(late)
    )
    assert first.refusal is None
    assert isinstance(second.refusal, InputWithdrawn)
    assert library.view() == {}


@pytest.mark.parametrize("policy", ["refuse", "safe_only", "cascade", "force"])
def test_a_rollback_of_what_is_being_built_on_is_stale(library: Library, halting: Halting, policy: str):
    """The publish commits first: under every policy the plan didn't know the new dependent, and says so."""
    poison = library.publish({"a": "poison"})
    late, plan = built_on(library), plan_of(library, poison, policy)
    first, second = first_then_second(
        halting,
        library.database,
        lambda: OperationLog(halting).publish(late),
        lambda: library.rollback.apply(plan, BY),
    )
    assert first.refusal is None
    assert isinstance(second.refusal, PlanStale)
    assert library.view() == {"a": "poison", "b": "built on it"}
    with pytest.raises(HasDependents):
        plan_of(library, poison)


def test_of_two_rollbacks_at_once_the_second_knows_of_the_first(library: Library, halting: Halting):
    """Two plans that share an operation: the one that waited is stale."""
    shared, other = library.publish({"a": "A"}), library.publish({"b": "B"})
    narrow = plan_of(library, shared)
    wide = library.rollback.plan(Selector(operations=(shared, other)), agent="x").plan_id
    rollback = Rollback(halting, read_settings({}))
    first, second = first_then_second(
        halting, library.database, lambda: rollback.apply(narrow, BY), lambda: library.rollback.apply(wide, BY)
    )
    assert first.refusal is None
    assert isinstance(second.refusal, PlanStale)
    assert library.view() == {"b": "B"}


def test_a_redo_under_a_write_is_stale(library: Library, halting: Halting):
    """The write commits first: what would come back would come back under it."""
    poison = library.publish({"a": "poison"})
    control = library.rollback.run(library.rollback.load_plan(plan_of(library, poison)), BY).rollback_operation_id
    assert control is not None
    redo, late = library.rollback.plan_redo(control, agent="x"), over(library)
    first, second = first_then_second(
        halting,
        library.database,
        lambda: OperationLog(halting).publish(late),
        lambda: library.rollback.apply(redo, BY),
    )
    assert first.refusal is None
    assert isinstance(second.refusal, PlanStale)
    assert library.view() == {"a": "over it"}


def test_an_append_that_comes_after_a_publish_is_refused(library: Library, halting: Halting):
    """The late worker's rows wait for the publish to commit, and join nothing."""
    operation_id = library.open()
    target = library.write(operation_id, {"a": "in time"})
    first, second = first_then_second(
        halting,
        library.database,
        lambda: OperationLog(halting).publish(operation_id),
        lambda: library.append(target, {"b": "too late"}),
    )
    assert first.refusal is None
    assert isinstance(second.refusal, OperationClosed)
    assert library.view() == {"a": "in time"}


def test_an_append_that_comes_after_an_abort_is_refused(library: Library, halting: Halting):
    """An aborted operation gets no more rows."""
    operation_id = library.open()
    target = library.write(operation_id, {"a": "in time"})
    first, second = first_then_second(
        halting,
        library.database,
        lambda: OperationLog(halting).abort(operation_id, "no"),
        lambda: library.append(target, {"b": "too late"}),
    )
    assert first.refusal is None
    assert isinstance(second.refusal, OperationClosed)
    assert library.view() == {}


def test_two_publishers_over_one_head_can_not_both_pass(library: Library, halting: Halting):
    """Both tested the head before either had committed; the one that waited tests again, and is refused."""
    library.publish({"a": "base"})
    one, two = over(library), over(library)
    first, second = first_then_second(
        halting, library.database, lambda: OperationLog(halting).publish(one), lambda: library.log.publish(two)
    )
    assert first.refusal is None
    assert isinstance(second.refusal, WriteConflict)
    assert library.log.get(one).position == 2
