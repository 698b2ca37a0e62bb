"""What random histories found (test_against_the_model.py), each as the smallest history that shows it."""

from __future__ import annotations

import pytest

from recant.errors import InputWithdrawn
from recant.oplog import Attribution, Selector
from recant.rollback import RollbackReport, verify_log
from tests.integration.library import Library

BY = Attribution("x")


def take_back(library: Library, policy: str = "refuse", **conditions: object) -> RollbackReport:
    plan = library.rollback.plan(Selector(**conditions), policy=policy, agent="x")
    report = library.rollback.run(plan, BY)
    assert verify_log(library.database).ok
    return report


def built_on(library: Library, source: str, documents: dict[str, str | None], own: str | None = None) -> int:
    operation_id = library.open("builder")
    library.write(operation_id, documents)
    library.build_on(operation_id, source, "derived", own)
    library.log.publish(operation_id)
    return operation_id


def test_a_cascade_takes_the_dependents_of_what_is_gone_already(library: Library):
    """`force` left them standing; a cascade over the same selection is no repetition."""
    poison = library.publish({"a": "poison"})
    dependent = built_on(library, "a", {"b": "built on it"})
    take_back(library, "force", operations=(poison,))
    assert take_back(library, "cascade", operations=(poison,)).withdrawn == (poison, dependent)
    assert library.view() == {}


def test_safe_only_that_finds_nothing_new_changes_nothing(library: Library):
    """What could safely go is gone already, the rest has dependents: no empty rollback is logged."""
    gone, kept = library.publish({"a": "A"}), library.publish({"b": "B"})
    built_on(library, "b", {"c": "built on it"})
    take_back(library, operations=(gone,))
    report = take_back(library, "safe_only", operations=(gone, kept))
    assert not report.applied
    assert report.plan.kept == (kept,)


def test_safe_only_keeps_what_a_kept_operation_was_built_on(library: Library):
    """An operation picked whole that has to stay stays with all its documents, and so does what those were built on."""
    library.publish({"ground": "g", "other": "o"}, agent="rogue")
    middle = library.open("rogue")
    library.write(middle, {"first": "1", "second": "2"})
    library.build_on(middle, "ground", "derived", "first")
    library.log.publish(middle)
    built_on(library, "second", {"top": "t"})
    before = library.view()
    report = take_back(library, "safe_only", agents=("rogue",), sources=("ground", "first", "second"))
    assert not report.applied
    assert [r.source for r in report.plan.kept_records] == ["ground"]
    assert report.plan.kept == (middle,)
    assert library.view() == before


def test_an_operation_of_which_a_part_is_gone_can_be_taken_back(library: Library):
    """All its documents are picked, one of them is withdrawn already: the other one goes, too."""
    library.publish({"a": "A", "b": "B"})
    take_back(library, sources=("b",))
    assert take_back(library, sources=("a", "b")).applied
    assert library.view() == {}
    assert not take_back(library, sources=("a", "b")).applied


def test_an_operation_of_which_a_part_is_held_back_can_be_held_back_whole(library: Library):
    """The same for a quarantine."""
    library.publish({"a": "A", "b": "B"})
    library.rollback.quarantine(Selector(sources=("b",)), BY)
    assert library.rollback.quarantine(Selector(sources=("a", "b")), BY).applied
    assert library.view() == {}


def test_an_operation_is_not_published_before_what_it_was_made_from(library: Library):
    """Of a session's two, the earlier one was written last: a merge would show it at a position without its ground."""
    earlier, later = library.open("writer", "s"), library.open("writer", "s")
    library.write(later, {"ground": "g"})
    library.write(earlier, {"house": "h"})
    library.build_on(earlier, "ground", "cited")
    with pytest.raises(InputWithdrawn, match="not published before it"):
        library.log.publish(earlier, later)
    library.log.publish(later)
    library.log.publish(earlier)
    assert library.view() == {"ground": "g", "house": "h"}
