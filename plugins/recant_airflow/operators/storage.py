"""Freeing the storage of what nobody can be shown any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from recant_airflow.operators.base import KnowledgeBaseOperator, attribution

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.knowledge_base import KnowledgeBase


class KnowledgeBaseReclaimOperator(KnowledgeBaseOperator):
    """Frees payloads that were last seen before the retention, beside whoever writes or searches.

    What a retention rule covers goes by the rule; documents that have expired by one are retired first. What a tag pins, an
    open plan would show, or an open operation was begun on stays. A retry finishes what the attempt before it began.

    Gives the report: horizon, held_by, operation_id, versions, chunks, embeddings, rules, expired, dry_run, message.

    :param retention_days: how long what is no longer seen is kept; None: the installation's (`RECANT_RETENTION_DAYS`).
    :param dry_run: only say what would be freed.
    :param expiry: retire what has expired by a retention rule.
    :param agent: who asks.
    :param message: why.
    """

    template_fields: Sequence[str] = ("retention_days", "dry_run", "expiry", "agent", "message")
    writes = True

    def __init__(
        self,
        *,
        retention_days: int | None = None,
        dry_run: bool = False,
        expiry: bool = True,
        agent: str = "airflow",
        message: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.retention_days = retention_days
        self.dry_run = dry_run
        self.expiry = expiry
        self.agent = agent
        self.message = message
        self.datasets: list[dict[str, str]] = []

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Reclaims; what it came to is in the log."""
        self.datasets = []
        writer = attribution(context, agent=self.agent, message=self.message)
        days = self.retention_days
        if days is None and kb.settings.retention_days is None and not kb.storage.retention.rules():
            raise AirflowSkipException("Everything is kept for ever (RECANT_RETENTION_DAYS): there is nothing to do.")
        report = kb.storage.reclaim(
            writer, older_than_days=days, dry_run=self.dry_run, expiry=self.expiry
        ).to_dict()  # fmt: skip
        self.log.info("%s", report["message"])
        written = {report["operation_id"], *(expired["operation_id"] for expired in report["expired"])} - {None}
        datasets = [d for operation_id in sorted(written) for d in kb.operations.details(operation_id)["datasets"]]
        self.datasets = [d for number, d in enumerate(datasets) if d not in datasets[:number]]
        return report

    def lineage_datasets(self) -> Iterable[Mapping[str, str]]:
        """The collections that something was freed of, known afterwards."""
        return self.datasets
