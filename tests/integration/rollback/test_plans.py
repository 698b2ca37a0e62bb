"""Read in order, this is a stored plan's life: open, approved, applied, verified; or aborted, or expired."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from recant.errors import PlanClosed, PlanStale, Refused, UsageError
from recant.oplog import Attribution, Selector
from recant.rollback import Plan, Plans, Rollback
from recant.settings import read_settings
from tests.integration.library import Library

WHO = Attribution("alice", message="taken back")


def plan_of(library: Library, *operations: int, **options: str) -> Plan:
    return library.rollback.plan(Selector(operations=operations), agent="alice", **options)


def poisoned(library: Library) -> Plan:
    """A plan for the second of two operations."""
    library.publish({"a": "base"})
    return plan_of(library, library.publish({"a": "poison"}))


def let_expire(database: str, plan: Plan) -> None:
    """Turns the clock on, for this plan."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "UPDATE recant.rollback_plan SET expires_at = now() - interval '1 s' WHERE id = %s", [plan.plan_id]
        )


def plans(library: Library) -> Plans:
    return library.rollback.plans


def state(library: Library, plan: Plan) -> str:
    return plans(library).get(plan.plan_id).state


def test_a_plan_notes_every_step_of_its_life(library: Library):
    """Who approved and when, as which operation it was applied, and the certificate that was verified."""
    plan = poisoned(library)
    assert (plan.state, plan.approved_by, plan.certificate) == ("open", None, None)
    approved = plans(library).approve(plan.plan_id, "nora")
    assert (approved.state, approved.approved_by) == ("approved", "nora")
    report = library.rollback.apply(plan, WHO)
    assert (report.plan.state, report.plan.applied_as) == ("applied", report.rollback_operation_id)
    certificate = library.rollback.verify(report.rollback_operation_id)
    done = plans(library).get(plan.plan_id)
    assert (done.state, done.certificate) == ("verified", certificate.to_dict())
    assert done.created_at < done.approved_at < done.applied_at < done.verified_at
    assert library.view() == {"a": "base"}


def test_a_plan_lasts_as_long_as_the_setting_says(library: Library):
    """72 hours from when it was stored, unless RECANT_PLAN_HOURS says otherwise."""
    plan = poisoned(library)
    assert plan.created_at is not None
    assert plan.expires_at - plan.created_at < timedelta(hours=72, seconds=1)
    brief = Rollback(library.database, replace(read_settings({}), plan_hours=1))
    short = brief.plan(Selector(operations=plan.selected), agent="alice")
    assert timedelta(minutes=59) < short.expires_at - short.created_at < timedelta(minutes=61)


def test_an_expired_plan_is_neither_approved_nor_applied(library: Library, database: str):
    """It is shown as expired though no job has touched it, and the refusal says what to do."""
    plan = poisoned(library)
    let_expire(database, plan)
    assert state(library, plan) == "expired"
    for attempt in (
        lambda: library.rollback.apply(plan, WHO),
        lambda: library.rollback.resume(plan.plan_id, WHO),
        lambda: plans(library).approve(plan.plan_id, "nora"),
        lambda: plans(library).extend(plan.plan_id, 1),
    ):
        with pytest.raises(PlanClosed, match=r"expired at \d{4}-.*Make a new plan"):
            attempt()
    assert library.view() == {"a": "poison"}


def test_an_aborted_plan_is_closed_for_good(library: Library):
    """Who aborted it and why is part of the refusal; aborting it again changes neither."""
    plan = poisoned(library)
    plans(library).approve(plan.plan_id, "nora")
    aborted = plans(library).abort(plan.plan_id, "ned", "the export was right")
    assert (aborted.state, aborted.aborted_by, aborted.abort_reason) == ("aborted", "ned", "the export was right")
    assert plans(library).abort(plan.plan_id, "somebody else", "late") == aborted
    with pytest.raises(PlanClosed, match=r"aborted by ned \(the export was right\)"):
        library.rollback.apply(plan, WHO)
    with pytest.raises(PlanClosed, match="aborted by ned"):
        plans(library).approve(plan.plan_id, "nora")
    assert library.view() == {"a": "poison"}


def test_what_was_applied_is_not_aborted_but_redone(library: Library):
    """The refusal names the redo."""
    report = library.rollback.run(poisoned(library), WHO)
    with pytest.raises(PlanClosed, match=f"recant redo {report.rollback_operation_id}"):
        plans(library).abort(report.plan.plan_id, "ned")
    assert state(library, report.plan) == "verified"


def test_the_first_approval_stays(library: Library):
    """A second person's is not written over it, nor one that comes after the plan was applied."""
    plan = poisoned(library)
    first = plans(library).approve(plan.plan_id, "nora")
    assert plans(library).approve(plan.plan_id, "ned") == first
    other = plan_of(library, *plan.selected)
    library.rollback.run(other, WHO)
    assert plans(library).approve(other.plan_id, "too late").approved_by is None


def test_nobody_approves_without_a_name(library: Library):
    """Nor with one of more than 200 characters."""
    plan = poisoned(library)
    for name in ("", "  ", "x" * 201):
        with pytest.raises(UsageError, match="who"):
            plans(library).approve(plan.plan_id, name)


def test_a_question_keeps_its_plan_alive(library: Library):
    """Extending makes it last longer, never shorter."""
    plan = poisoned(library)
    assert plans(library).extend(plan.plan_id, 1).expires_at == plan.expires_at
    assert plans(library).extend(plan.plan_id, 1000).expires_at > plan.expires_at + timedelta(hours=900)


def test_continue_applies_what_was_approved(library: Library):
    """Nobody came to apply it: the approval is on the certificate."""
    plan = poisoned(library)
    plans(library).approve(plan.plan_id, "nora")
    report = library.rollback.resume(plan.plan_id, WHO)
    assert (report.applied, report.plan.state) == (True, "verified")
    assert report.certificate.approved_by == "nora"
    assert library.view() == {"a": "base"}


def test_continue_needs_an_approval(library: Library):
    """An open plan is left alone, and the refusal says how to approve it."""
    plan = poisoned(library)
    with pytest.raises(Refused, match=f"recant plan approve {plan.plan_id}"):
        library.rollback.resume(plan.plan_id, WHO)
    assert library.view() == {"a": "poison"}


@pytest.mark.parametrize("step", ["_require_fresh", "_verdicts"])
def test_continue_after_a_crash_while_applying(library: Library, monkeypatch: pytest.MonkeyPatch, step: str):
    """Nothing was changed then, the plan is still approved, and it is applied once."""
    plan = poisoned(library)
    plans(library).approve(plan.plan_id, "nora")
    with monkeypatch.context() as patch, pytest.raises(ConnectionError):
        patch.setattr(Rollback, step, crash)
        library.rollback.run(plan, WHO)
    assert (state(library, plan), library.view()) == ("approved", {"a": "poison"})
    assert library.rollback.resume(plan.plan_id, WHO).plan.state == "verified"
    assert library.log.position() == 3


def test_continue_after_a_crash_while_it_is_closed(library: Library, monkeypatch: pytest.MonkeyPatch):
    """The verdicts and the plan's end are one transaction: both are gone."""
    plan = poisoned(library)
    plans(library).approve(plan.plan_id, "nora")
    with monkeypatch.context() as patch, pytest.raises(ConnectionError):
        patch.setattr(Plans, "close", crash)
        library.rollback.run(plan, WHO)
    assert (state(library, plan), library.view(), library.log.position()) == ("approved", {"a": "poison"}, 2)
    assert library.rollback.resume(plan.plan_id, WHO).applied


@pytest.mark.parametrize(("owner", "step"), [(Rollback, "verify"), (Plans, "keep_certificate")])
def test_continue_after_a_crash_between_apply_and_verify(library: Library, monkeypatch, owner: type, step: str):
    """It is applied and not verified; going on verifies it, applies nothing, and going on again says that it is done."""
    plan = poisoned(library)
    with monkeypatch.context() as patch, pytest.raises(ConnectionError):
        patch.setattr(owner, step, crash)
        library.rollback.run(plan, WHO)
    assert state(library, plan) == "applied"
    assert "recant plan continue" in library.rollback.apply(plan, WHO).message
    report = library.rollback.resume(plan.plan_id, WHO)
    assert (report.applied, report.plan.state, report.certificate.verified) == (False, "verified", True)
    assert "verified now" in report.message
    again = library.rollback.resume(plan.plan_id, WHO)
    assert (again.certificate, again.rollback_operation_id) == (report.certificate, report.rollback_operation_id)
    assert "nothing left to do" in again.message
    assert library.log.position() == 3


def crash(*_: object, **__: object) -> None:
    """What happens to a worker."""
    raise ConnectionError("the worker is gone")


def test_a_certificate_that_does_not_hold_leaves_the_plan_applied(library: Library, database: str):
    """It is kept, to be looked at, until one holds; one that held is never replaced."""
    plan = poisoned(library)
    report = library.rollback.apply(plan, WHO)
    with psycopg.connect(database, autocommit=True) as admin:
        wrong = [plan.selected[0] - 1, report.position]
        admin.execute("INSERT INTO recant.visibility_history VALUES (%s, %s, false)", wrong)
        assert "not what it should be" in library.rollback.resume(plan.plan_id, WHO).message
        stored = plans(library).get(plan.plan_id)
        assert (stored.state, stored.certificate["verified"]) == ("applied", False)
        admin.execute(
            "DELETE FROM recant.visibility_history WHERE operation_id = %s AND from_position = %s AND NOT visible",
            wrong,
        )
        assert library.rollback.resume(plan.plan_id, WHO).plan.state == "verified"
        held = plans(library).get(plan.plan_id).certificate
        admin.execute("INSERT INTO recant.visibility_history VALUES (%s, %s, false)", wrong)
    assert not library.rollback.verify(report.rollback_operation_id).verified
    assert plans(library).get(plan.plan_id).certificate == held


def test_a_stale_plan_stays_open_and_can_be_aborted(library: Library):
    """Staleness is found when it is applied, each time."""
    library.publish({"a": "base"}, agent="rogue")
    plan = library.rollback.plan(Selector(agents=("rogue",)), agent="alice")
    library.publish({"b": "more"}, agent="rogue")
    plans(library).approve(plan.plan_id, "nora")
    for _ in range(2):
        with pytest.raises(PlanStale):
            library.rollback.resume(plan.plan_id, WHO)
    assert state(library, plan) == "approved"
    assert plans(library).abort(plan.plan_id, "nora").state == "aborted"


def test_plans_are_found_by_their_state(library: Library, database: str):
    """Newest first, redos and quarantines too, with how many operations each withdraws."""
    plan = poisoned(library)
    expired, aborted, approved = (plan_of(library, *plan.selected) for _ in range(3))
    let_expire(database, expired)
    plans(library).abort(aborted.plan_id, "ned")
    plans(library).approve(approved.plan_id, "nora")
    undone = library.rollback.run(plan_of(library, *plan.selected), WHO)
    library.rollback.redo(undone.rollback_operation_id, WHO)
    every = plans(library).find()
    assert [(p["state"], p["kind"], p["withdraws"]) for p in every] == [
        ("verified", "redo", 1),
        ("verified", "rollback", 1),
        ("approved", "rollback", 1),
        ("aborted", "rollback", 1),
        ("expired", "rollback", 1),
        ("open", "rollback", 1),
    ]
    assert [p["plan_id"] for p in plans(library).find("expired")] == [expired.plan_id]
    assert len(plans(library).find(limit=2)) == 2
    with pytest.raises(UsageError, match="must be one of open, approved"):
        plans(library).find("pending")


def test_a_plan_of_another_database_is_named_as_that(library: Library):
    """The message says which database would have it."""
    elsewhere = "0192f0c1-0000-7000-8000-000000000000"
    for attempt in (
        lambda: plans(library).get(elsewhere),
        lambda: plans(library).abort(elsewhere, "ned"),
        lambda: library.rollback.resume(elsewhere, WHO),
        lambda: library.rollback.apply(elsewhere, WHO),
    ):
        with pytest.raises(UsageError, match="another database"):
            attempt()


def test_one_plan_is_applied_once_by_however_many(library: Library):
    """The others wait, and are told as which operation it was applied."""
    plan = poisoned(library)
    reports = race(*[lambda: library.rollback.apply(plan, WHO)] * 4)
    assert sorted(r.applied for r in reports) == [False, False, False, True]
    assert len({r.rollback_operation_id for r in reports}) == 1
    assert library.log.position() == 3


def test_an_abort_and_an_apply_at_once_leave_one_winner(library: Library):
    """Either it is applied and the abort is refused, or the reverse; never both."""
    for number in range(8):
        plan = plan_of(library, library.publish({f"doc-{number}": "poison"}))
        applied, aborted = race(
            lambda plan=plan: library.rollback.apply(plan, WHO),
            lambda plan=plan: plans(library).abort(plan.plan_id, "ned"),
        )
        assert isinstance(applied, PlanClosed) != isinstance(aborted, PlanClosed)
        assert state(library, plan) == ("aborted" if isinstance(applied, PlanClosed) else "applied")


def race(*attempts):
    """What each came to, all at once, in the order given."""
    ready = threading.Barrier(len(attempts))
    came_to: list[object] = [None] * len(attempts)

    def run(place: int) -> None:
        ready.wait()
        try:
            came_to[place] = attempts[place]()
        except Refused as refused:
            came_to[place] = refused

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(attempts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return came_to


def test_the_roles_that_log_in_move_a_plan_by_its_functions_only(database: str):
    """No grant lets a worker rewrite an approval or a certificate."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET ROLE recant_worker")
        for statement in ("UPDATE recant.rollback_plan SET approved_by = 'me'", "DELETE FROM recant.rollback_plan"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
        connection.execute("SET ROLE recant_reader")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT recant.approve_plan(gen_random_uuid(), 'me')")
