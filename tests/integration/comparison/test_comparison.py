"""Read in order, this is what a diff promises."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recant.comparison import Comparison, compare, compare_operation
from recant.comparison import comparison as room
from recant.errors import PastHorizon, UnknownCollection, UnknownOperation, UsageError
from recant.oplog import Attribution, Selector
from recant.settings import read_settings
from recant.storage import Storage
from tests.integration.library import Library

WHO = Attribution("alice", message="why not")


def diff(library: Library, before: int, after: int, **options: str) -> Comparison:
    return compare(library.database, library.name, before, after, **options)


def changes(comparison: Comparison) -> dict[str, str]:
    return {d.source: d.change for d in comparison.documents()}


def take_back(library: Library, operation: int) -> int:
    plan = library.rollback.plan(Selector(operations=(operation,)), agent="alice")
    return library.rollback.run(plan, WHO).rollback_operation_id


def test_a_diff_names_what_was_added_removed_and_changed(library: Library):
    """Between two positions, with the operations whose versions were and are seen."""
    first = library.publish({"a": "Milk is white.", "b": "Grass is green.", "same": "Nothing."})
    second = library.publish({"a": "Milk is blue.", "b": None, "c": "Coal is black."})
    found = {d.source: d for d in diff(library, 1, 2).documents()}
    assert {source: d.change for source, d in found.items()} == {"a": "changed", "b": "removed", "c": "added"}
    assert [(d.before_operation, d.after_operation) for d in found.values()] == [
        (first, second),
        (first, None),
        (None, second),
    ]
    assert diff(library, 1, 2).counts() == {"document": {"added": 1, "removed": 1, "changed": 1}}


def test_a_changed_document_is_a_unified_diff(library: Library):
    """Sentence by sentence, as `diff -u` prints it."""
    first = library.publish({"a": "One. Two. Three."})
    second = library.publish({"a": "One. Zwei. Three."})
    (changed,) = diff(library, 1, 2).documents()
    assert changed.lines == (
        f"--- a\toperation {first}",
        f"+++ a\toperation {second}",
        "@@ -1,3 +1,3 @@",
        " One.",
        "-Two.",
        "+Zwei.",
        " Three.",
    )
    assert (changed.added_lines, changed.removed_lines) == (1, 1)


def test_what_is_added_comes_from_nowhere(library: Library):
    """Its whole text is added, and the other side is /dev/null; the same way back."""
    operation = library.publish({"a": "One. Two."})
    (added,) = diff(library, 0, 1).documents()
    assert added.lines == ("--- /dev/null", f"+++ a\toperation {operation}", "@@ -0,0 +1,2 @@", "+One.", "+Two.")
    (removed,) = diff(library, 1, 0).documents()
    assert (removed.change, removed.lines[3:]) == ("removed", ("-One.", "-Two."))


def test_equal_content_is_no_difference(library: Library):
    """Whoever wrote it; and a position differs in nothing from itself."""
    library.publish({"a": "One."})
    library.publish({"a": "One."}, agent="bob")
    assert diff(library, 1, 2).counts() == {}
    assert changes(diff(library, 2, 2)) == {}


def test_a_title_that_changed_is_told_where_the_text_did_not(library: Library, monkeypatch):
    """Attributes and format too: before and after, and no diff."""
    library.publish({"a": "One."})
    whole = library.row
    retitled = {"title": "Other", "attributes": {"owner": "bob"}}
    monkeypatch.setattr(library, "row", lambda *given: replace(whole(*given), **retitled))
    library.publish({"a": "One."})
    (changed,) = diff(library, 1, 2).documents()
    assert changed.lines == ()
    assert changed.described["title"][1] == "Other"
    assert changed.described["owner"] == (None, "bob")


def test_an_operation_is_compared_with_the_world_without_it(library: Library):
    """At its own position: neither what came before nor what came after is in it."""
    library.publish({"a": "One."})
    second = library.publish({"a": "Two.", "b": "New."})
    library.publish({"b": "Newer.", "c": "Later."})
    found = compare_operation(library.database, second)
    assert changes(found) == {"a": "changed", "b": "added"}
    assert (found.before, found.after, found.operation_id) == (1, 2, second)


def test_a_rollback_is_an_operation_like_others(library: Library):
    """What it changed is the reverse of what the withdrawn one had."""
    library.publish({"a": "One."})
    bad = library.publish({"a": "Two.", "b": "New."})
    undone = take_back(library, bad)
    assert changes(compare_operation(library.database, undone)) == {"a": "changed", "b": "removed"}
    forth = [d.lines[3:] for d in compare_operation(library.database, bad).documents()]
    back = [d.lines[3:] for d in compare_operation(library.database, undone).documents()]
    assert [sorted(line.translate({43: 45, 45: 43}) for line in lines) for lines in forth] == [*map(sorted, back)]
    assert changes(diff(library, 1, 3)) == {}


def test_a_rollback_by_document_changes_that_document(library: Library):
    """The rest of the operation is no difference."""
    bad = library.publish({"a": "Two.", "b": "New."})
    plan = library.rollback.plan(Selector(operations=(bad,), sources=("b",)), agent="alice")
    undone = library.rollback.run(plan, WHO).rollback_operation_id
    assert changes(compare_operation(library.database, undone)) == {"b": "removed"}


def test_one_document_alone(library: Library):
    """Counts too are of that one; a document that isn't there differs in nothing."""
    library.publish({"a": "One.", "b": "One."})
    library.publish({"a": "Two.", "b": "Two."})
    assert changes(diff(library, 1, 2, source="b")) == {"b": "changed"}
    assert diff(library, 1, 2, source="b").counts() == {"document": {"added": 0, "removed": 0, "changed": 1}}
    assert diff(library, 1, 2, source="z").counts() == {}


def test_another_collection_is_left_out(library: Library):
    """A document of the same name in another collection is another document."""
    library.publish({"a": "One."})
    other = Library(library.database, name="other")
    other.publish({"a": "Two.", "b": "Two."})
    assert changes(diff(library, 0, 2)) == {"a": "added"}
    assert changes(diff(library, 0, 2, source="a")) == {"a": "added"}
    assert changes(diff(other, 1, 2)) == {"a": "added", "b": "added"}


def test_what_can_not_be_compared_is_refused_by_name(library: Library):
    """Positions outside of the log, unknown and open operations, a rollback over two collections."""
    first = library.publish({"a": "One."})
    with pytest.raises(UsageError, match="goes from 0 to 1"):
        diff(library, 0, 2)
    with pytest.raises(UsageError, match="goes from 0 to 1"):
        diff(library, -1, 1)
    with pytest.raises(UnknownCollection):
        compare(library.database, "nowhere", 0, 1)
    with pytest.raises(UnknownOperation, match="99"):
        compare_operation(library.database, 99)
    opened = library.open()
    with pytest.raises(UsageError, match="is open"):
        compare_operation(library.database, opened)
    second = Library(library.database, name="other").publish({"a": "One."})
    both = library.rollback.plan(Selector(operations=(first, second)), agent="alice")
    undone = library.rollback.run(both, WHO).rollback_operation_id
    with pytest.raises(UsageError, match="touched library, other: name the collection"):
        compare_operation(library.database, undone)
    assert changes(compare_operation(library.database, undone, "other")) == {"a": "removed"}


def test_what_was_reclaimed_is_refused_not_guessed(library: Library):
    """A position before the horizon can't be compared; one with a tag, and later ones, can."""
    for text in ("One.", "Two.", "Three."):
        library.publish({"a": text})
    storage = Storage(library.database, read_settings({}))
    storage.tag("first", at=1, by="alice")
    storage.reclaim(WHO, horizon=3)
    for ask in (lambda: diff(library, 2, 3).counts(), lambda: list(diff(library, 3, 2).documents())):
        with pytest.raises(PastHorizon):
            ask()
    (changed,) = diff(library, 1, 3).documents()
    assert changed.lines[3:] == ("-One.", "+Three.")


def test_an_erased_document_is_absent_on_both_sides(library: Library):
    """Nothing of it is shown, whichever positions are compared."""
    library.publish({"a": "One.", "b": "One."})
    library.publish({"a": "Two.", "b": "Two."})
    Storage(library.database, read_settings({})).erase("a", WHO, collection=library.name)
    assert changes(diff(library, 1, 2)) == {"b": "changed"}
    assert changes(diff(library, 0, 3)) == {"b": "added"}


@pytest.mark.parametrize("named_records", [10_000, 0])
def test_any_history_is_told_as_it_was(library: Library, monkeypatch, named_records: int):
    """Against what a reader saw at both positions, by record or by reading the whole collection."""
    monkeypatch.setattr(room, "MOST_NAMED_RECORDS", named_records)
    written = [library.publish({"a": "A1.", "b": "B1."}), library.publish({"b": None, "c": "C1."})]
    written.append(library.publish({"a": "A2.", "d": "D1."}))
    undone = take_back(library, written[2])
    library.publish({"d": "D2."})
    library.rollback.redo(undone, WHO, "force")
    take_back(library, written[1])
    last = library.log.position()
    views = [library.view(position) for position in range(last + 1)]

    @given(before=st.integers(0, last), after=st.integers(0, last))
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def told(before: int, after: int) -> None:
        old, new = views[before], views[after]
        expected = dict.fromkeys(new.keys() - old.keys(), "added")
        expected |= dict.fromkeys(old.keys() - new.keys(), "removed")
        expected |= {key: "changed" for key in old.keys() & new.keys() if old[key] != new[key]}
        found = diff(library, before, after)
        assert changes(found) == expected
        assert list(changes(found)) == sorted(expected)
        for document in found.documents():
            come = [line[1:] for line in document.lines[2:] if line.startswith("+")]
            gone = [line[1:] for line in document.lines[2:] if line.startswith("-")]
            assert gone == [view[document.source] for view in (old,) if document.source in view]
            assert come == [view[document.source] for view in (new,) if document.source in view]

    told()


def test_memory_is_that_of_one_document_not_of_the_collection(library: Library):
    """Going through 300 documents of 60 kB takes less than a few of them."""
    text = " ".join(f"word{n}" for n in range(8_000))
    operation = library.open()
    for number in range(300):
        library.write(operation, {f"doc-{number:03}": f"{number} {text}"})
    library.log.publish(operation)
    documents = diff(library, 0, 1).documents()
    next(documents)
    tracemalloc.start()
    try:
        assert sum(1 for _ in documents) == 299
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000 < 300 * len(text)
