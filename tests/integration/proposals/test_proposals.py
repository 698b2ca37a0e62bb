"""Rollbacks that nobody asked for: what is proposed, what isn't, and what a person's answer comes to."""

from __future__ import annotations

from datetime import timedelta

import pytest

from recant import Selector
from recant.errors import PlanClosed, UsageError
from recant.proposals.rendering import proposal_markdown
from tests.integration.proposals.conftest import BAD, GOOD, Desk


def test_a_published_document_that_breaks_the_suite_is_proposed_by_itself(desk: Desk):
    """The plan takes back that document and leaves the rest; applied, its certificate holds."""
    desk.publish({"b": GOOD}, agent="librarian")
    bad = desk.publish({"b": BAD, "c": GOOD})
    (proposal,) = desk.propose("strict")
    (document,) = proposal.evidence["documents"]
    assert (proposal.operation_id, proposal.policy, document["source"]) == (bad, "refuse", "b")
    assert proposal.selector == {"operations": [bad], "documents": [document["record_id"]]}
    assert desk.seen() == {"b": BAD, "c": GOOD}
    report = desk.kb.rollback(plan_id=proposal.plan_id)
    assert desk.seen() == {"b": GOOD, "c": GOOD}
    assert report.certificate.verified
    assert desk.kb.verify().ok


def test_nothing_is_proposed_twice(desk: Desk):
    """A second look stores no second plan, and a dry run none at all."""
    desk.publish({"b": BAD})
    assert [p.plan_id for p in desk.propose("strict", dry_run=True)] == [None]
    assert len(desk.propose("strict")) == 1
    assert desk.propose("strict") == desk.propose("strict", dry_run=True) == []
    assert len(desk.kb.rollbacks.plans.find()) == 1


def test_a_burst_of_negative_feedback_is_proposed(desk: Desk):
    """Three verdicts by two agents about one document of three: that document."""
    bad = desk.publish({"b": BAD, "c": GOOD, "d": GOOD})
    desk.say("incorrect", "b", "ada", "grace", "ada")
    (proposal,) = desk.propose()
    assert (proposal.operation_id, proposal.evidence["causes"]) == (bad, ["feedback"])
    assert proposal.evidence["documents"][0]["verdicts"] == {"incorrect": 3}
    assert proposal.evidence["givers"] == ["ada", "grace"]
    assert desk.kb.rollback(plan_id=proposal.plan_id).certificate.verified
    assert desk.seen() == {"c": GOOD, "d": GOOD}


def test_one_agent_alone_is_no_burst(desk: Desk):
    """However often it says so."""
    desk.publish({"b": BAD})
    desk.say("incorrect", "b", *["ada"] * 6)
    assert desk.propose() == []
    assert len(desk.propose(least_agents=1)) == 1


def test_helpful_verdicts_weigh_against(desk: Desk):
    """As many helpful ones as others, and nothing is proposed; a document that most find helpful stays."""
    desk.publish({"b": BAD, "c": GOOD, "d": GOOD, "e": GOOD})
    desk.say("incorrect", "b", "ada", "grace", "edsger")
    desk.say("helpful", "c", "ada", "grace", "edsger")
    desk.say("outdated", "c", "barbara")
    assert len(desk.propose()) == 1
    desk.kb.proposals.reject(desk.kb.rollbacks.plans.find()[0]["plan_id"], "tester", desk.kb.attribution())
    desk.publish({"f": BAD})
    desk.say("confusing", "f", "ada", "grace", "edsger")
    desk.say("helpful", "f", "barbara", "tony", "leslie")
    assert desk.propose() == []


def test_a_document_that_most_find_helpful_stays(desk: Desk):
    """Of the operation's documents only those with more negative verdicts than helpful ones are proposed."""
    desk.publish({"b": BAD, "c": GOOD, "d": GOOD})
    desk.say("incorrect", "b", "ada", "grace", "edsger")
    desk.say("outdated", "c", "ada")
    desk.say("helpful", "c", "grace")
    (proposal,) = desk.propose()
    assert [d["source"] for d in proposal.evidence["documents"]] == ["b"]


def test_more_than_half_of_the_documents_is_the_whole_operation(desk: Desk):
    """Two of three: the operation is proposed as a whole."""
    bad = desk.publish({"b": BAD, "c": BAD, "d": GOOD})
    desk.say("incorrect", "b", "ada", "grace")
    desk.say("outdated", "c", "ada")
    (proposal,) = desk.propose()
    assert proposal.selector == {"operations": [bad]}
    assert desk.kb.rollback(plan_id=proposal.plan_id).certificate.verified
    assert desk.seen() == {}


def test_feedback_outside_of_the_window_does_not_count(desk: Desk):
    """Only what was published within it."""
    desk.publish({"b": BAD})
    desk.say("incorrect", "b", "ada", "grace", "edsger")
    assert desk.propose(feedback_window=timedelta(microseconds=1)) == []


def test_feedback_about_what_is_no_longer_seen_does_not_count(desk: Desk):
    """A mended document isn't proposed for what was said of the version before."""
    desk.publish({"b": BAD})
    desk.say("incorrect", "b", "ada", "grace", "edsger")
    desk.publish({"b": GOOD}, agent="librarian")
    assert desk.propose() == []


def test_a_feedback_bomb_is_taken_back_by_agent(desk: Desk):
    """Then what it had proposed isn't proposed any more, and its plan, still open, can be aborted."""
    desk.publish({"b": GOOD}, agent="librarian")
    desk.say("incorrect", "b", "mallory", "mallory", "sybil")
    (proposal,) = desk.propose()
    report = desk.kb.rollback(Selector(agents=("mallory", "sybil")))
    assert len(report.withdrawn) == 3
    assert report.certificate.verified
    desk.kb.rollbacks.plans.abort(proposal.plan_id, "tester", "a bomb")
    assert desk.propose() == []
    assert desk.seen() == {"b": GOOD}


def test_feedback_on_poison_does_not_stand_in_the_way(desk: Desk):
    """What readers said of it is no dependent: the policy refuse takes the poison back."""
    bad = desk.publish({"b": BAD})
    desk.say("incorrect", "b", "ada")
    assert desk.kb.rollback(Selector(operations=(bad,))).certificate.verified


def test_what_others_built_on_is_proposed_with_cascade(desk: Desk):
    """And says so to whoever decides."""
    desk.publish({"b": BAD, "c": GOOD})
    reader = desk.library.open(agent="reader")
    desk.library.affirm(reader, "b")
    desk.library.log.publish(reader)
    (proposal,) = desk.propose("strict")
    assert proposal.policy == "cascade"
    assert "the policy is cascade" in proposal_markdown(proposal.to_dict())
    assert desk.kb.rollback(plan_id=proposal.plan_id).certificate.verified
    assert desk.seen() == {"c": GOOD}


def test_what_a_person_rejected_is_not_proposed_again(desk: Desk):
    """New evidence alone is a reason to ask again, and the old one isn't asked about with it."""
    first = desk.publish({"b": BAD, "c": GOOD})
    (proposal,) = desk.propose("strict")
    assert desk.kb.proposals.reject(proposal.plan_id, "alice", desk.kb.attribution()) is None
    assert desk.kb.rollbacks.plans.get(proposal.plan_id).aborted_by == "alice"
    assert desk.propose("strict") == []
    second = desk.publish({"d": BAD})
    assert [p.operation_id for p in desk.propose("strict")] == [second]
    desk.say("incorrect", "b", "ada", "grace", "edsger")
    (again,) = desk.propose("strict")
    assert (again.operation_id, again.evidence["causes"]) == (first, ["feedback"])


def test_what_was_taken_back_and_redone_is_not_proposed_again(desk: Desk):
    """Whoever redid it has decided."""
    desk.publish({"b": BAD, "c": GOOD})
    (proposal,) = desk.propose("strict")
    report = desk.kb.rollback(plan_id=proposal.plan_id)
    desk.kb.redo(report.rollback_operation_id)
    assert desk.seen() == {"b": BAD, "c": GOOD}
    assert desk.propose("strict") == []


def test_more_evidence_replaces_an_open_proposal(desk: Desk):
    """One question an operation: the plan that says less is aborted, and names the one that says more."""
    desk.publish({"b": BAD, "c": GOOD, "d": GOOD})
    (first,) = desk.propose("strict")
    desk.say("incorrect", "c", "ada", "grace", "edsger")
    (second,) = desk.propose("strict")
    assert second.replaces == first.plan_id
    assert [d["source"] for d in second.evidence["documents"]] == ["b", "c"]
    assert second.evidence["causes"] == ["quality", "feedback"]
    assert desk.kb.rollbacks.plans.get(first.plan_id).abort_reason == f"replaced by plan {second.plan_id}"
    with pytest.raises(PlanClosed):
        desk.kb.rollback(plan_id=first.plan_id)
    assert desk.propose("strict") == []
    assert desk.kb.rollback(plan_id=second.plan_id).certificate.verified


def test_an_approved_proposal_is_waited_for(desk: Desk):
    """Nothing is put beside what somebody is about to apply."""
    desk.publish({"b": BAD, "c": GOOD, "d": GOOD})
    (first,) = desk.propose("strict")
    desk.kb.rollbacks.approve(first.plan_id, "alice")
    desk.say("incorrect", "c", "ada", "grace", "edsger")
    assert desk.propose("strict") == []


def test_what_nobody_answered_is_asked_again(desk: Desk):
    """A plan that has expired decides nothing."""
    desk.publish({"b": BAD})
    (first,) = desk.propose("strict")
    expire(desk, first.plan_id)
    (second,) = desk.propose("strict")
    assert second.plan_id != first.plan_id


def test_an_installation_may_hide_at_once_what_is_proposed(cautious_desk: Desk):
    """It is quarantined, the decision is a person's: an approval takes it back for good."""
    desk = cautious_desk
    bad = desk.publish({"b": BAD, "c": GOOD})
    (proposal,) = desk.propose("strict")
    assert desk.seen() == {"c": GOOD}
    assert desk.kb.operations.get(proposal.quarantined_as).kind == "quarantine"
    assert desk.propose("strict") == []
    report = desk.kb.rollback(plan_id=proposal.plan_id)
    assert report.certificate.verified
    assert desk.kb.release(Selector(operations=(bad,))).applied is False
    assert desk.seen() == {"c": GOOD}


def test_rejecting_shows_again_what_was_hidden(cautious_desk: Desk):
    """A person's no takes the quarantine back, and nobody is asked again."""
    desk = cautious_desk
    desk.publish({"b": BAD, "c": GOOD})
    (proposal,) = desk.propose("strict")
    report = desk.kb.proposals.reject(proposal.plan_id, "alice", desk.kb.attribution(agent="alice"))
    assert report.applied
    assert desk.seen() == {"b": BAD, "c": GOOD}
    assert desk.propose("strict") == []
    assert desk.seen() == {"b": BAD, "c": GOOD}


def test_what_is_hidden_and_unanswered_is_asked_again(cautious_desk: Desk):
    """An audit no longer sees it; it isn't forgotten. Released by somebody meanwhile, it is."""
    desk = cautious_desk
    bad = desk.publish({"b": BAD, "c": GOOD})
    (first,) = desk.propose("strict")
    expire(desk, first.plan_id)
    (second,) = desk.propose("strict")
    assert (second.replaces, second.quarantined_as) == (first.plan_id, first.quarantined_as)
    assert second.evidence == first.evidence
    assert desk.propose("strict") == []
    expire(desk, second.plan_id)
    desk.kb.release(Selector(operations=(bad,), documents=tuple(second.selector["documents"])))
    assert desk.propose() == []
    assert desk.seen() == {"b": BAD, "c": GOOD}


def test_more_that_fails_later_is_asked_beside_what_is_hidden(cautious_desk: Desk):
    """The first question stays: what it is about is no longer seen, so the second one can't be about it."""
    desk = cautious_desk
    desk.publish({"b": BAD, "c": GOOD, "d": GOOD})
    (first,) = desk.propose("strict")
    desk.say("incorrect", "c", "ada", "grace", "edsger")
    (second,) = desk.propose("strict")
    assert second.replaces is None
    assert desk.kb.rollbacks.plans.get(first.plan_id).state == "open"
    assert desk.seen() == {"d": GOOD}
    assert desk.kb.rollback(plan_id=first.plan_id).certificate.verified
    assert desk.kb.rollback(plan_id=second.plan_id).certificate.verified


def test_a_proposal_explains_itself_and_no_name_can_write_markdown(desk: Desk):
    """Document, expectation, verdicts and givers are there, as code; a plan that somebody asked for is no proposal."""
    bad = desk.publish({"# b](http://evil.example)": BAD, "c": GOOD, "d": GOOD})
    desk.say("incorrect", "# b](http://evil.example)", "ada", "*grace*", "ada")
    (proposal,) = desk.propose("strict")
    text = proposal_markdown(desk.kb.proposals.get(proposal.plan_id).to_dict())
    for shown in ("`# b](http://evil.example)`", "`says_enough`", "incorrect 3", "`*grace*`", "`strict`"):
        assert shown in text
    asked_for = desk.kb.plan_rollback(Selector(operations=(bad,)))
    assert desk.kb.proposals.get(asked_for.plan_id) is None


def test_a_burst_of_nothing_is_a_wrong_call(desk: Desk):
    """No window, no verdicts, no agents: refused."""
    for wrong in ({"least_negative": 0}, {"least_agents": 0}, {"feedback_window": timedelta(0)}):
        with pytest.raises(UsageError, match="burst"):
            desk.propose(**wrong)


def expire(desk: Desk, plan_id: str) -> None:
    """As if its time were over."""
    import psycopg

    with psycopg.connect(desk.kb.database.dsn) as connection:
        connection.execute(
            "UPDATE recant.rollback_plan SET expires_at = now() - interval '1 second' WHERE id = %s", [plan_id]
        )
