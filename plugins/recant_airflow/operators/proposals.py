"""Proposing rollbacks: finding what is published and shouldn't be, and asking a person about each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

from recant_airflow.lineage import airflow_context
from recant_airflow.operators.base import KnowledgeBaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.knowledge_base import KnowledgeBase

APPROVAL_DAG = "rollback_knowledge"


class KnowledgeBaseProposeRollbacksOperator(KnowledgeBaseOperator):
    """Stores a rollback plan for each operation whose documents fail an audit, or got a burst of negative feedback.

    Takes nothing back. With `RECANT_AUTO_ROLLBACK=quarantine` what is proposed is hidden at once; a person's no shows it
    again.

    Gives all that wait for an answer, those of earlier runs and of the command line too, to map over: plan_id,
    operation_id, agent, message.

    :param collection: whose documents; None: the installation's default.
    :param suite: path of a suite on the worker; None: the gate's own.
    :param feedback_window_hours: how far back feedback counts.
    :param least_negative: so many negative verdicts are a burst,
    :param least_agents: by so many agents.
    :param agent: who proposes.
    """

    template_fields: Sequence[str] = (
        "collection",
        "suite",
        "feedback_window_hours",
        "least_negative",
        "least_agents",
        "agent",
    )

    def __init__(
        self,
        *,
        collection: str | None = None,
        suite: str | None = None,
        feedback_window_hours: float = 24,
        least_negative: int = 5,
        least_agents: int = 2,
        agent: str = "auditor",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection = collection
        self.suite = suite
        self.feedback_window_hours = feedback_window_hours
        self.least_negative = least_negative
        self.least_agents = least_agents
        self.agent = agent

    def work(self, kb: KnowledgeBase, context: Context) -> list[dict[str, Any]]:
        """Proposes; raises UnknownCollection, BadSuite."""
        from recant.proposals.rendering import causes

        found = kb.propose_rollbacks(
            self.collection,
            suite=self.suite,
            feedback_window=timedelta(hours=float(self.feedback_window_hours)),
            least_negative=int(self.least_negative),
            least_agents=int(self.least_agents),
            agent=self.agent,
            run=context["ti"].run_id,
            context=airflow_context(context),
        )
        for proposal in found:
            what = f"Operation {proposal.operation_id}: {causes(proposal.evidence)}."
            self.log.info("%s %s", what, proposal.obstacle or f"Plan {proposal.plan_id}")
        waiting = kb.proposals.waiting(kb.settings.collection if self.collection is None else self.collection)
        return [asdict(proposal) for proposal in waiting]


class KnowledgeBaseAskOperator(TriggerDagRunOperator):
    """Has a person decide about a proposal: starts a run of `rollback_knowledge` with its plan.

    Once for each plan, as the run's id follows from the plan's: where that run exists, this task is skipped.

    :param proposal: one of what KnowledgeBaseProposeRollbacksOperator gave; map over them.
    :param approval_timeout_hours: how long that run waits for the answer.
    """

    template_fields: Sequence[str] = ("proposal", "approval_timeout_hours")

    def __init__(self, *, proposal: Mapping[str, Any], approval_timeout_hours: float = 24, **kwargs: Any) -> None:
        fixed = {"trigger_dag_id": APPROVAL_DAG, "logical_date": None, "skip_when_already_exists": True}
        super().__init__(**{**fixed, **kwargs})
        self.proposal = proposal
        self.approval_timeout_hours = approval_timeout_hours

    def execute(self, context: Context) -> None:
        """Starts the run; who proposes is who asks."""
        self.trigger_run_id = f"proposal__{self.proposal['plan_id']}"
        self.conf = {
            "plan": self.proposal["plan_id"],
            "agent": self.proposal["agent"],
            "message": self.proposal["message"],
            "approval_timeout_hours": float(self.approval_timeout_hours),
        }
        super().execute(context)
