"""Taking operations back: plan → approve → apply → verify."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import SkipMixin
from airflow.sdk.exceptions import AirflowSkipException

from recant_airflow.assets import PUBLISHED_KNOWLEDGE
from recant_airflow.hooks import KnowledgeBaseHook
from recant_airflow.links import ApprovalLink, OperationLink
from recant_airflow.operators.base import KnowledgeBaseOperator, attribution
from recant_airflow.operators.operation import announce, version_facet

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.knowledge_base import KnowledgeBase
    from recant.oplog import Selector
    from recant.rollback import Plan

DEFAULT_AGENT = "airflow"
HOURS_TO_APPLY = 24.0
"""After an answer, for a queue of tasks and for retries."""


class KnowledgeBasePlanRollbackOperator(KnowledgeBaseOperator, SkipMixin):
    """Works out what a rollback would withdraw and bring back, stores the plan and shows it in the log.

    Given a stored plan, as one that was proposed, it goes on with that one; conditions beside it are refused.

    Nothing to withdraw: everything after it is skipped, and the run ends well. Under `refuse`, definite dependents
    outside of what is selected fail the task at once, with the report in the log.

    Gives a summary: plan_id, withdraw, records, revived, agents, sessions, policy, position.

    :param selector: conditions by name, as `recant.oplog.Selector`; None and empty ones don't count.
    :param policy: `refuse`, `safe_only`, `cascade` or `force`.
    :param include_possible: whether those count as dependents, too, whose session was only shown it before they wrote.
    :param block: whether ingests are to leave out, from then on, what was withdrawn.
    :param agent: who asks; None: the user who triggered the run.
    :param plan_id: a stored plan to go on with, instead of conditions.
    """

    template_fields: Sequence[str] = ("selector", "policy", "include_possible", "block", "agent", "plan_id")
    operator_extra_links = (ApprovalLink(),)
    inherits_from_skipmixin = True

    def __init__(
        self,
        *,
        selector: Mapping[str, Any],
        policy: str = "refuse",
        include_possible: bool = False,
        block: bool = False,
        agent: str | None = None,
        plan_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.selector = selector
        self.policy = policy
        self.include_possible = include_possible
        self.block = block
        self.agent = agent
        self.plan_id = plan_id

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any] | None:
        """Plans; raises HasDependents, EmptySelector."""
        from recant.oplog import Selector
        from recant.rollback.rendering import plan_markdown

        stored = self._plan(kb, Selector.from_dict(without_blanks(self.selector)), context)
        plan = stored.to_dict()
        if stored.is_empty:
            self.log.info("Nothing to withdraw: what was selected was withdrawn before, or there is no such operation.")
            self.skip(ti=context["ti"], tasks=context["task"].get_direct_relatives(upstream=False))
            return None
        self._show(plan_markdown(plan))
        names = (
            "plan_id",
            "policy",
            "position",
            "withdraw",
            "withdraw_records",
            "records",
            "revived",
            "agents",
            "sessions",
            "chunks",
        )
        return {name: plan[name] for name in names if name in plan}

    def _plan(self, kb: KnowledgeBase, selector: Selector, context: Context) -> Plan:
        from recant.errors import HasDependents, UsageError
        from recant.rollback.rendering import dependents_markdown

        if self.plan_id:
            if not selector.is_empty:
                raise UsageError("A stored plan says what is taken back: leave the conditions out.")
            return kb.rollbacks.plans.get(self.plan_id)
        agent = rollback_agent(self.agent, context)
        try:
            return kb.rollbacks.plan(
                selector,
                policy=self.policy,
                include_possible=self.include_possible,
                block=bool(self.block),
                agent=agent,
            )
        except HasDependents as error:
            self._show(dependents_markdown(str(error), error.details))
            raise

    def _show(self, text: str) -> None:
        for line in text.splitlines():
            self.log.info("%s", line)


class KnowledgeBaseApproveRollbackOperator(ApprovalOperator):
    """Waits, without a worker, until a person has approved or rejected the stored plan.

    Rejected, or not answered in time: what comes after is skipped and nothing is changed. A person's no closes the plan,
    and shows again what a proposal had hidden; without an answer, the plan expires in its time. Of a plan that was
    proposed, the evidence is shown with it.

    Gives the answer: chosen_options, responded_by_user, responded_at.

    :param plan: what KnowledgeBasePlanRollbackOperator gave; the stored plan is what is shown and approved.
    :param message: why the rollback is asked for; shown with the plan.
    :param timeout_hours: how long to wait for the answer.
    """

    template_fields: Sequence[str] = (*ApprovalOperator.template_fields, "plan", "message", "timeout_hours")

    def __init__(
        self,
        *,
        plan: Mapping[str, Any],
        message: str | None = None,
        timeout_hours: float = 24,
        recant_conn_id: str = KnowledgeBaseHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        asked = {"subject": "Roll back?", "defaults": self.REJECT, "response_timeout": timedelta(hours=24)}
        super().__init__(**{**asked, **kwargs})
        self.plan = plan
        self.message = message
        self.timeout_hours = timeout_hours
        self.recant_conn_id = recant_conn_id

    def execute(self, context: Context) -> None:
        """Puts the plan before a person; it stays good for as long as the answer may take, and a day more to apply it."""
        from recant.proposals.rendering import proposal_markdown
        from recant.rollback.rendering import plan_markdown, withdrawn_text

        hours = float(self.timeout_hours)
        with KnowledgeBaseHook(self.recant_conn_id).get_conn() as kb:
            plan = kb.rollbacks.plans.extend(self.plan["plan_id"], hours + HOURS_TO_APPLY).to_dict()
            proposal = kb.proposals.get(self.plan["plan_id"])
        self.subject = f"Roll back {withdrawn_text(plan)}?"
        why = [proposal_markdown(proposal.to_dict())] if proposal else []
        self.body = "\n\n".join([*why, plan_markdown(plan, self.message)])
        self.response_timeout = timedelta(hours=hours)
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Takes the answer; a no is noted with the plan, first: skipping what comes after ends the task."""
        if list(event.get("chosen_options") or ()) == [self.REJECT] and (person := responder(event)):
            self._reject(person, context)
        return super().execute_complete(context, event)

    def _reject(self, person: str, context: Context) -> None:
        """Whatever comes of it, the answer stands: the plan isn't applied."""
        from recant.errors import Refused

        with KnowledgeBaseHook(self.recant_conn_id).get_conn() as kb:
            try:
                who = attribution(context, agent=person, message="rejected")
                shown = kb.proposals.reject(self.plan["plan_id"], person, who, reason="rejected")
            except Refused as refused:
                self.log.warning("%s", refused)
                return
        if shown:
            self.log.info("%s", shown.message)


class KnowledgeBaseApplyRollbackOperator(KnowledgeBaseOperator):
    """Applies an approved plan, after working it out again under the lock.

    Fails at once with PlanStale, changing nothing, when it would do something else by now than what was approved.
    Needs the answer of a person: there is no way around it.

    Gives the rollback's report, and an event of the asset `published_knowledge` for the rollback's operation.

    :param plan: what KnowledgeBasePlanRollbackOperator gave.
    :param approval: what KnowledgeBaseApproveRollbackOperator gave.
    :param agent: who asks; None: the user who triggered the run.
    :param message: why.
    """

    template_fields: Sequence[str] = ("plan", "approval", "agent", "message")
    operator_extra_links = (OperationLink(),)
    writes = True

    def __init__(
        self,
        *,
        plan: Mapping[str, Any],
        approval: Mapping[str, Any],
        agent: str | None = None,
        message: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"outlets": [PUBLISHED_KNOWLEDGE], **kwargs})
        self.plan = plan
        self.approval = approval
        self.agent = agent
        self.message = message
        self.datasets: list[dict[str, str]] = []

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Records who approved, and applies."""
        self.datasets = []
        plan_id = self.plan["plan_id"]
        kb.rollbacks.approve(plan_id, approver(self.approval))
        writer = attribution(context, agent=rollback_agent(self.agent, context), message=self.message)
        report = kb.rollbacks.apply(plan_id, writer).to_dict()
        operation_id = report["rollback_operation_id"]
        self.log.info("%s", report["message"])
        if operation_id is not None:
            self.datasets = kb.operations.details(operation_id)["datasets"]
            position = kb.operations.get(operation_id).position
            self.facets = {"version": version_facet(position)}
            announce(context, operation_id, {"kind": "rollback", "position": position})
        return report

    def lineage_datasets(self) -> Iterable[Mapping[str, str]]:
        """The rollback's own, known once it is applied."""
        return self.datasets


class KnowledgeBaseVerifyRollbackOperator(KnowledgeBaseOperator):
    """Checks that what is seen is what would be seen had the withdrawn operations never been published.

    The certificate is in the log, with the stored plan, and in files under `RECANT_HOME` of the worker, as JSON and as
    Markdown; one that doesn't hold fails the task. Gives the certificate, with its `files`.

    :param rollback: what KnowledgeBaseApplyRollbackOperator gave; skipped where that withdrew nothing.
    """

    template_fields: Sequence[str] = ("rollback",)

    def __init__(self, *, rollback: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rollback = rollback

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Verifies; raises VerificationFailed."""
        from recant.errors import VerificationFailed
        from recant.rollback.rendering import certificate_markdown

        operation_id = self.rollback["rollback_operation_id"]
        if operation_id is None:
            raise AirflowSkipException("Nothing was withdrawn: there is nothing to verify.")
        certificate = kb.rollbacks.verify(operation_id).to_dict()
        text = certificate_markdown(certificate)
        for line in text.splitlines():
            self.log.info("%s", line)
        files = keep_certificate(kb.settings.home, certificate, text)
        self.log.info("Kept as %s", ", ".join(files.values()))
        if not certificate["verified"]:
            raise VerificationFailed(
                f"What is seen after rollback {operation_id} is not what it should be: see the certificate."
            )
        return certificate | {"files": files}


def keep_certificate(home: Path, certificate: Mapping[str, Any], text: str) -> dict[str, str]:
    """Writes `certificates/<operation>.json` and `.md`, which only their owner can read; returns the paths by format."""
    from recant.installation.home import Home
    from recant.installation.secrets import private_folder, replace_private

    folder = private_folder(Home(home).certificates)
    texts = {"json": json.dumps(certificate, indent=2) + "\n", "md": f"# Certificate\n\n{text}\n"}
    paths = {ending: folder / f"{certificate['operation_id']}.{ending}" for ending in texts}
    for ending, path in paths.items():
        replace_private(path, texts[ending])
    return {ending: str(path) for ending, path in paths.items()}


def without_blanks(selector: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions without a form's blank lines; one of blank lines alone stays, as leaving it out would widen."""
    return {
        name: [value for value in values if value != ""] or values if isinstance(values, list) else values
        for name, values in selector.items()
    }


def rollback_agent(agent: str | None, context: Context) -> str:
    """Who asks for a rollback: the one named, or the user who triggered the run."""
    return agent or context["dag_run"].triggering_user_name or DEFAULT_AGENT


def approver(approval: Mapping[str, Any]) -> str:
    """The person who answered. Raises Refused where nobody approved."""
    from recant.errors import Refused

    approval = approval or {}
    name = responder(approval)
    if approval.get("chosen_options") != [ApprovalOperator.APPROVE] or not name:
        raise Refused("Nobody has approved this plan. Nothing was changed.")
    return name


def responder(approval: Mapping[str, Any]) -> str | None:
    """The name of the person who answered; None where time did."""
    user = approval.get("responded_by_user") or {}
    name = user.get("name") or user.get("id")
    return str(name) if name else None
