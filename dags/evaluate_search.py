"""### Measures every morning how good searches are, and tells people when they find less

On judged queries, whose right answers are known: a file or folder on the worker, from the form or the Airflow Variable
`recant_judged_queries`. Where neither names one, the run is skipped.

1. **evaluate**: searches for each query, in each mode, and keeps nDCG, MAP, recall, MRR and latencies in the history. Where
   nDCG is lower than the best of the ten evaluations before, the task's log and its result name the operations since.
2. **check_health**: holds it against the thresholds, with everything else that is measured. By default an alert fires where
   nDCG fell by more than 0.05 (`search_worse`; `alerts.yml` in RECANT_HOME changes that).
3. **tell**: sends what is new by e-mail and Slack, as `monitor_health` does.

4. **require**: fails where nDCG is lower than `fail_under`.

`recant evaluate QUERIES --compare POSITION` says which queries lost, and what is shown to them instead.
"""

from airflow.sdk import DAG, CronTriggerTimetable, Param

from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.evaluation import KnowledgeBaseEvaluateOperator, KnowledgeBaseRequireRelevanceOperator
from recant_airflow.operators.monitoring import KnowledgeBaseHealthOperator, KnowledgeBaseNotifyOperator

with DAG(
    dag_id="evaluate_search",
    description="Measures how good searches are on judged queries, and tells people when they find less",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("30 5 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "search", "monitoring"],
    params={
        "queries": parameters.optional_text(
            "Judged queries",
            "File (JSONL, CSV, TREC topics) or BEIR folder: absolute path on the worker. Empty: that of the Airflow Variable "
            "recant_judged_queries.",
            pattern="^(/.*)?$",
            maxLength=2000,
        ),
        "qrels": parameters.optional_text(
            "Judgements",
            "The qrels that belong to TREC topics: absolute path on the worker. Otherwise empty.",
            pattern="^(/.*)?$",
            maxLength=2000,
        ),
        "collection": Param(
            None,
            type=["null", "string"],
            pattern=parameters.COLLECTION,
            title="Collection",
            description="Where to search. Empty: the installation's default.",
        ),
        "modes": Param(
            ["hybrid"],
            type="array",
            items={"type": "string", "enum": ["semantic", "keyword", "hybrid"]},
            minItems=1,
            uniqueItems=True,
            title="Modes",
            description="By meaning, by words, or both; each is measured by itself.",
        ),
        "k": Param(
            10,
            type="integer",
            minimum=1,
            maximum=100,
            title="First documents",
            description="nDCG is of the first so many documents.",
        ),
        "fail_under": Param(
            None,
            type=["null", "number"],
            minimum=0,
            maximum=1,
            title="Lowest nDCG",
            description="Below it the task fails. Empty: it never does.",
        ),
    },
) as dag:
    evaluated = KnowledgeBaseEvaluateOperator(
        task_id="evaluate",
        queries=dag.param("queries"),
        qrels=dag.param("qrels"),
        collection=dag.param("collection"),
        modes=dag.param("modes"),
        k=dag.param("k"),
    )
    checked = KnowledgeBaseHealthOperator(task_id="check_health")
    KnowledgeBaseNotifyOperator(task_id="tell", report=checked.output)
    KnowledgeBaseRequireRelevanceOperator(
        task_id="require", reports=evaluated.output, fail_under=dag.param("fail_under")
    )
    evaluated >> checked
