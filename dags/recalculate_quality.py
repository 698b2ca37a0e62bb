"""### Works out the quality scores of a collection anew

Every night at half past three (UTC): what age takes from documents, by the collection's policies, and what searches and
citations since the last time add. Feedback isn't waited for: it counts as soon as it is given.

**What it writes**: the scores that changed, as one operation of kind `recalculate_quality`. Searches, ingests and rollbacks
go on beside it. Rolled back, the scores are those of the recalculation before it.

**What ages**: nothing, until a policy says so: `recant quality policy set --half-life 180d`. Pinned documents don't.

An attempt that fails changes nothing, and is tried again.
"""

from airflow.sdk import DAG, CronTriggerTimetable, Param

from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.quality import KnowledgeBaseRecalculateQualityOperator

with DAG(
    dag_id="recalculate_quality",
    description="Works out quality scores anew: age, accesses, policies",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("30 3 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "quality"],
    params={
        "collection": Param(
            None,
            type=["null", "string"],
            pattern=parameters.COLLECTION,
            title="Collection",
            description="Whose scores. Empty: the installation's default.",
        ),
        "at": parameters.moment(
            "Time", "The time that the scores are to hold for; not one that is still to come. Empty: now."
        ),
        "agent": parameters.agent_param("airflow"),
        "message": parameters.message_param("operation"),
    },
) as dag:
    KnowledgeBaseRecalculateQualityOperator(
        task_id="recalculate_quality",
        collection=dag.param("collection"),
        at=dag.param("at"),
        agent=dag.param("agent"),
        message=dag.param("message"),
    )
