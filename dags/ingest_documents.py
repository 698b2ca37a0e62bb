"""### Documents in, as one operation

Reads files, folders, globs, http(s) addresses and installed Python distributions, cuts them into chunks, embeds these
and publishes all of it **as one operation**: nobody sees any of it before the last task, and a quality gate stands
before that. If anything fails, the operation is aborted and nothing of it is ever visible.

Unchanged documents cost a hash; documents that are gone from a source get a tombstone. What a run published can be taken
back as a whole: trigger `rollback_knowledge` with this run's id.

Every step may be tried again. Publishing emits an event of the asset `published_knowledge`, its partition the
operation's id.
"""

from airflow.sdk import DAG, PartitionedAtRuntime

from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES, ingestion_flow

with DAG(
    dag_id="ingest_documents",
    description="Reads, embeds, checks and publishes documents as one operation",
    doc_md=__doc__,
    schedule=PartitionedAtRuntime(),
    catchup=False,
    max_active_runs=4,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "ingestion"],
    params=parameters.ingestion_params(agent="airflow"),
) as dag:
    ingestion_flow(**{name: dag.param(name) for name in dag.params})
