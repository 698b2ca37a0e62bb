"""plan → (approve) → apply → verify. The plan's answer is today's answer when it is applied, or PlanStale."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from recant.artifacts.payloads import Payloads
from recant.blocks import block_withdrawn, would_block
from recant.errors import PlanStale, Refused, UnknownOperation
from recant.lineage import collection_dataset
from recant.lineage.naming import is_collection
from recant.oplog import Attribution, Selector, refresh_projections
from recant.oplog.identifiers import new_run_id
from recant.rollback.blast_radius import BlastRadius
from recant.rollback.certificate import Certificate, certify
from recant.rollback.plan import Plan
from recant.rollback.planning import NO_PAYLOADS, blast_radius, work_out
from recant.rollback.plans import Plans
from recant.rollback.possible import NAMED_ONLY, Reads
from recant.rollback.targets import RecordOf
from recant.settings import Settings
from recant.store import Connection, Database, json_parameter, load, numbers_text

_SQL = load(__package__, "rollback.sql")


@dataclass(frozen=True, slots=True)
class RollbackReport:
    """What a plan came to. `applied` is false when there was nothing left to do; `message` says why."""

    plan: Plan
    applied: bool
    message: str
    rollback_operation_id: int | None = None
    position: int | None = None
    certificate: Certificate | None = None

    @property
    def withdrawn(self) -> tuple[int, ...]:
        """Operations that this rollback hid."""
        return self.plan.withdraw if self.applied else ()

    def to_dict(self) -> dict[str, Any]:
        """The plan's document, and what became of it."""
        return self.plan.to_dict() | {
            "rollback_operation_id": self.rollback_operation_id,
            "position": self.position,
            "withdrawn": list(self.withdrawn),
            "revived": self.plan.revived,
            "applied": self.applied,
            "message": self.message,
            "certificate": self.certificate.to_dict() if self.certificate else None,
        }


class Rollback:
    """The rollback coordinator of one database."""

    def __init__(self, database: Database, settings: Settings, payloads: Payloads = NO_PAYLOADS) -> None:
        """`payloads` brings back what was reclaimed and would be seen again; without, such plans are refused."""
        self.database = database
        self.settings = settings
        self.payloads = payloads

    @cached_property
    def plans(self) -> Plans:
        """The plans stored here."""
        return Plans(self.database, hours=self.settings.plan_hours)

    def blast_radius(self, selector: Selector, *, possible_hops: int = 1) -> BlastRadius:
        """What the selected operations contaminated, for certain and possibly. Changes nothing.

        Raises EmptySelector, UnknownOperation, UsageError.
        """
        selector.require_condition()
        with self.database.transaction() as connection:
            return blast_radius(connection, selector, Reads(hops=possible_hops))

    def plan(
        self,
        selector: Selector,
        *,
        policy: str = "refuse",
        include_possible: bool = False,
        possible_hops: int = 1,
        block: bool = False,
        agent: str,
    ) -> Plan:
        """Works out and stores what taking the selected operations back would do.

        Possible dependents (their session was shown what is selected, then wrote) are named; with `include_possible` they
        count as definite ones do. `possible_hops`, 1 to 10, is how many reads may lead to one. With `block`, what the
        selected ones wrote is not wanted again either, what was built on them aside: see `recant.blocks`. Raises
        HasDependents under `refuse`, with the whole report; EmptySelector, UnknownOperation, UsageError.
        """
        selector.require_condition()
        reads = Reads(include_possible, possible_hops)
        return self._store("rollback", selector.to_dict(), policy, agent, reads, block=block)

    def plan_redo(self, operation_id: int, *, policy: str = "refuse", agent: str) -> Plan:
        """What taking a control operation back would do: what it hid is seen again, unless a later word hides it too.

        Raises WriteConflict or InputWithdrawn when what comes back wouldn't pass the test that publishing passes.
        """
        return self._store("redo", {"operations": [operation_id]}, policy, agent)

    def plan_restore(self, collection: str, position: int, *, agent: str) -> Plan:
        """What it would take to see a collection as it was at a position. Raises UnknownCollection, UsageError."""
        return self._store("restore", {"collection": collection, "position": position}, "force", agent)

    def load_plan(self, plan_id: str) -> Plan:
        """A stored plan. Raises UsageError when this database has none of that id."""
        return self.plans.get(plan_id)

    def approve(self, plan_id: str, by: str) -> None:
        """Notes who approved, unless somebody did before. Raises PlanClosed when it was aborted or has expired."""
        self.plans.approve(plan_id, by)

    def apply(self, plan: Plan | str, attribution: Attribution) -> RollbackReport:
        """Carries the plan out in one transaction, whatever the number of rows.

        Under the log's lock the plan is worked out again if anything moved since; raises PlanStale, with nothing
        changed, when its answer is another, and PlanClosed when it was aborted or has expired. Applying what is
        withdrawn already changes nothing and says so. What was reclaimed and would be seen again is brought back before.
        """
        self._bring_back(plan if isinstance(plan, str) else plan.plan_id)
        with self.database.transaction() as connection:
            plan = self.plans.hold(connection, plan if isinstance(plan, str) else plan.plan_id)
            if plan.applied_as is not None:
                return RollbackReport(plan, False, _applied_before(plan), plan.applied_as)
            if plan.is_empty:
                return RollbackReport(plan, False, plan.message or "There is nothing to take back.")
            if plan.revival.versions:
                connection.execute(_SQL["finish_revival"], {"versions": plan.revival.versions})
            self._require_fresh(connection, plan)
            row = connection.execute(_SQL["apply_verdicts"], self._verdicts(plan, attribution)).fetchone()
            assert row is not None, "apply_verdicts answers with one row"
            if plan.block:
                block_withdrawn(connection, row["control_id"], plan.selected)
            self.plans.close(connection, plan.plan_id, row["control_id"])
        refresh_projections(self.database)
        if plan.revival.sources:
            with self.database.transaction() as connection:
                connection.execute(_SQL["score_revived"], {"versions": plan.revival.versions})
        message = f"Operation {row['control_id']}, position {row['position']}: {_done(plan)}."
        return RollbackReport(self.plans.get(plan.plan_id), True, message, row["control_id"], row["position"])

    def verify(self, operation_id: int) -> Certificate:
        """The certificate of a rollback or redo, kept with its plan. Reads all that is seen: a second for a million versions.

        Raises UnknownOperation when there is no such control operation.
        """
        with self.database.snapshot() as connection:
            control = connection.execute(_SQL["control_operation"], {"operation_id": operation_id}).fetchone()
            if control is None:
                raise UnknownOperation(
                    f"Operation {operation_id} is no rollback or redo: `recant log --kind rollback` lists them."
                )
            certificate = certify(connection, control, control["parameters"].get("approved_by"))
        self.plans.keep_certificate(certificate)
        return certificate

    def run(self, plan: Plan, attribution: Attribution) -> RollbackReport:
        """Apply and verify."""
        report = self.apply(plan, attribution)
        if not report.applied or report.rollback_operation_id is None:
            return report
        certificate = self.verify(report.rollback_operation_id)
        return replace(report, plan=self.plans.get(plan.plan_id), certificate=certificate)

    def resume(self, plan_id: str, attribution: Attribution) -> RollbackReport:
        """Goes on with a plan from where it stopped: applies what was approved, verifies what was applied.

        Raises Refused when nobody has approved it, PlanStale, PlanClosed.
        """
        plan = self.plans.get(plan_id)
        if plan.applied_as is not None:
            return self._verified(plan, plan.applied_as)
        if plan.state == "open":
            raise Refused(
                f"Nobody has approved plan {plan_id}: `recant plan approve {plan_id}`, or `recant rollback --plan {plan_id}`, "
                "which asks. Nothing was changed."
            )
        return self.run(plan, attribution)

    def _verified(self, plan: Plan, applied_as: int) -> RollbackReport:
        if plan.state == "verified" and plan.certificate:
            certificate, proof = Certificate(**plan.certificate), "and verified: there is nothing left to do"
        else:
            certificate, proof = self.verify(applied_as), "and is verified now"
        message = f"This plan was applied before, as operation {applied_as}"
        message += f", {proof}." if certificate.verified else "; what is seen now is not what it should be."
        return RollbackReport(self.plans.get(plan.plan_id), False, message, applied_as, certificate=certificate)

    def redo(self, operation_id: int, attribution: Attribution, policy: str = "refuse") -> RollbackReport:
        """Takes a control operation back: plan, apply, verify. Redo of a redo hides again."""
        return self.run(self.plan_redo(operation_id, policy=policy, agent=attribution.agent), attribution)

    def quarantine(self, selector: Selector, attribution: Attribution) -> RollbackReport:
        """Hides the selected operations at once, pending a decision; their dependents stay, and are named as left."""
        selector.require_condition()
        return self.run(self._store("quarantine", selector.to_dict(), "force", attribution.agent), attribution)

    def release(self, selector: Selector, attribution: Attribution, policy: str = "refuse") -> RollbackReport:
        """Shows the quarantined among the selected operations again.

        Raises WriteConflict or InputWithdrawn when they no longer fit, unless the policy is `force`.
        """
        selector.require_condition()
        return self.run(self._store("release", selector.to_dict(), policy, attribution.agent), attribution)

    def restore(self, collection: str, position: int, attribution: Attribution) -> RollbackReport:
        """Makes a collection look as at a position. Later work is hidden, not lost: a redo brings it back."""
        return self.run(self.plan_restore(collection, position, agent=attribution.agent), attribution)

    def _store(
        self,
        kind: str,
        selector: dict[str, Any],
        policy: str,
        agent: str,
        reads: Reads = NAMED_ONLY,
        *,
        block: bool = False,
    ) -> Plan:
        with self.database.transaction() as connection:
            plan = work_out(connection, kind, selector, policy, agent, reads, payloads=self.payloads)
            if block:
                records = [record.target for record in plan.withdraw_records]
                wanted = would_block(connection, plan.withdraw, records, selected=plan.selected)
                plan = replace(plan, block=wanted)
            return self.plans.store(connection, plan)

    def _bring_back(self, plan_id: str) -> None:
        """What a plan that is going to be applied needs of archives; it is seen when the plan is."""
        plan = self.plans.get(plan_id)
        if plan.applied_as is None and plan.state in ("open", "approved"):
            self.payloads.bring_back(plan.revival.sources)
            if plan.revival.bare:
                with self.database.transaction() as connection:
                    connection.execute(_SQL["begin_bare_revival"], {"versions": list(plan.revival.bare)})

    def _require_fresh(self, connection: Connection, plan: Plan) -> None:
        locked = connection.execute(_SQL["lock_log"]).fetchone()
        if locked and locked["position"] == plan.position:
            return
        try:
            reads = Reads(plan.include_possible, plan.possible_hops)
            now = work_out(connection, plan.kind, plan.selector, plan.policy, plan.agent, reads)
        except Refused as refused:
            raise PlanStale(f"The plan no longer holds: {refused} Make a new plan.", plan_id=plan.plan_id) from refused
        if now.answer != plan.answer:
            raise PlanStale(
                f"Since the plan was made at position {plan.position}, what it would withdraw or bring back has changed "
                f"(now {len(now.withdraw)} operations, then {len(plan.withdraw)}). Nothing was changed; make a new plan.",
                plan_id=plan.plan_id,
                then=list(plan.withdraw),
                now=list(now.withdraw),
            )

    def _collections(self, plan: Plan) -> list[tuple[str, str]]:
        """The datasets of the collections that a plan is about. Of a redo they are those of the control operation."""
        radius = plan.blast_radius
        names = radius.get("collections") or {o["collection"] for o in radius["operations"] if o["collection"]}
        stored = {(d["namespace"], d["name"]) for d in radius["datasets"]}
        return sorted({collection_dataset(self.settings, n) for n in names} | {d for d in stored if is_collection(*d)})

    def _verdicts(self, plan: Plan, attribution: Attribution) -> dict[str, Any]:
        touched = [
            {"direction": direction, "namespace": namespace, "name": name}
            for namespace, name in self._collections(plan)
            for direction in ("input", "output")
        ]
        records = [*plan.withdraw_records, *plan.bring_back_records]
        parameters: dict[str, Any] = {
            "plan_id": plan.plan_id,
            "selector": plan.selector,
            "policy": plan.policy,
            "withdraw": list(plan.withdraw),
            "bring_back": list(plan.bring_back),
            "approved_by": plan.approved_by,
        }
        if plan.include_possible:
            parameters |= {"include_possible": True, "possible_hops": plan.possible_hops}
        if records:
            parameters["withdraw_records"] = [r.to_dict() for r in plan.withdraw_records]
            parameters["bring_back_records"] = [r.to_dict() for r in plan.bring_back_records]
        return {
            "kind": plan.kind,
            "agent": attribution.agent,
            "session": attribution.session,
            "run_id": attribution.run_id,
            "lineage_run_id": new_run_id(),
            "message": attribution.message,
            "parameters": json_parameter(parameters),
            "context": json_parameter(dict(attribution.context)),
            "datasets": json_parameter(touched),
            "counts": json_parameter(
                {
                    "operations": len({*plan.withdraw, *plan.bring_back, *(r.operation_id for r in records)}),
                    "withdrawn": plan.records,
                    "revived": plan.revived,
                }
            ),
            "operations": numbers_text([*plan.withdraw, *plan.bring_back]),
            "shows": numbers_text([False] * len(plan.withdraw) + [True] * len(plan.bring_back)),
            "record_operations": numbers_text(r.operation_id for r in records),
            "records": numbers_text(r.record_id for r in records),
            "record_shows": numbers_text([False] * len(plan.withdraw_records) + [True] * len(plan.bring_back_records)),
        }


def _applied_before(plan: Plan) -> str:
    proof = "verified" if plan.state == "verified" else f"not verified yet: `recant plan continue {plan.plan_id}`"
    return f"This plan was applied before, as operation {plan.applied_as}; {proof}."


def _done(plan: Plan) -> str:
    words = [f"{_counted(plan.withdraw, 'operation')} withdrawn"] if plan.withdraw else []
    words += [f"{_of_operations(plan.withdraw_records)} withdrawn"] if plan.withdraw_records else []
    words += [f"{_counted(plan.bring_back, 'operation')} brought back"] if plan.bring_back else []
    words += [f"{_of_operations(plan.bring_back_records)} brought back"] if plan.bring_back_records else []
    words += [f"{_counted(plan.shows, 'operation')} seen again"] if plan.shows and not plan.bring_back else []
    return ", ".join(words)


def _of_operations(records: tuple[RecordOf, ...]) -> str:
    documents = {r.record_id for r in records}
    return f"{_counted(documents, 'document')} of {_counted({r.operation_id for r in records}, 'operation')}"


def _counted(things: Collection[object], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"
