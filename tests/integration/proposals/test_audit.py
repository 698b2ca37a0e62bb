"""The audit: what is seen now, held against a suite."""

from __future__ import annotations

import pytest

from recant.errors import UnknownCollection, UsageError
from recant.quality import audit_collection, load_suite
from tests.integration.proposals.conftest import BAD, GOOD, Desk


def test_what_is_published_and_fails_is_named_by_operation(desk: Desk):
    """Each operation with its failing documents and the expectations they fail; nothing is written."""
    desk.publish({"a": GOOD}, agent="librarian")
    bad = desk.publish({"b": BAD, "c": GOOD, "d": BAD})
    position = desk.kb.position()
    report = desk.kb.audit("library", suite=desk.strict)
    (operation,) = report.operations
    assert (operation.operation_id, operation.agent) == (bad, "rogue")
    assert [(d.source, d.expectations) for d in operation.documents] == [
        ("b", ("says_enough",)),
        ("d", ("says_enough",)),
    ]
    assert (report.success, report.documents, report.failing_documents) == (False, 4, 2)
    assert desk.kb.position() == position
    told = report.to_dict()
    assert told["operations"][0]["documents"][0]["expectations"] == ["says_enough"]
    assert [(e["name"], e["success"]) for e in told["expectations"]] == [("says_enough", False), ("few_symbols", False)]
    assert desk.kb.audit("library", suite=desk.lenient).success


def test_only_heads_that_are_seen_count(desk: Desk):
    """What was mended, removed or rolled back isn't audited; what a rollback shows again is."""
    desk.publish({"mended": BAD, "removed": BAD, "taken": BAD})
    desk.publish({"mended": GOOD, "removed": None})
    better = desk.publish({"taken": GOOD})
    assert desk.kb.audit("library", suite=desk.strict).success
    desk.kb.rollback(desk_selector(better))
    (operation,) = desk.kb.audit("library", suite=desk.strict).operations
    assert [d.source for d in operation.documents] == ["taken"]


def desk_selector(operation_id: int):
    from recant import Selector

    return Selector(operations=(operation_id,))


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_pages_of_any_size_find_the_same(desk: Desk, batch_rows: int):
    """Pages end between documents, and ones on which nothing is seen don't end the audit."""
    desk.publish({f"gone-{n}": GOOD for n in range(3)})
    desk.publish({f"gone-{n}": None for n in range(3)})
    desk.publish({f"bad-{n}": BAD for n in range(3)} | {f"good-{n}": GOOD for n in range(3)})
    report = audit_collection(desk.kb.database, "library", suite=load_suite(desk.strict), batch_rows=batch_rows)
    assert (report.documents, report.rows, report.failing_documents) == (6, 6, 3)


def test_without_a_suite_the_gates_own_is_used(desk: Desk):
    """The same expectations as before publishing."""
    desk.publish({"a": GOOD})
    report = desk.kb.audit("library")
    assert (report.suite, report.success) == ("recant_default", True)


def test_an_audit_of_nothing(desk: Desk):
    """An unknown collection is an error; an empty one is fine; no rows at once is a wrong call."""
    with pytest.raises(UnknownCollection, match='no collection "elsewhere"'):
        desk.kb.audit("elsewhere")
    assert desk.library.collection.name == "library"
    assert desk.kb.audit("library", suite=desk.strict).to_dict()["documents"] == 0
    with pytest.raises(UsageError, match="batch_rows"):
        audit_collection(desk.kb.database, "library", batch_rows=0)
