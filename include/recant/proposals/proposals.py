"""Opening proposals: one stored plan an operation, with the evidence, unless a person has been asked already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recant.errors import HasDependents, Refused
from recant.oplog import Attribution, Selector
from recant.proposals.evidence import Burst, Candidate, Piece, candidates
from recant.proposals.rendering import causes
from recant.quality import AuditReport
from recant.rollback import Plan, Rollback, RollbackReport
from recant.rollback.plan import plan_uuid
from recant.rollback.planning import work_out
from recant.store import Connection, Row, json_parameter, load

LONGEST_MESSAGE = 2000
"""Characters."""
_SQL = load(__package__, "proposals.sql")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rollback that is proposed, and why. `plan_id` is None where nothing was stored (a dry run, an obstacle)."""

    plan_id: str | None
    operation_id: int
    selector: dict[str, Any]
    policy: str
    """`refuse`; `cascade` where others built on it, which takes their work back, too."""
    evidence: dict[str, Any]
    """causes, suite, givers, whole, and documents (record_id, source, expectations, verdicts)."""
    replaces: str | None = None
    """An earlier proposal that this one says more than, or goes on with."""
    quarantined_as: int | None = None
    """The quarantine that hid it at once, where the installation is set to do so."""
    obstacle: str = ""
    """Why no plan can be made of it now."""
    state: str = "open"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A proposal that awaits an answer."""

    plan_id: str
    operation_id: int
    agent: str
    """Who proposes."""
    message: str
    """Why, in one line."""


@dataclass(frozen=True, slots=True)
class _Reason:
    """What is put before a person: a candidate, or an earlier proposal that nobody answered."""

    operation_id: int
    selector: Selector
    evidence: dict[str, Any]
    pieces: frozenset[Piece]
    replaces: str | None = None
    quarantined_as: int | None = None


class Proposals:
    """The proposals of one database. With `hides_at_once`, what is proposed is quarantined before anybody is asked."""

    def __init__(self, rollbacks: Rollback, *, hides_at_once: bool = False) -> None:
        self.rollbacks = rollbacks
        self.database = rollbacks.database
        self.hides_at_once = hides_at_once

    def find(self, audit: AuditReport, burst: Burst, *, agent: str) -> list[Proposal]:
        """What would be proposed now. Changes nothing."""
        with self.database.transaction() as connection:
            reasons = self._reasons(connection, audit, burst)
            wanted = [reason for reason in reasons if self._is_new(connection, reason)]
            found = (self._imagine(connection, reason, agent) for reason in wanted)
            return [proposal for proposal in found if proposal is not None]

    def open(self, audit: AuditReport, burst: Burst, attribution: Attribution) -> list[Proposal]:
        """Stores a rollback plan for each operation that something speaks against; nothing is taken back.

        What a person is being asked about is not asked again, nor what they have decided about: only new evidence counts.
        A proposal of the same operation that says less is replaced, and its plan aborted.
        """
        with self.database.transaction() as connection:
            reasons = self._reasons(connection, audit, burst)
        opened = (self._open(reason, attribution) for reason in reasons)
        return [proposal for proposal in opened if proposal is not None]

    def get(self, plan_id: str) -> Proposal | None:
        """The proposal that a plan is; None for a plan that somebody asked for."""
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["proposal_of"], {"plan_id": plan_uuid(plan_id)}).fetchone()
        return Proposal(**row) if row else None

    def waiting(self, collection: str) -> list[Waiting]:
        """Proposals that await an answer, oldest first."""
        with self.database.transaction() as connection:
            rows = connection.execute(_SQL["waiting_proposals"], {"collection": collection}).fetchall()
        return [Waiting(r["plan_id"], r["operation_id"], r["agent"], _message(causes(r["evidence"]))) for r in rows]

    def reject(self, plan_id: str, by: str, attribution: Attribution, *, reason: str = "") -> RollbackReport | None:
        """Notes a person's no: the plan is aborted, and what was hidden because of it is shown again.

        Works on any open plan; the report is that of showing again, None where nothing was hidden. Raises PlanClosed for
        a plan that was applied, WriteConflict or InputWithdrawn where what was hidden no longer fits.
        """
        self.rollbacks.plans.abort(plan_id, by, reason)
        proposal = self.get(plan_id)
        if proposal is None or proposal.quarantined_as is None:
            return None
        return self.rollbacks.redo(proposal.quarantined_as, attribution)

    def _reasons(self, connection: Connection, audit: AuditReport, burst: Burst) -> list[_Reason]:
        waiting = connection.execute(_SQL["unanswered_quarantines"], {"collection": audit.collection}).fetchall()
        return [*map(_of_candidate, candidates(connection, audit, burst)), *map(_asked_before, waiting)]

    def _is_new(self, connection: Connection, reason: _Reason) -> bool:
        return not any(_is_covered(live, reason) for live in self._live(connection, reason))

    def _live(self, connection: Connection, reason: _Reason) -> list[Row]:
        return connection.execute(_SQL["live_proposals"], {"operation_id": reason.operation_id}).fetchall()

    def _imagine(self, connection: Connection, reason: _Reason, agent: str) -> Proposal | None:
        try:
            plan = _plan(connection, reason, agent)
        except Refused as refused:
            return _proposal(reason, None, obstacle=str(refused))
        return _proposal(reason, None, policy=plan.policy) if _takes_back(plan, reason) else None

    def _open(self, reason: _Reason, attribution: Attribution) -> Proposal | None:
        with self.database.transaction() as connection:
            if not self._is_new(connection, reason):
                return None
        hidden = self._hide(reason, attribution)
        try:
            with self.database.transaction() as connection:
                return self._store(connection, reason, attribution.agent, hidden)
        except Refused as refused:
            return _proposal(reason, None, quarantined_as=hidden, obstacle=str(refused))

    def _hide(self, reason: _Reason, attribution: Attribution) -> int | None:
        """Before the plan is made: what a plan says of the time before would be stale at once."""
        if not self.hides_at_once or reason.quarantined_as is not None:
            return reason.quarantined_as
        report = self.rollbacks.quarantine(reason.selector, attribution)
        return report.rollback_operation_id if report.applied else None

    def _store(self, connection: Connection, reason: _Reason, agent: str, hidden: int | None) -> Proposal | None:
        connection.execute(_SQL["lock_proposals"])
        if not self._is_new(connection, reason):
            return None
        plan = _plan(connection, reason, agent)
        if not _takes_back(plan, reason):
            return None
        replaces = reason.replaces or self._replaceable(connection, reason)
        plan = self.rollbacks.plans.store(connection, plan)
        given = {
            "plan_id": plan_uuid(plan.plan_id),
            "operation_id": reason.operation_id,
            "evidence": json_parameter(reason.evidence),
            "replaces": plan_uuid(replaces) if replaces else None,
            "quarantined_as": hidden,
            "versions": [version_id for version_id, _ in sorted(reason.pieces)],
            "expectations": [expectation for _, expectation in sorted(reason.pieces)],
        }
        connection.execute(_SQL["store_proposal"], given)
        if replaces and not reason.replaces:
            why = {"plan_id": plan_uuid(replaces), "by": agent, "reason": f"replaced by plan {plan.plan_id}"}
            connection.execute(_SQL["abort_plan"], why)
        return _proposal(reason, plan.plan_id, policy=plan.policy, replaces=replaces, quarantined_as=hidden)

    def _replaceable(self, connection: Connection, reason: _Reason) -> str | None:
        """An unanswered proposal that says less. What was hidden already stands beside: the evidence no longer shows it."""
        live = (row["plan_id"] for row in self._live(connection, reason) if row["quarantined_as"] is None)
        return next(live, None)


def _plan(connection: Connection, reason: _Reason, agent: str) -> Plan:
    """Today's answer: under `refuse`, or under `cascade` where others built on it."""
    try:
        return work_out(connection, "rollback", reason.selector.to_dict(), "refuse", agent)
    except HasDependents:
        return work_out(connection, "rollback", reason.selector.to_dict(), "cascade", agent)


def _is_covered(live: Row, reason: _Reason) -> bool:
    """Whether the proposal that awaits an answer says as much. One that is approved is waited for in any case."""
    asked = Selector.from_dict(live["selector"])
    wanted = set(reason.selector.documents)
    within = not asked.documents or (bool(wanted) and wanted <= set(asked.documents))
    return live["state"] == "approved" or within


def _takes_back(plan: Plan, reason: _Reason) -> bool:
    """Whether there is something to decide. What nobody answered about and somebody released since was decided thereby."""
    return not plan.is_empty and not (reason.replaces and plan.records)


def _message(because: str) -> str:
    return f"proposed because {because}"[:LONGEST_MESSAGE]


def _of_candidate(candidate: Candidate) -> _Reason:
    return _Reason(candidate.operation_id, candidate.selector, candidate.evidence(), frozenset(candidate.pieces))


def _asked_before(row: Row) -> _Reason:
    return _Reason(
        row["operation_id"],
        Selector.from_dict(row["selector"]),
        row["evidence"],
        frozenset(zip(row["versions"], row["expectations"], strict=True)),
        replaces=row["plan_id"],
        quarantined_as=row["quarantined_as"],
    )


def _proposal(reason: _Reason, plan_id: str | None, **more: Any) -> Proposal:
    told = {"policy": "refuse", "replaces": reason.replaces, "quarantined_as": reason.quarantined_as} | more
    return Proposal(plan_id, reason.operation_id, reason.selector.to_dict(), evidence=reason.evidence, **told)
