"""### Holds what is published against a quality suite

Every day at five in the morning (UTC). What passed the gate when it was published may fail a suite that was made stricter
since. The documents that fail something critical are a table in the log, by their ids, and the run fails, so that
somebody looks.

**quarantine** hides them at once instead, document by document, until they are released or rolled back; what they had
superseded is seen again. The run then ends well, and its XCom names the quarantines.

To have a person asked about each, switch `propose_rollbacks` on.
"""

from airflow.sdk import DAG, CronTriggerTimetable, Param

from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.audit import KnowledgeBaseAuditOperator

with DAG(
    dag_id="audit_knowledge",
    description="Holds what is published against a quality suite",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 5 * * *", timezone="UTC"),
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
            description="Whose documents. Empty: the installation's default.",
        ),
        "suite": parameters.optional_text(
            "Suite",
            "Absolute path, on the worker, of a suite of expectations as YAML. Empty: the gate's own.",
            pattern="^(/|~/).+$",
        ),
        "quarantine": Param(
            False,
            type="boolean",
            title="Quarantine",
            description="Hide the documents that fail, until they are released or rolled back.",
        ),
        "agent": parameters.agent_param("auditor"),
        "message": parameters.message_param("quarantines"),
    },
) as dag:
    KnowledgeBaseAuditOperator(
        task_id="audit",
        collection=dag.param("collection"),
        suite=dag.param("suite"),
        quarantine=dag.param("quarantine"),
        agent=dag.param("agent"),
        message=dag.param("message"),
    )
