"""### A first knowledge base from what every installation has

Ingests the descriptions of all installed Python distributions (Airflow and its providers among them), this project's
documentation, and its DAGs as examples. Some hundreds of documents; run it once, or again after an upgrade: only what
changed is embedded.

It is one operation of the agent `librarian`, by the same steps as `ingest_documents`.
"""

from airflow.sdk import DAG, PartitionedAtRuntime

from recant.settings import read_settings
from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES, ingestion_flow

PROJECT = read_settings().project_root
SOURCES = ["dist:*", f"{PROJECT}/docs/**/*.md", f"{PROJECT}/dags/*.py"]

with DAG(
    dag_id="bootstrap_knowledge",
    description="Ingests the documentation that this installation brings along",
    doc_md=__doc__,
    schedule=PartitionedAtRuntime(),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "ingestion"],
    params=parameters.ingestion_params(agent="librarian", sources=SOURCES),
) as dag:
    ingestion_flow(**{name: dag.param(name) for name in dag.params})
