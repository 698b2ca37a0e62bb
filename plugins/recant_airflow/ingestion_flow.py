"""The tasks of an ingest, wired once for every DAG that ingests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import TriggerRule, XComArg

from recant_airflow.operators.ingestion import (
    OPERATION_KEY,
    KnowledgeBaseGateOperator,
    KnowledgeBaseIngestBatchOperator,
    KnowledgeBaseListOperator,
    KnowledgeBaseRetireOperator,
)
from recant_airflow.operators.operation import (
    KnowledgeBaseAbortOperator,
    KnowledgeBaseOpenOperator,
    KnowledgeBasePublishOperator,
)

BATCHES_AT_ONCE = 2
"""Each may hold an embedding model of its own in memory, where no resident embedder runs."""
RETRIES: Mapping[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 2,
    "max_retry_delay": timedelta(minutes=2),
}


def ingestion_flow(*, documents_per_batch: Any, **opened_with: Any) -> None:
    """Adds the tasks to the DAG that is being defined: open → list → write each batch → gate → retire → publish.

    Opening is a setup and aborting its teardown: however the tasks between end, by failure, kill, or a person who marks
    the run as failed, an operation that wasn't published is aborted and the run fails; clearing any of them opens anew.

    :param opened_with: what KnowledgeBaseOpenOperator takes.
    """
    opened = KnowledgeBaseOpenOperator(task_id="open_operation", **opened_with)
    listed = KnowledgeBaseListOperator(
        task_id="list_batches", operation=opened.output, documents_per_batch=documents_per_batch
    )
    operation = XComArg(listed, key=OPERATION_KEY)
    written = KnowledgeBaseIngestBatchOperator.partial(
        task_id="write_batch",
        operation=operation,
        max_active_tis_per_dagrun=BATCHES_AT_ONCE,
        map_index_template="{{ task.batch.key }}: {{ task.batch.documents }} documents",
    ).expand(batch=listed.output)
    checked = KnowledgeBaseGateOperator(
        task_id="check_quality", operation=operation, trigger_rule=TriggerRule.NONE_FAILED
    )
    retired = KnowledgeBaseRetireOperator(task_id="retire_removed", operation=operation)
    published = KnowledgeBasePublishOperator(task_id="publish", operation=operation)
    aborted = KnowledgeBaseAbortOperator(task_id="abort_unpublished", operation=opened.output)
    opened >> listed >> written >> checked >> retired >> published
    published >> aborted.as_teardown(setups=opened, on_failure_fail_dagrun=True)
