"""Stored plans: finding, showing, approving, aborting. What a plan says is worked out in planning, and done by Rollback."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from recant.errors import UsageError
from recant.rollback.certificate import Certificate
from recant.rollback.plan import STATES, Plan, plan_uuid, stored_plan
from recant.store import Connection, Database, json_parameter, load

_SQL = load(__package__, "plans.sql")
_LONGEST_NAME = 200


class Plans:
    """The plans of one database. None is ever deleted; whether one has expired is seen from the clock."""

    def __init__(self, database: Database, *, hours: float) -> None:
        self.database = database
        self.hours = hours
        """How long a plan stored from now on can be applied."""

    def store(self, connection: Connection, plan: Plan) -> Plan:
        """Adds a plan; returns it with its times."""
        given = {
            "plan_id": plan_uuid(plan.plan_id),
            "kind": plan.kind,
            "selector": json_parameter(plan.selector),
            "policy": plan.policy,
            "position": plan.position,
            "withdraw": list(plan.withdraw),
            "consequences": plan.consequences,
            "report": json_parameter(plan.report()),
            "agent": plan.agent,
            "hours": self.hours,
        }
        row = connection.execute(_SQL["store_plan"], given).fetchone()
        assert row is not None, "store_plan answers with one row"
        return replace(plan, **row)

    def find(self, state: str | None = None, *, limit: int = 50) -> list[dict[str, Any]]:
        """Plans, newest first, without what they would change. Raises UsageError for a state that there isn't."""
        if state is not None and state not in STATES:
            raise UsageError(f"state {state!r}: must be one of {', '.join(STATES)}")
        with self.database.transaction() as connection:
            return connection.execute(_SQL["find_plans"], {"state": state, "limit": limit}).fetchall()

    def get(self, plan_id: str) -> Plan:
        """One plan. Raises UsageError when this database has none of that id."""
        with self.database.transaction() as connection:
            return _load(connection, plan_id)

    def approve(self, plan_id: str, by: str) -> Plan:
        """Notes who approved. The first approval stays; of an applied plan nothing is noted. Raises PlanClosed."""
        return self._change("approve_plan", plan_id, by=_person(by))

    def extend(self, plan_id: str, hours: float) -> Plan:
        """Lets a plan be applied for so many hours from now, at least: as long as somebody is asked about it."""
        return self._change("extend_plan", plan_id, hours=hours)

    def abort(self, plan_id: str, by: str, reason: str = "") -> Plan:
        """Closes a plan for good; aborting it again changes nothing. Raises PlanClosed for one that was applied."""
        return self._change("abort_plan", plan_id, by=_person(by), reason=reason)

    def hold(self, connection: Connection, plan_id: str) -> Plan:
        """One plan, which nobody else approves, applies or aborts until the transaction ends. Raises PlanClosed."""
        _load(connection, plan_id)
        connection.execute(_SQL["hold_plan"], {"plan_id": plan_uuid(plan_id)})
        return _load(connection, plan_id)

    def close(self, connection: Connection, plan_id: str, applied_as: int) -> None:
        """Notes as which operation it was applied."""
        connection.execute(_SQL["close_plan"], {"plan_id": plan_uuid(plan_id), "applied_as": applied_as})

    def keep_certificate(self, certificate: Certificate) -> bool:
        """Stores it with its plan; false where one that verified is there already."""
        given = {"operation_id": certificate.operation_id, "certificate": json_parameter(certificate.to_dict())}
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["keep_certificate"], given).fetchone()
        return bool(row and row["kept"])

    def _change(self, statement: str, plan_id: str, **given: Any) -> Plan:
        with self.database.transaction() as connection:
            _load(connection, plan_id)
            connection.execute(_SQL[statement], {"plan_id": plan_uuid(plan_id), **given})
            return _load(connection, plan_id)


def _load(connection: Connection, plan_id: str) -> Plan:
    row = connection.execute(_SQL["load_plan"], {"plan_id": plan_uuid(plan_id)}).fetchone()
    if row is None:
        raise UsageError(
            f"This database has no plan {plan_id}: `recant plan list` shows those it has. One that was made on another "
            "database is applied there (RECANT_DSN)."
        )
    return stored_plan(row)


def _person(name: str) -> str:
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise UsageError(f"Say who it is, in {_LONGEST_NAME} characters at most.")
    return name
