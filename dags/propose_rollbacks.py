"""### Finds what is published and shouldn't be, and asks whether to take it back

1. **find**: holds what is seen now in a collection against a quality suite, and counts what readers say of it. For each
   operation with documents that fail something critical, or with a burst of negative feedback, it stores a rollback plan,
   narrowed to those documents.
2. **ask**: for each of these plans, one run of `rollback_knowledge`: it shows the evidence and the plan under
   **Required Actions**, and applies and verifies it once a person has approved.

Nothing is taken back by this DAG. What a person rejected, or redid, isn't proposed again: only new evidence counts. A
question that nobody answered is asked again when its plan has expired.

With `RECANT_AUTO_ROLLBACK=quarantine` what is proposed is hidden at once, pending the answer; rejecting shows it again.

Feedback counts while the version that it is about is seen. It is an operation of its own, so that a bomb of it is rolled
back by its agent.
"""

from airflow.sdk import DAG, Param

from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.proposals import KnowledgeBaseAskOperator, KnowledgeBaseProposeRollbacksOperator

with DAG(
    dag_id="propose_rollbacks",
    description="Proposes rollbacks of what fails an audit or what readers speak against",
    doc_md=__doc__,
    schedule="17 * * * *",
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "rollback", "quality"],
    params={
        "collection": Param(
            None,
            type=["null", "string"],
            pattern=parameters.COLLECTION,
            title="Collection",
            description="Whose documents. Empty: the installation's default.",
        ),
        "suite": parameters.optional_text(
            "Suite",
            "Absolute path, on the worker, of a suite of expectations as YAML. Empty: the gate's own.",
            pattern="^(/|~/).+$",
        ),
        "feedback_window_hours": Param(
            24.0,
            type="number",
            exclusiveMinimum=0,
            maximum=24 * 365,
            title="Hours of feedback",
            description="How far back feedback counts.",
        ),
        "least_negative": Param(
            5,
            type="integer",
            minimum=1,
            title="Negative verdicts",
            description="So many verdicts other than helpful about one operation's documents are a burst, where they "
            "outnumber the helpful ones.",
        ),
        "least_agents": Param(
            2,
            type="integer",
            minimum=1,
            title="Agents",
            description="So many different agents must have given them.",
        ),
        "agent": parameters.agent_param("auditor"),
        "approval_timeout_hours": Param(
            24.0,
            type="number",
            exclusiveMinimum=0,
            maximum=24 * 30,
            title="Hours to wait for approval",
            description="Not answered in time, nothing is taken back.",
        ),
    },
) as dag:
    find = KnowledgeBaseProposeRollbacksOperator(
        task_id="find",
        collection=dag.param("collection"),
        suite=dag.param("suite"),
        feedback_window_hours=dag.param("feedback_window_hours"),
        least_negative=dag.param("least_negative"),
        least_agents=dag.param("least_agents"),
        agent=dag.param("agent"),
    )
    KnowledgeBaseAskOperator.partial(
        task_id="ask",
        approval_timeout_hours=dag.param("approval_timeout_hours"),
        map_index_template="operation {{ task.proposal.operation_id }}",
    ).expand(proposal=find.output)
