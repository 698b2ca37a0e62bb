"""### Makes a backup every night, verifies it, and deletes old ones

**logical** (the default): the schema `recant` as of one position of the log, from any server, restored into any other of the
same or a newer version. **physical**: the embedded server whole, Airflow's metadata too; archived WAL brings it forward to
any moment. Everything goes on meanwhile.

A backup is a folder with a manifest: the position of the log that it holds, its chain hash, and a checksum of each file. It
goes to `backups` in RECANT_HOME unless another place is named: name one on another disk. Old ones are deleted only after
the new one was read back.

`recant backup restore` puts one back; the how-to says how, and how to try it.
"""

from airflow.sdk import DAG, CronTriggerTimetable, Param

from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.backups import (
    KnowledgeBaseBackupOperator,
    KnowledgeBasePruneBackupsOperator,
    KnowledgeBaseVerifyBackupOperator,
)

with DAG(
    dag_id="backup_knowledge",
    description="Makes a backup, verifies it, and deletes old ones",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("30 1 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "upkeep"],
    params={
        "kind": Param(
            "logical",
            type="string",
            enum=["logical", "physical"],
            values_display={
                "logical": "logical: the schema, from any server",
                "physical": "physical: the embedded server whole",
            },
            title="Kind",
            description="What is backed up.",
        ),
        "place": parameters.optional_text(
            "Place",
            "Folder on the worker, better on another disk. Empty: backups in RECANT_HOME.",
            pattern="^(/.*)?$",
            maxLength=2000,
        ),
        "keep": Param(
            7,
            type="integer",
            minimum=1,
            maximum=10_000,
            title="Kept",
            description="How many of the kind stay; older ones are deleted.",
        ),
    },
) as dag:
    made = KnowledgeBaseBackupOperator(task_id="create_backup", kind=dag.param("kind"), place=dag.param("place"))
    verified = KnowledgeBaseVerifyBackupOperator(task_id="verify_backup", backup=made.output)
    pruned = KnowledgeBasePruneBackupsOperator(task_id="prune_backups", backup=made.output, keep=dag.param("keep"))
    verified >> pruned
