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

with DAG(
    dag_id="bootstrap_knowledge",
    description="Ingests the documentation that this installation brings along",
    doc_md=__doc__,
    schedule=PartitionedAtRuntime(),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "ingestion"],
    params={
        "sources": parameters.sources_param(["dist:*", f"{PROJECT}/docs/**/*.md", f"{PROJECT}/dags/*.py"]),
        "collection": parameters.collection_param(),
        "agent": parameters.agent_param("librarian"),
        "session": parameters.session_param(),
        "message": parameters.message_param("operation"),
        "policy": parameters.policy_param(),
        "documents_per_batch": parameters.documents_per_batch_param(),
    },
) as dag:
    ingestion_flow(
        sources=dag.param("sources"),
        collection=dag.param("collection"),
        agent=dag.param("agent"),
        session=dag.param("session"),
        message=dag.param("message"),
        policy=dag.param("policy"),
        documents_per_batch=dag.param("documents_per_batch"),
    )
