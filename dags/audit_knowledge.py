"""### Holds what is published against its collection's quality suite

Every day at five in the morning (UTC). What passed the gate when it was published may fail a suite that was made stricter
since, and what is all right by itself may be there twice, in a language that nothing else is in, or unlike all the rest.
Each run goes into the history (`recant audit history`), with a page of Data Docs that the task's link leads to. The
documents that fail something critical are a table in the log, by their ids, and the run fails, so that somebody looks.

The suite is the collection's: a file of its name in `suites` under RECANT_HOME, or the built-in one.

**quarantine** hides the failing documents at once instead, in one operation, until they are released or rolled back; what
they had superseded is seen again. The run then ends well, and its XCom names the quarantine.

To have a person asked about each, switch `propose_rollbacks` on. A run that has not ended an hour after it was queued is
told of by e-mail and Slack (a deadline alert), to those whom `monitor_health` tells.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, DeadlineAlert, DeadlineReference, Param, SyncCallback

from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.audit import KnowledgeBaseAuditOperator

with DAG(
    dag_id="audit_knowledge",
    description="Holds what is published against its collection's quality suite",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 5 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=1),
        callback=SyncCallback("recant_airflow.notices.tell_of_missed_deadline"),
        name="ended within an hour",
    ),
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
            "Absolute path, on the worker, of a suite of expectations as YAML. Empty: the collection's.",
            pattern="^(/|~/).+$",
        ),
        "quarantine": Param(
            False,
            type="boolean",
            title="Quarantine",
            description="Hide the documents that fail, until they are released or rolled back.",
        ),
        "keep_days": Param(
            365,
            type="integer",
            minimum=1,
            maximum=3650,
            title="Days kept",
            description="How long results stay in the history.",
        ),
        "pages": Param(
            30,
            type="integer",
            minimum=0,
            maximum=1000,
            title="Pages kept",
            description="How many pages of Data Docs are kept of a collection. 0: none is made.",
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
        keep_days=dag.param("keep_days"),
        pages=dag.param("pages"),
        agent=dag.param("agent"),
        message=dag.param("message"),
    )
