"""A rollback by document takes back that document of an operation and leaves the rest of it."""

from __future__ import annotations

import pytest

from recant.errors import HasDependents, InputWithdrawn, PlanStale, WriteConflict
from recant.oplog import Attribution, Selector
from recant.rollback import verify_log
from tests.integration.library import Library

WHO = Attribution("warden")


def take_back(library: Library, *, policy: str = "refuse", **conditions):
    plan = library.rollback.plan(Selector(**conditions), policy=policy, agent="warden")
    return library.rollback.run(plan, WHO)


def test_one_document_goes_and_the_rest_stays(library: Library):
    """What the operation had superseded is seen again; its other documents are left alone; the certificate holds."""
    library.publish({"a": "old a"}, agent="alice")
    bad = library.publish({"a": "bad a", "b": "good b", "c": "good c"}, agent="rogue")
    report = take_back(library, agents=("rogue",), sources=("a",))
    assert library.view() == {"a": "old a", "b": "good b", "c": "good c"}
    assert report.certificate.verified
    assert report.plan.withdraw == ()
    assert [(r.operation_id, r.source) for r in report.plan.withdraw_records] == [(bad, "a")]
    assert library.log.get(bad).state == "published"
    assert verify_log(library.database).ok


def test_a_redo_brings_the_document_back_where_it_was(library: Library):
    """Undo of the undo of the undo hides it again."""
    library.publish({"a": "bad a", "b": "b"})
    rollback = take_back(library, sources=("a",)).rollback_operation_id
    assert library.view() == {"b": "b"}
    redo = library.rollback.redo(rollback, WHO)
    assert library.view() == {"a": "bad a", "b": "b"}
    again = library.rollback.redo(redo.rollback_operation_id, WHO)
    assert library.view() == {"b": "b"}
    assert redo.certificate.verified
    assert again.certificate.verified
    assert verify_log(library.database).ok


def test_the_redo_of_a_whole_operation_keeps_out_what_was_taken_out_of_it(library: Library):
    """The two layers are independent: each has its own last word."""
    bad = library.publish({"a": "bad a", "b": "b"})
    narrow = take_back(library, sources=("a",))
    whole = take_back(library, operations=(bad,))
    assert library.view() == {}
    assert library.rollback.redo(whole.rollback_operation_id, WHO).certificate.verified
    assert library.view() == {"b": "b"}
    library.rollback.redo(narrow.rollback_operation_id, WHO)
    assert library.view() == {"a": "bad a", "b": "b"}


def test_an_operation_of_which_all_is_picked_is_taken_back_whole(library: Library):
    """Nothing is left of it that a narrower verdict could leave alone."""
    bad = library.publish({"a": "bad a", "b": "bad b"})
    plan = library.rollback.plan(Selector(sources=("a", "b")), agent="warden")
    assert plan.withdraw == (bad,)
    assert plan.withdraw_records == ()


def test_time_travel_sees_the_document_until_it_was_taken_back(library: Library):
    """As of each position the view is what it was then."""
    library.publish({"a": "old"})
    library.publish({"a": "new", "b": "b"})
    views = [library.view(position) for position in (1, 2)]
    rollback = take_back(library, operations=(2,), sources=("a",))
    library.rollback.redo(rollback.rollback_operation_id, WHO)
    assert [library.view(position) for position in (1, 2, 3, 4)] == [*views, {"a": "old", "b": "b"}, views[1]]


def test_a_later_affirmation_stands_in_the_way_unless_it_is_picked(library: Library):
    """Who left the document alone because it was there depends on it; picking by document alone picks that, too."""
    library.publish({"a": "bad a", "b": "b"}, agent="rogue")
    nightly = library.open(agent="nightly")
    library.write(nightly, {"c": "c"})
    library.affirm(nightly, "a", "b")
    library.log.publish(nightly)
    with pytest.raises(HasDependents, match="affirmed"):
        take_back(library, agents=("rogue",), sources=("a",))
    assert library.view() == {"a": "bad a", "b": "b", "c": "c"}
    report = take_back(library, sources=("a",))
    assert library.view() == {"b": "b", "c": "c"}
    assert {r.operation_id for r in report.plan.withdraw_records} == {1, nightly}


def test_cascade_takes_of_a_dependent_only_what_depends(library: Library):
    """An operation that affirmed the document keeps what it wrote itself."""
    library.publish({"a": "bad a", "b": "b"}, agent="rogue")
    nightly = library.open(agent="nightly")
    library.write(nightly, {"c": "c"})
    library.affirm(nightly, "a", "b")
    library.log.publish(nightly)
    report = take_back(library, policy="cascade", agents=("rogue",), sources=("a",))
    assert library.view() == {"b": "b", "c": "c"}
    assert report.certificate.verified
    radius = report.plan.blast_radius["operations"]
    assert {(o["operation_id"], o["relation"], tuple(o["narrowed_to"])) for o in radius} == {
        (1, "selected", ("a",)),
        (nightly, "affirmed", ("a",)),
    }
    taken_whole = take_back(library, policy="refuse", operations=(nightly,))
    assert library.rollback.redo(taken_whole.rollback_operation_id, WHO).applied


def test_safe_only_and_force(library: Library):
    """`safe_only` leaves alone what others built on and takes the rest; `force` takes it and names what stays."""
    library.publish({"a": "bad a", "b": "bad b", "c": "c"}, agent="rogue")
    nightly = library.open(agent="nightly")
    library.affirm(nightly, "a")
    library.write(nightly, {"d": "d"})
    library.log.publish(nightly)
    safe = take_back(library, policy="safe_only", agents=("rogue",), sources=("a", "b"))
    assert library.view() == {"a": "bad a", "c": "c", "d": "d"}
    assert [r.source for r in safe.plan.kept_records] == ["a"]
    forced = take_back(library, policy="force", agents=("rogue",), sources=("a",))
    assert library.view() == {"c": "c", "d": "d"}
    assert [(r.operation_id, r.source) for r in forced.plan.left_records] == [(nightly, "a")]


def test_quarantine_and_release_of_one_document(library: Library):
    """Hidden pending a decision, and back; a release of the whole operation releases its documents, too."""
    bad = library.publish({"a": "a", "b": "b"})
    library.rollback.quarantine(Selector(sources=("a",)), WHO)
    assert library.view() == {"b": "b"}
    library.rollback.release(Selector(sources=("a",)), WHO)
    assert library.view() == {"a": "a", "b": "b"}
    library.rollback.quarantine(Selector(sources=("b",)), WHO)
    report = library.rollback.release(Selector(operations=(bad,)), WHO)
    assert report.applied
    assert library.view() == {"a": "a", "b": "b"}
    assert verify_log(library.database).ok


def test_a_rolled_back_document_is_not_released(library: Library):
    """Only what is quarantined is released: the last effective word about the document is a rollback."""
    library.publish({"a": "a", "b": "b"})
    library.rollback.quarantine(Selector(sources=("a",)), WHO)
    take_back(library, sources=("a",))
    assert not library.rollback.release(Selector(sources=("a",)), WHO).applied
    assert library.view() == {"b": "b"}


def test_restore_brings_back_the_records_of_that_position(library: Library):
    """Withheld then and shown since, or the other way round: as it was, and a redo of the restore undoes that."""
    library.publish({"a": "a", "b": "b"})
    take_back(library, sources=("a",))
    library.publish({"c": "c"})
    now = library.view()
    restored = library.rollback.restore("library", 1, WHO)
    assert library.view() == {"a": "a", "b": "b"} == library.view(1)
    assert restored.certificate.verified
    library.rollback.redo(restored.rollback_operation_id, WHO)
    assert library.view() == now
    assert verify_log(library.database).ok


def test_a_write_over_the_document_meanwhile_is_a_conflict(library: Library):
    """Whoever wrote over the withdrawn document is refused at publishing, as after a whole rollback."""
    library.publish({"a": "old", "b": "b"})
    library.publish({"a": "bad", "b": "b2"})
    writer = library.open(agent="writer")
    library.write(writer, {"a": "newer"})
    take_back(library, operations=(2,), sources=("a",))
    with pytest.raises(WriteConflict, match='document "a"'):
        library.log.publish(writer)


def test_an_input_withdrawn_by_document_refuses_the_publish(library: Library):
    """Affirming one document of an operation isn't hurt by the withdrawal of another."""
    library.publish({"a": "bad", "b": "b"})
    first, second = library.open(agent="x"), library.open(agent="y")
    library.affirm(first, "a")
    library.affirm(second, "b")
    take_back(library, operations=(1,), sources=("a",))
    with pytest.raises(InputWithdrawn):
        library.log.publish(first)
    library.log.publish(second)


def test_a_redo_under_a_later_write_is_refused(library: Library):
    """The document came to be written by someone who didn't know the withdrawn version."""
    library.publish({"a": "bad", "b": "b"})
    rollback = take_back(library, sources=("a",)).rollback_operation_id
    library.publish({"a": "fresh"})
    with pytest.raises(WriteConflict):
        library.rollback.redo(rollback, WHO)
    library.rollback.redo(rollback, WHO, "force")
    assert library.view() == {"a": "fresh", "b": "b"}


def test_a_plan_by_document_is_stale_when_the_document_was_affirmed_meanwhile(library: Library):
    """What it would leave or withdraw has changed."""
    library.publish({"a": "bad", "b": "b"}, agent="rogue")
    plan = library.rollback.plan(Selector(agents=("rogue",), sources=("a",)), agent="warden")
    nightly = library.open(agent="nightly")
    library.affirm(nightly, "a")
    library.log.publish(nightly)
    with pytest.raises(PlanStale):
        library.rollback.apply(plan, WHO)
    assert library.rollback.load_plan(plan.plan_id).withdraw_records == plan.withdraw_records


def test_taking_back_again_says_so(library: Library):
    """Nothing is left to withdraw of that document."""
    library.publish({"a": "bad", "b": "b"})
    take_back(library, sources=("a",))
    again = take_back(library, sources=("a",))
    assert not again.applied
    assert "already" in again.message


def test_documents_by_id_and_position_ranges_select(library: Library):
    """A hit's document id picks as its source does; positions are inclusive; `everything` must be said."""
    for number in range(1, 5):
        library.publish({f"d{number}": "x", "shared": f"s{number}"})
    with library.database.transaction() as connection:
        shared = connection.execute("SELECT id FROM record WHERE key = 'shared'").fetchone()["id"]
    take_back(library, documents=(shared,), first_position=3, last_position=4)
    assert library.view()["shared"] == "s2"
    assert take_back(library, first_position=2, last_position=2).plan.withdraw == (2,)
    assert take_back(library, everything=True).applied
    assert library.view() == {}


def test_touching_picks_whole_operations_that_built_on_it(library: Library):
    """Those that wrote the document and those that affirmed it."""
    library.publish({"a": "a", "b": "b"})
    nightly = library.open(agent="nightly")
    library.affirm(nightly, "a")
    library.write(nightly, {"c": "c"})
    library.log.publish(nightly)
    library.publish({"d": "d"})
    assert take_back(library, touching=("a",)).plan.withdraw == (1, nightly)
    assert library.view() == {"d": "d"}
