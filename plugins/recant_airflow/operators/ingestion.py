"""What happens under an open operation: list, write, check, retire. Each step may be tried again."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recant_airflow.operators.operation import OpenOperationOperator, counts_text

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.knowledge_base import KnowledgeBase

OPERATION_KEY = "operation"
"""XCom key under which the listing passes its operation on; see KnowledgeBaseListOperator."""
PROGRESS_SECONDS = 10.0


class KnowledgeBaseListOperator(OpenOperationOperator):
    """Lists the sources and cuts the list into batches. What can't be listed is recorded on the operation.

    Gives `[{"key", "documents", "listed_by"}, …]` to map KnowledgeBaseIngestBatchOperator over. The items of a batch are
    an XCom of its own under the batch's key, so that a mapped task reads its share only. The operation is passed on
    under the key `operation`: tasks that take it from here never mix the listing of one operation with another one,
    whatever part of a run is cleared.

    :param documents_per_batch: at most, evenly; more when there would be over `core.max_map_length` batches.
    """

    template_fields: Sequence[str] = (*OpenOperationOperator.template_fields, "documents_per_batch")
    reads = True

    def __init__(self, *, documents_per_batch: int = 200, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.documents_per_batch = documents_per_batch

    def work(self, kb: KnowledgeBase, context: Context) -> list[dict[str, Any]]:
        """Lists, and pushes one XCom for each batch."""
        from airflow.sdk.configuration import conf

        size = int(self.documents_per_batch)
        batches = kb.ingestion.list_batches(self.operation_id, self.request, documents_per_batch=size)
        batches = evened_out(batches, conf.getint("core", "max_map_length", fallback=1024))
        self.log.info("%s documents in %s batches", sum(map(len, batches)), len(batches))
        ti = context["ti"]
        ti.xcom_push(key=OPERATION_KEY, value=dict(self.operation))
        for number, items in enumerate(batches):
            ti.xcom_push(key=f"batch-{number}", value=items)
        return [
            {"key": f"batch-{number}", "documents": len(items), "listed_by": ti.task_id}
            for number, items in enumerate(batches)
        ]


class KnowledgeBaseIngestBatchOperator(OpenOperationOperator):
    """Reads, chunks, embeds and appends one batch under the open operation; a retry replaces what it wrote before.

    Gives counts: documents, unchanged, chunks, embedded, reused, rejected.

    :param batch: one element of what KnowledgeBaseListOperator gave.
    """

    template_fields: Sequence[str] = (*OpenOperationOperator.template_fields, "batch")
    reads = True
    writes = True

    def __init__(self, *, batch: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch = batch

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Writes the batch, telling the log how far it is."""
        key = self.batch["key"]
        items = context["ti"].xcom_pull(task_ids=self.batch["listed_by"], key=key, map_indexes=None)
        counts = kb.ingestion.write_batch(self.operation_id, key, items, self.request, progress=self._progress())
        self.log.info("%s: %s", key, counts_text(counts))
        return counts

    def _progress(self) -> Any:
        last = time.monotonic()

        def tell(what: str, done: int, total: int | None) -> None:
            nonlocal last
            if time.monotonic() - last >= PROGRESS_SECONDS:
                last = time.monotonic()
                self.log.info("%s %s%s", done, f"of {total} " if total else "", what)

        return tell


class KnowledgeBaseGateOperator(OpenOperationOperator):
    """Checks all rows of the open operation with Great Expectations before anyone sees them.

    Under `strict` a critical failure fails the task at once, naming documents and expectations; under `quarantine` those
    documents are left out and the rest goes on. The results, without row values, stay with the operation.

    Gives the gate's report.
    """

    writes = True

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Checks; raises GateFailed, which fails the task without a retry."""
        logging.getLogger("great_expectations").setLevel(logging.WARNING)  # its import alone tells hundreds of lines
        report = kb.ingestion.gate(self.operation_id, self.request).to_dict()
        self.log.info("The gate is passed: %s", counts_text(report))
        return report


class KnowledgeBaseRetireOperator(OpenOperationOperator):
    """Puts tombstones on documents that their origin no longer holds. Part of the operation: unseen before publish.

    Gives `{"removed"}`.
    """

    writes = True

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Retires what is gone."""
        counts = kb.ingestion.retire(self.operation_id, self.request)
        self.log.info("%s documents are no longer there", counts["removed"])
        return counts


def evened_out(batches: Sequence[Sequence[Any]], limit: int) -> list[list[Any]]:
    """The same items in the same order, in as many batches of about the same size, and at most `limit` of them."""
    items = [item for batch in batches for item in batch]
    if not items:
        return []
    size = math.ceil(len(items) / min(len(batches), limit))
    return [items[start : start + size] for start in range(0, len(items), size)]
