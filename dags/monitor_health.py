"""### Measures every ten minutes how the knowledge base is doing, and tells people when a threshold is passed

Rates of writes, rollbacks, feedback and searches; latencies; how fresh collections are; what lineage is owed; conflicts,
open operations and leases; sizes of tables and indexes; recall of the vector index, as last checked; how far back undoing
reaches; backups; the last audits; stale archives and exports; disk and connections. It reads what is open, what is within
the window, and PostgreSQL's own statistics, so it costs the same however much there is. `recant metrics show` prints the
same, `recant status` the short form.

**Alerts** come of thresholds in YAML: built-in ones, and over them the file `alerts.yml` in RECANT_HOME. Each is pending,
firing, or resolved; the history keeps them. When one begins to fire or is over, `tell` sends a notice by e-mail and Slack:
to the addresses and the channel of the form, or else of the Airflow Variables `recant_alert_emails` and
`recant_alert_slack_channel`, over the connections `smtp_default` and `slack_api_default`. Where nobody is named it only
logs.

A run that has not ended ten minutes after it was queued is told of the same way (a deadline alert): then the scheduler, a
worker or the database is in trouble.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, DeadlineAlert, DeadlineReference, Param, SyncCallback

from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.monitoring import KnowledgeBaseHealthOperator, KnowledgeBaseNotifyOperator

with DAG(
    dag_id="monitor_health",
    description="Measures how the knowledge base is doing, and tells people when a threshold is passed",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("*/10 * * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=10),
        callback=SyncCallback("recant_airflow.notices.tell_of_missed_deadline"),
        name="ended within ten minutes",
    ),
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "monitoring"],
    params={
        "rules": parameters.optional_text(
            "Thresholds",
            "File of alert rules: absolute path on the worker. Empty: alerts.yml in RECANT_HOME, or the built-in ones.",
            pattern="^(/.*)?$",
            maxLength=2000,
        ),
        "window_minutes": Param(
            60,
            type="integer",
            minimum=1,
            maximum=1440,
            title="Window",
            description="Rates and latencies are over so many minutes.",
        ),
        "keep_days": Param(
            30,
            type="integer",
            minimum=1,
            maximum=3650,
            title="Days kept",
            description="How long samples and resolved alerts are kept.",
        ),
        "emails": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": r"^([^@\s]+@[^@\s]+)?$"},
            title="E-mail to",
            description="Addresses, one a line. Empty: those of the Airflow Variable recant_alert_emails.",
        ),
        "slack_channel": parameters.optional_text(
            "Slack channel",
            "Empty: that of the Airflow Variable recant_alert_slack_channel.",
            pattern=r"^([#@]?[^\s]+)?$",
            maxLength=100,
        ),
    },
) as dag:
    checked = KnowledgeBaseHealthOperator(
        task_id="check_health",
        rules=dag.param("rules"),
        window_minutes=dag.param("window_minutes"),
        keep_days=dag.param("keep_days"),
    )
    KnowledgeBaseNotifyOperator(
        task_id="tell",
        report=checked.output,
        emails=dag.param("emails"),
        slack_channel=dag.param("slack_channel"),
    )
