"""### Searches a collection by another embedding model, from one moment to the next

1. **build**: embeds every text with the other model, beside the one in use. Searches and ingests go on; what is ingested from
   now on is embedded with both. A retry goes on where the attempt before stopped.
2. **evaluate**: searches for judged queries by both models, and fails where the other one finds less than is allowed. Without
   queries, nothing is compared.
3. **approve**: shows a person the measures and waits for the answer, where `ask` says so. Rejected, or not answered in time:
   nothing is changed.
4. **switch**: one operation of kind `reembed`. From its position on searches are by the other model; as of an earlier position
   they are by the one before.

**Taking it back** is a rollback of that operation, like any other; it computes nothing. For `soak_days` what is ingested is
embedded with the model before, too, so that going back finds all vectors there. Afterwards `recant reembed fill` adds what is
missing, and `recant reembed drop` deletes the old vectors.

The model has to be named in RECANT_MODELS wherever something searches or ingests.
"""

from airflow.sdk import DAG, Param

from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.reembedding import (
    KnowledgeBaseApproveReembeddingOperator,
    KnowledgeBaseBuildEmbeddingsOperator,
    KnowledgeBaseCompareEmbeddingsOperator,
    KnowledgeBaseSwitchEmbeddingsOperator,
)

with DAG(
    dag_id="reembed_collection",
    description="Builds another embedding model beside the one in use, compares, and changes over by one operation",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "search"],
    params={
        "model": Param(
            type="string",
            minLength=1,
            maxLength=1000,
            title="Model",
            description="A name or path that RECANT_MODELS lists; the default model's name to go back to it.",
        ),
        "collection": Param(
            None,
            type=["null", "string"],
            pattern=parameters.COLLECTION,
            title="Collection",
            description="Which. Empty: the installation's default.",
        ),
        "queries": parameters.optional_text(
            "Judged queries",
            "File (JSONL, CSV) or BEIR folder: absolute path on the worker. Empty: the models are not compared.",
            pattern="^(/.*)?$",
            maxLength=2000,
        ),
        "mode": Param(
            "semantic",
            type="string",
            enum=["semantic", "hybrid"],
            title="Mode",
            description="How the judged queries are searched for.",
        ),
        "max_drop": Param(
            0.0,
            type="number",
            minimum=0,
            maximum=1,
            title="Largest drop",
            description="How far nDCG and recall may fall. By more, and nothing is changed.",
        ),
        "ask": Param(
            False,
            type="boolean",
            title="Ask a person",
            description="Whether somebody has to approve it, who is shown the measures.",
        ),
        "approval_timeout_hours": parameters.approval_hours_param(),
        "soak_days": Param(
            7.0,
            type="number",
            minimum=0,
            maximum=3650,
            title="Soak",
            description="Days for which the model before is kept up.",
        ),
        "agent": parameters.agent_param("airflow"),
        "message": parameters.message_param("operation"),
    },
) as dag:
    built = KnowledgeBaseBuildEmbeddingsOperator(
        task_id="build", model=dag.param("model"), collection=dag.param("collection")
    )
    evaluated = KnowledgeBaseCompareEmbeddingsOperator(
        task_id="evaluate",
        model=dag.param("model"),
        queries=dag.param("queries"),
        collection=dag.param("collection"),
        mode=dag.param("mode"),
        max_drop=dag.param("max_drop"),
    )
    approved = KnowledgeBaseApproveReembeddingOperator(
        task_id="approve",
        built=built.output,
        evaluation=evaluated.output,
        ask=dag.param("ask"),
        timeout_hours=dag.param("approval_timeout_hours"),
    )
    switched = KnowledgeBaseSwitchEmbeddingsOperator(
        task_id="switch",
        model=dag.param("model"),
        collection=dag.param("collection"),
        evaluation=evaluated.output,
        soak_days=dag.param("soak_days"),
        agent=dag.param("agent"),
        message=dag.param("message"),
    )
    built >> evaluated >> approved >> switched
