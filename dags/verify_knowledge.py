"""### Checks every night that what is stored agrees with its own log

Replays the log and compares it with what is seen; checks the positions, the hash chain, content digests, verdicts, the
visibility history, the order of versions and the chunks: what `recant verify` does. It reads everything in one snapshot
and changes nothing: about a second for a million versions and each hundred thousand operations.

A check that doesn't hold fails the task at once, and the log's table says which it is, and of which operations or records.
Trigger it by hand after a restore from a backup.
"""

from airflow.sdk import DAG, CronTriggerTimetable

from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.verification import KnowledgeBaseVerifyOperator

with DAG(
    dag_id="verify_knowledge",
    description="Checks that what is seen follows from the log",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("30 2 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "verification"],
) as dag:
    KnowledgeBaseVerifyOperator(task_id="verify_log")
