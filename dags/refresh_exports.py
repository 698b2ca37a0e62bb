"""### Keeps exports right after each publish and each rollback

One run for each operation that was published or taken back. Exports that hold something that was withdrawn or erased are made
again as they were asked for, and so are those with `follow` that are behind. Where every export holds what it should, the
run does nothing. Several operations at once: the first run makes everything again, the others find nothing left.
"""

from airflow.sdk import DAG, PartitionedAssetTimetable

from recant_airflow import parameters
from recant_airflow.assets import PUBLISHED_KNOWLEDGE
from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.exports import KnowledgeBaseRefreshExportsOperator

with DAG(
    dag_id="refresh_exports",
    description="Makes exports again that a publish, rollback or erasure left behind",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(assets=PUBLISHED_KNOWLEDGE),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "export"],
    params={"agent": parameters.agent_param("airflow"), "message": parameters.message_param("operations")},
) as dag:
    KnowledgeBaseRefreshExportsOperator(task_id="refresh", agent=dag.param("agent"), message=dag.param("message"))
