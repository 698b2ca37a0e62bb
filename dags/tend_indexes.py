"""### Keeps the store in shape, every hour

- **abort_abandoned**: open operations whose worker is gone are aborted, once their lease has run out.
- **tend_vectors**: what only withdrawn, superseded or aborted versions use is taken out of the vector index where it is a tenth
  of it, or a thousand vectors of one operation; what a redo or a rollback has brought back is put in again; VACUUM, or a new
  index where much has gone, follows. Searches are right at every moment of it: while something that is seen may be outside the
  index, they look there, too.
- **tend_keywords**: keyword indexes are brought up to date: what is missing is indexed, small segments are merged.
- **check_recall**: the index against exact search on a few questions; one that finds too little is built anew beside the old
  one, which serves until then.
- **clear**: searches of sessions from before the retention are forgotten, and tables full of dead rows vacuumed.

Nothing that is seen changes, and nothing becomes impossible to undo. Each step may be interrupted; the next run goes on.
"""

from airflow.sdk import DAG, CronTriggerTimetable, Param

from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.upkeep import (
    KnowledgeBaseAbortAbandonedOperator,
    KnowledgeBaseCheckIndexesOperator,
    KnowledgeBaseClearOperator,
    KnowledgeBaseTendIndexesOperator,
    KnowledgeBaseTendKeywordsOperator,
)

with DAG(
    dag_id="tend_indexes",
    description="Takes withdrawn vectors out of the index and puts back what is seen again; clears away what was left behind",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("40 * * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "upkeep"],
    params={
        "least_share": Param(
            0.1,
            type="number",
            minimum=0,
            maximum=1,
            title="Least share",
            description="Take vectors out of an index where they are this share of its entries. 0: any.",
        ),
        "queries": Param(
            20,
            type="integer",
            minimum=1,
            maximum=10_000,
            title="Questions",
            description="On how many stored vectors, moved a little at random, the index is compared with exact search.",
        ),
        "rebuild": Param(
            True,
            type="boolean",
            title="Rebuild",
            description="Build an index anew that finds too little, or whose entries have grown to twice their size.",
        ),
        "retention_days": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            maximum=100_000,
            title="Days kept",
            description="Forget searches of sessions from longer ago. Empty: the installation's (RECANT_RETENTION_DAYS).",
        ),
    },
) as dag:
    abandoned = KnowledgeBaseAbortAbandonedOperator(task_id="abort_abandoned")
    tended = KnowledgeBaseTendIndexesOperator(task_id="tend_vectors", least_share=dag.param("least_share"))
    checked = KnowledgeBaseCheckIndexesOperator(
        task_id="check_recall", queries=dag.param("queries"), rebuild=dag.param("rebuild")
    )
    cleared = KnowledgeBaseClearOperator(task_id="clear", retention_days=dag.param("retention_days"))
    keywords = KnowledgeBaseTendKeywordsOperator(task_id="tend_keywords")
    abandoned >> tended >> checked
    abandoned >> keywords
    abandoned >> cleared
