"""What the run of a rollback, redo, quarantine, release or restore says of itself: what it withdrew, and what was at stake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attr
from openlineage.client.facet_v2 import RunFacet

from recant.lineage.producer import PRODUCER, SCHEMAS

ROLLBACK_SCHEMA = f"{SCHEMAS}recant_rollback-1-0-0.json#/$defs/RecantRollbackRunFacet"
BLAST_RADIUS_SCHEMA = f"{SCHEMAS}recant_blast_radius-1-0-0.json#/$defs/RecantBlastRadiusRunFacet"


@attr.define(kw_only=True)
class RecantRollbackRunFacet(RunFacet):
    """Which operations an operation withdrew or brought back, by which plan, and who approved it."""

    withdrawn: list[dict[str, Any]]
    """operation_id and run_id (OpenLineage's) of each; `records` where only so many of its documents were."""
    brought_back: list[dict[str, Any]]
    plan_id: str | None = None
    policy: str | None = None
    selector: dict[str, Any] | None = None
    planned_by: str | None = None
    approved_by: str | None = None
    approved_at: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return ROLLBACK_SCHEMA


@attr.define(kw_only=True)
class RecantBlastRadiusRunFacet(RunFacet):
    """What the plan found at its position: who and what was built on what was selected. Numbers of operations and records."""

    position: int
    operations: dict[str, int]
    """By relation: selected, or the class of dependency; `read` are possible dependents."""
    agents: list[str]
    sessions: list[str]
    possible_agents: list[str]
    records: dict[str, int]
    """By kind: seen before, and not afterwards."""
    revived: dict[str, int]
    datasets: list[dict[str, str]]
    artifacts: int

    @staticmethod
    def _get_schema() -> str:
        return BLAST_RADIUS_SCHEMA


def rollback_facet(row: Mapping[str, Any]) -> RecantRollbackRunFacet | None:
    """The `recant_rollback` facet; None of an operation without verdicts, and before it is done."""
    judged = [*row["verdicts"], *row["record_verdicts"]] if row["event_type"] == "COMPLETE" else []
    if not judged:
        return None
    plan, parameters = row["plan"] or {}, row["parameters"]
    return RecantRollbackRunFacet(
        producer=PRODUCER,
        withdrawn=[_judged(verdict) for verdict in judged if not verdict["shows"]],
        brought_back=[_judged(verdict) for verdict in judged if verdict["shows"]],
        plan_id=parameters.get("plan_id"),
        policy=parameters.get("policy"),
        selector=parameters.get("selector"),
        planned_by=plan.get("planned_by"),
        approved_by=parameters.get("approved_by"),
        approved_at=plan.get("approved_at"),
    )


def blast_radius_facet(row: Mapping[str, Any]) -> RecantBlastRadiusRunFacet | None:
    """The `recant_blast_radius` facet of an operation that came from a plan, when it is done."""
    plan = row["plan"]
    if row["event_type"] != "COMPLETE" or not plan:
        return None
    radius = plan["blast_radius"]
    datasets = {(dataset["namespace"], dataset["name"]) for dataset in radius.get("datasets", ())}
    return RecantBlastRadiusRunFacet(
        producer=PRODUCER,
        position=plan["position"],
        operations=plan["operations"],
        agents=radius.get("agents", []),
        sessions=radius.get("sessions", []),
        possible_agents=radius.get("possible_agents", []),
        records=radius.get("records", {}),
        revived=radius.get("revived", {}),
        datasets=[{"namespace": namespace, "name": name} for namespace, name in sorted(datasets)],
        artifacts=len(radius.get("artifacts", ())),
    )


def _judged(verdict: Mapping[str, Any]) -> dict[str, Any]:
    kept = {"operation_id": verdict["operation_id"], "run_id": verdict["run_id"]}
    return kept | ({"records": verdict["records"]} if "records" in verdict else {})
