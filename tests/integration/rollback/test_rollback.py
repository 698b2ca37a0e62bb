"""Read in order, this is what a rollback promises."""

from __future__ import annotations

import threading

import psycopg
import pytest

from recant.errors import (
    EmptySelector,
    HasDependents,
    InputWithdrawn,
    PlanStale,
    UnknownCollection,
    UnknownOperation,
    UsageError,
    WriteConflict,
)
from recant.oplog import Attribution, Selector
from recant.rollback import verify_log
from tests.integration.library import Library

WHO = Attribution("alice", message="taken back")


def take_back(library: Library, *operations: int, policy: str = "refuse"):
    return library.rollback.run(
        library.rollback.plan(Selector(operations=operations), policy=policy, agent="alice"), WHO
    )


def test_a_rollback_takes_back_exactly_what_was_selected(library: Library):
    """The state is as if the operation had never been: its documents gone, what it superseded seen again."""
    base = library.publish({"a": "base", "b": "base"})
    before = library.view()
    poison = library.publish({"a": "poison", "new": "poison"}, agent="rogue", run_id="bad-run")
    report = library.rollback.run(library.rollback.plan(Selector(runs=("bad-run",)), agent="alice"), WHO)
    assert library.view() == before
    assert report.applied
    assert report.withdrawn == (poison,)
    assert report.plan.records == {"document": 2, "chunk": 2}
    assert report.plan.revived == {"document": 1, "chunk": 1}
    assert library.log.get(poison).state == "reverted"
    assert library.log.get(base).state == "published"


def test_the_certificate_compares_two_roads(library: Library):
    """What is seen equals the story told again without the withdrawn; who approved is on it."""
    library.publish({"a": "base"})
    poison = library.publish({"a": "poison"})
    plan = library.rollback.plan(Selector(operations=(poison,)), agent="alice")
    library.rollback.approve(plan.plan_id, "the night watch")
    certificate = library.rollback.run(plan, WHO).certificate
    assert certificate is not None
    assert certificate.verified
    assert certificate.digest_after == certificate.digest_expected != certificate.digest_before
    assert certificate.kinds["document"] == {"before": 1, "after": 1, "expected": 1}
    assert certificate.approved_by == "the night watch"


def test_the_certificate_tells_when_the_state_is_wrong(library: Library, database: str):
    """A visibility that doesn't follow from the verdicts is found out."""
    keep = library.publish({"a": "base"})
    poison = library.publish({"b": "poison"})
    report = take_back(library, poison)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("INSERT INTO recant.visibility_history VALUES (%s, %s, false)", [keep, report.position])
    certificate = library.rollback.verify(report.rollback_operation_id)
    assert not certificate.verified


def test_rolling_back_twice_is_a_no_op_that_says_so(library: Library):
    """Neither a second plan nor the same plan again changes anything."""
    poison = library.publish({"a": "poison"})
    first = take_back(library, poison)
    again = take_back(library, poison)
    assert (again.applied, again.rollback_operation_id) == (False, None)
    assert "already" in again.message
    same = library.rollback.apply(first.plan.plan_id, WHO)
    assert not same.applied
    assert str(first.rollback_operation_id) in same.message
    assert library.log.position() == 2


def test_redo_brings_back_what_a_rollback_hid(library: Library):
    """Redo is the inverse of rollback, and redo of the redo is the rollback again."""
    library.publish({"a": "base"})
    other = library.publish({"a": "other"})
    view = library.view()
    undone = take_back(library, other)
    assert library.view() == {"a": "base"}
    redone = library.rollback.redo(undone.rollback_operation_id, WHO)
    assert library.view() == view
    assert redone.certificate is not None
    assert redone.certificate.verified
    again = library.rollback.redo(redone.rollback_operation_id, WHO)
    assert library.view() == {"a": "base"}
    assert again.certificate is not None
    assert again.certificate.verified


def test_two_rollbacks_over_one_operation_are_two_words(library: Library):
    """R1 hides A, R2 hides A and B: after a redo of R1 neither is seen, after one of R2 both are."""
    a = library.publish({"a": "A"})
    b = library.publish({"b": "B"})
    first = take_back(library, a)
    second = take_back(library, a, b)
    assert second.plan.withdraw == (a, b)
    library.rollback.redo(first.rollback_operation_id, WHO)
    assert library.view() == {}
    library.rollback.redo(second.rollback_operation_id, WHO)
    assert library.view() == {"a": "A", "b": "B"}


def test_dependents_refuse_a_rollback_and_are_named(library: Library):
    """Under `refuse` nothing happens and the report says who was built on it, and how."""
    base = library.publish({"a": "base"})
    nightly = library.open("nightly")
    library.affirm(nightly, "a")
    library.log.publish(nightly)
    with pytest.raises(HasDependents) as refused:
        library.rollback.plan(Selector(operations=(base,)), agent="alice")
    operations = refused.value.details["blast_radius"]["operations"]
    assert [(o["operation_id"], o["relation"], o["certainty"]) for o in operations] == [
        (base, "selected", "definite"),
        (nightly, "affirmed", "definite"),
    ]
    assert library.view() == {"a": "base"}


def test_cascade_takes_the_definite_dependents_too(library: Library):
    """Over any number of hops, hidden ones in between included."""
    base = library.publish({"a": "base"})
    nightly = library.open("nightly")
    library.affirm(nightly, "a")
    library.write(nightly, {"b": "nightly's"})
    library.log.publish(nightly)
    weekly = library.open("weekly")
    library.affirm(weekly, "b")
    library.log.publish(weekly)
    report = take_back(library, base, policy="cascade")
    assert report.withdrawn == (base, nightly, weekly)
    assert library.view() == {}
    assert report.certificate is not None
    assert report.certificate.verified


def test_safe_only_takes_back_what_nobody_else_built_on(library: Library):
    """The rest is kept, and named with those who were built on it."""
    base = library.publish({"a": "base"}, agent="rogue")
    loose = library.publish({"b": "loose"}, agent="rogue")
    nightly = library.open("nightly")
    library.affirm(nightly, "a")
    library.log.publish(nightly)
    plan = library.rollback.plan(Selector(agents=("rogue",)), policy="safe_only", agent="x")
    assert (plan.withdraw, plan.kept, plan.left) == ((loose,), (base,), (nightly,))
    assert library.rollback.run(plan, WHO).certificate.verified
    assert library.view() == {"a": "base"}


def test_force_leaves_the_dependents_standing_and_names_them(library: Library):
    """Only what was selected goes."""
    base = library.publish({"a": "base"})
    nightly = library.open("nightly")
    library.affirm(nightly, "a")
    library.write(nightly, {"b": "nightly's"})
    library.log.publish(nightly)
    report = take_back(library, base, policy="force")
    assert (report.withdrawn, report.plan.left) == ((base,), (nightly,))
    assert library.view() == {"b": "nightly's"}


def test_a_quarantine_hides_at_once_and_a_release_shows_again(library: Library):
    """Dependents stay and are named; the state says quarantined; both are certified."""
    base = library.publish({"a": "base"})
    suspect = library.publish({"a": "suspect"}, agent="rogue")
    hidden = library.rollback.quarantine(Selector(agents=("rogue",)), WHO)
    assert library.view() == {"a": "base"}
    assert library.log.get(suspect).state == "quarantined"
    assert not library.rollback.quarantine(Selector(operations=(suspect,)), WHO).applied
    shown = library.rollback.release(Selector(operations=(base, suspect)), WHO)
    assert shown.plan.bring_back == (suspect,)
    assert library.view() == {"a": "suspect"}
    assert hidden.certificate.verified
    assert shown.certificate.verified
    again = library.rollback.release(Selector(operations=(suspect,)), WHO)
    assert "None of it is quarantined" in again.message


def test_what_was_reverted_in_quarantine_is_not_released(library: Library):
    """The decision was made: the last effective word is the rollback's. Its redo gives the quarantine back."""
    suspect = library.publish({"a": "suspect"})
    library.rollback.quarantine(Selector(operations=(suspect,)), WHO)
    undone = take_back(library, suspect)
    assert library.log.get(suspect).state == "reverted"
    assert not library.rollback.release(Selector(operations=(suspect,)), WHO).applied
    library.rollback.redo(undone.rollback_operation_id, WHO)
    assert library.log.get(suspect).state == "quarantined"


def test_a_release_over_a_later_write_is_refused_unless_forced(library: Library):
    """Whatever comes back passes the test that publishing passes."""
    suspect = library.publish({"a": "suspect"})
    library.rollback.quarantine(Selector(operations=(suspect,)), WHO)
    library.publish({"a": "written since"})
    with pytest.raises(WriteConflict):
        library.rollback.release(Selector(operations=(suspect,)), WHO)
    library.rollback.release(Selector(operations=(suspect,)), WHO, "force")
    assert library.view() == {"a": "written since"}


def test_a_restore_shows_a_collection_as_it_was(library: Library):
    """Later work is hidden, not lost; what was withdrawn since is seen again; a redo takes the restore back."""
    first = library.publish({"a": "one"})
    library.publish({"b": "two"})
    take_back(library, first)
    library.publish({"c": "three"})
    now = library.view()
    restored = library.rollback.restore("library", 2, WHO)
    assert library.view() == {"a": "one", "b": "two"}
    assert restored.certificate.verified
    assert not library.rollback.restore("library", 2, WHO).applied
    library.rollback.redo(restored.rollback_operation_id, WHO)
    assert library.view() == now
    with pytest.raises(UsageError, match="from 0 to"):
        library.rollback.restore("library", 99, WHO)
    with pytest.raises(UnknownCollection):
        library.rollback.restore("elsewhere", 1, WHO)


def test_a_restore_touches_one_collection(library: Library):
    """Another collection's operations stay as they are."""
    other = Library(library.database, name="other")
    library.publish({"a": "one"})
    other.publish({"z": "other"})
    library.rollback.restore("library", 0, WHO)
    assert library.view() == {"z": "other"}


def test_superseding_is_not_depending(library: Library):
    """A later version of the same record, made without the earlier one, stands when the earlier one goes."""
    first = library.publish({"a": "first"})
    library.publish({"a": "second"})
    take_back(library, first)
    assert library.view() == {"a": "second"}


def test_a_tombstone_is_taken_back_like_any_version(library: Library):
    """What was retired is seen again; redo retires it again."""
    library.publish({"a": "base"})
    retired = library.publish({"a": None})
    assert library.view() == {}
    undone = take_back(library, retired)
    assert library.view() == {"a": "base"}
    library.rollback.redo(undone.rollback_operation_id, WHO)
    assert library.view() == {}


def test_a_redo_that_would_come_back_shadowed_is_refused(library: Library):
    """C wrote while A was away: redo of A is refused until C is taken back."""
    a = library.publish({"r": "A"})
    undone = take_back(library, a)
    c = library.publish({"r": "C"})
    with pytest.raises(WriteConflict, match=f"operation {c} wrote it while operation {a} was away"):
        library.rollback.redo(undone.rollback_operation_id, WHO)
    take_back(library, c)
    library.rollback.redo(undone.rollback_operation_id, WHO)
    assert library.view() == {"r": "A"}


def test_a_redo_onto_something_withdrawn_is_refused(library: Library):
    """What comes back must stand on something that is seen."""
    x = library.publish({"x": "X"})
    y = library.open()
    library.affirm(y, "x")
    library.write(y, {"y": "Y"})
    library.log.publish(y)
    undo_y = take_back(library, y)
    take_back(library, x)
    with pytest.raises(InputWithdrawn, match=f"operation {x}"):
        library.rollback.redo(undo_y.rollback_operation_id, WHO)


def test_a_plan_is_stale_when_its_answer_is_no_longer_todays(library: Library):
    """Something else of the same agent, or a write over what would come back: PlanStale, and nothing is changed."""
    library.publish({"a": "base"}, agent="rogue")
    plan = library.rollback.plan(Selector(agents=("rogue",)), agent="alice")
    library.publish({"b": "more"}, agent="rogue")
    view = library.view()
    with pytest.raises(PlanStale):
        library.rollback.apply(plan, WHO)
    assert library.view() == view


def test_a_plan_whose_records_were_written_since_is_stale(library: Library):
    """What would be seen afterwards is another head than the plan promised."""
    poison = library.publish({"a": "poison"})
    plan = library.rollback.plan(Selector(operations=(poison,)), agent="alice")
    library.publish({"a": "written since"})
    with pytest.raises(PlanStale):
        library.rollback.apply(plan, WHO)


def test_unrelated_writes_do_not_make_a_plan_stale(library: Library):
    """The answer is worked out again under the lock, and it is the same."""
    poison = library.publish({"a": "poison"})
    plan = library.rollback.plan(Selector(operations=(poison,)), agent="alice")
    library.publish({"z": "unrelated"})
    assert library.rollback.apply(plan, WHO).applied
    assert library.view() == {"z": "unrelated"}


def test_a_write_in_flight_over_a_withdrawn_head_is_refused(library: Library):
    """C wrote over A while A was seen; A is withdrawn before C is published."""
    a = library.publish({"r": "A"})
    c = library.open()
    library.write(c, {"r": "C"})
    undone = take_back(library, a)
    with pytest.raises(WriteConflict):
        library.log.publish(c)
    library.rollback.redo(undone.rollback_operation_id, WHO)
    library.log.publish(c)
    assert library.view() == {"r": "C"}


def test_the_blast_radius_changes_nothing_and_names_everything(library: Library):
    """Operations with relation and certainty, agents, sessions, records by kind, what comes back."""
    library.publish({"a": "base"})
    poison = library.publish({"a": "poison", "n": "new"}, agent="rogue", session="night")
    radius = library.rollback.blast_radius(Selector(agents=("rogue",))).to_dict()
    assert [o["operation_id"] for o in radius["operations"]] == [poison]
    assert (radius["agents"], radius["sessions"]) == (["rogue"], ["night"])
    assert radius["records"] == {"document": 2, "chunk": 2}
    assert radius["revived"] == {"document": 1, "chunk": 1}
    assert {(s["key"], s["after_operation"]) for s in radius["sample"]} == {("a", 1), ("n", None)}
    assert library.log.position() == 2


def test_a_selector_that_matches_nothing_changes_nothing(library: Library):
    """It says so, and takes no position."""
    library.publish({"a": "base"})
    report = library.rollback.run(library.rollback.plan(Selector(agents=("nobody",)), agent="x"), WHO)
    assert not report.applied
    assert "Nothing published matches" in report.message
    assert library.log.position() == 1


def test_an_empty_selector_never_means_everything(library: Library):
    """It is refused, for the blast radius as for the plan."""
    with pytest.raises(EmptySelector):
        library.rollback.plan(Selector(), agent="x")
    with pytest.raises(EmptySelector):
        library.rollback.blast_radius(Selector())


def test_what_can_not_be_taken_back_is_refused_by_name(library: Library):
    """Unknown, open and aborted operations, control operations, unknown policies, foreign plans."""
    opened = library.open()
    data = library.publish({"a": "base"})
    control = take_back(library, data).rollback_operation_id
    with pytest.raises(UnknownOperation, match="999"):
        take_back(library, 999)
    with pytest.raises(UsageError, match="is open"):
        take_back(library, opened)
    with pytest.raises(UsageError, match="recant redo"):
        take_back(library, control)
    with pytest.raises(UsageError, match="no rollback"):
        library.rollback.redo(data, WHO)
    with pytest.raises(UnknownOperation):
        library.rollback.redo(999, WHO)
    with pytest.raises(UsageError, match="policy"):
        take_back(library, data, policy="yolo")
    with pytest.raises(UsageError, match="no plan"):
        library.rollback.load_plan("0192f0c1-0000-7000-8000-000000000000")
    with pytest.raises(UsageError, match="plan's id"):
        library.rollback.load_plan("nonsense")


def test_selectors_never_pick_control_operations(library: Library):
    """A time window takes back what was written in it, not somebody's rollback."""
    first = library.publish({"a": "A"}, agent="alice")
    take_back(library, first)
    since = library.log.get(first).published_at
    plan = library.rollback.plan(Selector(agents=("alice",), since=since), agent="x")
    assert plan.selected == (first,)
    assert plan.is_empty


def test_concurrent_rollbacks_of_the_same_operation_apply_once(library: Library):
    """One of them withdraws it; for the others it is stale or a no-op."""
    poison = library.publish({"a": "poison"})
    plans = [library.rollback.plan(Selector(operations=(poison,)), agent="x") for _ in range(5)]
    outcomes: list[object] = []

    def race(plan) -> None:
        try:
            outcomes.append(library.rollback.apply(plan, WHO).applied)
        except PlanStale:
            outcomes.append("stale")

    threads = [threading.Thread(target=race, args=(p,)) for p in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(True) == 1
    assert library.log.position() == 2


def test_verify_finds_nothing_wrong_in_a_healthy_log(library: Library):
    """After writes, rollbacks and redos every check holds."""
    a = library.publish({"a": "A", "b": "B"})
    library.publish({"a": "A2"})
    library.rollback.redo(take_back(library, a).rollback_operation_id, WHO)
    report = verify_log(library.database)
    assert report.ok, report.checks
    assert report.records == {"document": 2}


@pytest.mark.parametrize(("tampering", "check"), [
    ("UPDATE recant.operation SET message = 'innocent' WHERE id = 1", "hash chain"),
    ("UPDATE recant.version SET content_hash = sha256('forged') WHERE operation_id = 1", "content digests"),
    ("UPDATE recant.operation SET visible = false WHERE id = 1", "visibility history"),
    ("UPDATE recant.operation SET visible = false WHERE id = 1", "verdicts"),
    ("INSERT INTO recant.visibility_history VALUES (1, 2, false)", "replay"),
    ("DELETE FROM recant.chunk WHERE version_id IN (SELECT version_id FROM recant.version WHERE operation_id = 1)", "chunks"),
    ("UPDATE recant.verdict SET shows = true", "hash chain"),
    ("UPDATE recant.version SET version_id = 1000 + row_number FROM (SELECT version_id AS v, row_number() OVER (ORDER BY version_id DESC) "
     "FROM recant.version) x WHERE version_id = v", "version order"),
])  # fmt: skip
def test_verify_says_what_was_tampered_with(library: Library, database: str, tampering: str, check: str):
    """Each kind of tampering breaks the check that is there for it."""
    library.publish({"a": "A"})
    second = library.publish({"a": "A2"})
    take_back(library, second)
    with psycopg.connect(database, autocommit=True) as admin:
        if "version_id = 1000" in tampering:
            admin.execute("ALTER TABLE recant.version ALTER version_id DROP IDENTITY")
        admin.execute(tampering)
    report = verify_log(library.database)
    assert not report.ok
    assert check in [c.name for c in report.checks if not c.ok]
