"""### Takes operations back, after a person has approved it

1. **plan**: works out what the conditions select, what would be withdrawn, what comes back, and who built on it. The plan
   is stored and shown in the task's log. Nothing to withdraw: the run ends well, asking nobody.
2. **approve**: waits for a person, who sees the plan. Rejected, or not answered in time: nothing is changed.
3. **apply**: works the plan out again under the lock; if it would do something else by now, it fails and changes nothing.
4. **verify**: compares what is seen with what would be seen had the withdrawn operations never been published, and fails
   if they differ. The certificate is in the log.

The conditions narrow each other; several values of one condition widen it. Documents narrow what is taken back to
themselves: the rest of an operation stays. Under the policy `refuse`, work of others
built on what is selected stops the plan with a report; `cascade` takes it back as well, `safe_only` leaves alone what
others built on, `force` leaves what was built on it standing, and names it. A rollback is an operation itself: a redo
brings everything back. With `block`, ingests leave out what was withdrawn, until the block is lifted or the rollback
redone; the plan names what.

A stored plan can be given instead of conditions: so `propose_rollbacks` asks about what it proposes, with the evidence
above the plan.
"""

from airflow.sdk import DAG, Param, PartitionedAtRuntime

from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.rollback import (
    KnowledgeBaseApplyRollbackOperator,
    KnowledgeBaseApproveRollbackOperator,
    KnowledgeBasePlanRollbackOperator,
    KnowledgeBaseVerifyRollbackOperator,
)

CONDITIONS = {
    "operations": parameters.condition("Operations", "Ids of operations, as a JSON list: [12, 15].", "integer"),
    "runs": parameters.condition("Runs", "Run ids of DAG runs, or OpenLineage run ids of operations."),
    "agents": parameters.condition("Agents", "Everything that these agents wrote."),
    "sessions": parameters.condition("Sessions", "Everything that was written in these sessions."),
    "kinds": parameters.condition("Kinds", "Operations of these kinds, such as ingest."),
    "sources": parameters.condition(
        "Documents", "Only these documents, by source, of the operations: the rest of each stays."
    ),
    "touching": parameters.condition("Touching", "Everything that wrote these documents, or was built on them, whole."),
    "collections": parameters.condition("Collections", "Operations that wrote to these collections."),
    "since": parameters.moment("Since", "Published at or after this time."),
    "until": parameters.moment("Until", "Published before this time."),
    "first_position": parameters.position("First position", "Published at this position or later."),
    "last_position": parameters.position("Last position", "Published at this position or earlier."),
}

with DAG(
    dag_id="rollback_knowledge",
    description="Plans, asks for approval, withdraws operations, and proves the result",
    doc_md=__doc__,
    schedule=PartitionedAtRuntime(),
    catchup=False,
    max_active_runs=16,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "rollback"],
    params={
        **CONDITIONS,
        "plan": parameters.optional_text(
            "Plan", "A stored plan's id, instead of all of these: what was proposed, say.", pattern=parameters.PLAN
        ),
        "policy": Param(
            "refuse",
            type="string",
            enum=["refuse", "safe_only", "cascade", "force"],
            values_display={
                "refuse": "refuse: stop with a report when others built on it",
                "safe_only": "safe_only: take back only what nobody else built on",
                "cascade": "cascade: take back what was built on it, too",
                "force": "force: take back what is selected, leave what was built on it",
            },
            title="Policy",
            description="What happens to work that was built on what is selected.",
        ),
        "include_possible": Param(
            False,
            type="boolean",
            title="Include possible dependents",
            description="Counts those as dependents, too, whose session was only shown it before they wrote.",
        ),
        "block": Param(
            False,
            type="boolean",
            title="Block",
            description="Remember that what is withdrawn isn't wanted: no ingest brings it back until the block is lifted.",
        ),
        "agent": parameters.optional_text(
            "Agent", "Who asks. Empty: the user who triggers the run.", minLength=1, maxLength=200
        ),
        "message": parameters.message_param("rollback"),
        "approval_timeout_hours": parameters.approval_hours_param(),
    },
) as dag:
    plan = KnowledgeBasePlanRollbackOperator(
        task_id="plan_rollback",
        selector={name: dag.param(name) for name in CONDITIONS},
        policy=dag.param("policy"),
        include_possible=dag.param("include_possible"),
        block=dag.param("block"),
        agent=dag.param("agent"),
        plan_id=dag.param("plan"),
    )
    approve = KnowledgeBaseApproveRollbackOperator(
        task_id="approve_rollback",
        plan=plan.output,
        message=dag.param("message"),
        timeout_hours=dag.param("approval_timeout_hours"),
    )
    apply = KnowledgeBaseApplyRollbackOperator(
        task_id="apply_rollback",
        plan=plan.output,
        approval=approve.output,
        agent=dag.param("agent"),
        message=dag.param("message"),
    )
    verify = KnowledgeBaseVerifyRollbackOperator(task_id="verify_rollback", rollback=apply.output)
    plan >> approve >> apply >> verify
