"""### Frees the storage of what nobody can be shown any more

Every Sunday at four in the morning (UTC): texts and vectors of document versions that were last seen longer ago than the
retention. They are of versions that were superseded, taken back or never published. The log, the versions' hashes and
what is seen stay as they are.

**Retention rules** (`recant retention`) say for a collection, or for its documents of one class, how long history is kept
instead, and when documents expire: those are retired first, by an operation that can be taken back.

**What is kept**: whatever was seen at any time within the retention, everything that was seen at a *tag*, what an open
rollback plan would show again, and what an open operation was begun on.

**What can't be done afterwards**: searching or restoring positions before the *horizon* that aren't tagged, and taking
back operations where that would show again what was freed. Both are refused, in the plan, by name.

`dry_run` only says what would be freed. A retry finishes what the attempt before it began.
"""

from airflow.sdk import DAG, CronTriggerTimetable, Param

from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.storage import KnowledgeBaseReclaimOperator

with DAG(
    dag_id="reclaim_storage",
    description="Frees what was last seen before the retention, and is neither tagged nor planned",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 4 * * 0", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "storage"],
    params={
        "retention_days": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            maximum=100_000,
            title="Days kept",
            description="Free what was last seen longer ago, where no retention rule says otherwise. Empty: the installation's "
            "retention (RECANT_RETENTION_DAYS).",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Only say what would be freed; the report is in the task's log and in its XCom.",
        ),
        "expiry": Param(
            True,
            type="boolean",
            title="Retire what has expired",
            description="By the retention rules; each collection's is an operation, which can be rolled back.",
        ),
        "agent": parameters.agent_param("airflow"),
        "message": parameters.message_param("operation"),
    },
) as dag:
    KnowledgeBaseReclaimOperator(
        task_id="reclaim_storage",
        retention_days=dag.param("retention_days"),
        dry_run=dag.param("dry_run"),
        expiry=dag.param("expiry"),
        agent=dag.param("agent"),
        message=dag.param("message"),
    )
