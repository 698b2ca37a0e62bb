"""What fails an audit is hidden, document by document."""

from __future__ import annotations

from recant.proposals import quarantine_failing
from tests.integration.proposals.conftest import BAD, GOOD, Desk


def test_only_what_fails_is_hidden(desk: Desk):
    """In one operation, whoever wrote it; what it had superseded is seen again."""
    desk.publish({"kept": GOOD, "mended": GOOD})
    first = desk.publish({"bad": BAD, "mended": BAD, "fine": GOOD})
    second = desk.publish({"worse": BAD})
    audit = desk.kb.audit("library", suite=desk.strict)
    reports = quarantine_failing(desk.kb.rollbacks, audit, desk.kb.attribution(agent="auditor"))
    assert [report.plan.selector["operations"] for report in reports] == [[first, second]]
    assert all(report.applied and report.certificate.verified for report in reports)
    assert desk.seen() == {"kept": GOOD, "mended": GOOD, "fine": GOOD}
    logged = desk.kb.operations.get(reports[0].rollback_operation_id)
    assert (logged.kind, logged.agent) == ("quarantine", "auditor")
    assert logged.message == "fails says_enough of the suite strict"
    assert desk.kb.audit("library", suite=desk.strict).success
    desk.kb.redo(reports[0].rollback_operation_id, policy="force")
    assert desk.seen()["bad"] == BAD
    assert desk.kb.verify().ok


def test_nothing_fails_nothing_is_hidden(desk: Desk):
    """And nothing is written."""
    desk.publish({"a": GOOD})
    position = desk.kb.position()
    assert (
        quarantine_failing(desk.kb.rollbacks, desk.kb.audit("library", suite=desk.strict), desk.kb.attribution()) == []
    )
    assert desk.kb.position() == position
