"""Quality scores: working them out anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from recant_airflow.operators.base import KnowledgeBaseOperator, attribution

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.knowledge_base import KnowledgeBase


class KnowledgeBaseRecalculateQualityOperator(KnowledgeBaseOperator):
    """Works out the quality scores of a collection as of now, and stores those that changed, as one operation.

    Beside whoever writes, searches or rolls back. If the operation is reverted, the scores are those of the recalculation
    before it. An attempt that fails changes nothing.

    Gives the report: operation_id, position, collection, at, scored, changed, seconds.

    :param collection: whose scores; None: the installation's default.
    :param at: the time that they are to hold for (ISO 8601; without a zone it is UTC); None: now.
    :param agent: who asks.
    :param message: why.
    """

    template_fields: Sequence[str] = ("collection", "at", "agent", "message")
    reads = True
    writes = True

    def __init__(
        self,
        *,
        collection: str | None = None,
        at: str | None = None,
        agent: str = "airflow",
        message: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection = collection
        self.at = at
        self.agent = agent
        self.message = message
        self.datasets: list[dict[str, str]] = []

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Recalculates. Raises UnknownCollection, UsageError."""
        self.datasets = []
        who = attribution(context, agent=self.agent, message=self.message)
        moment = datetime.fromisoformat(self.at) if self.at else None
        done = kb.quality.recalculate(who, collection=self.collection, at=moment)
        self.datasets = kb.operations.details(done.operation_id)["datasets"]
        self.log.info("%d scores changed; %d chunks aren't neutral.", done.changed, done.scored)
        return done.to_dict()

    def lineage_datasets(self) -> Iterable[Mapping[str, str]]:
        """The collection, known afterwards."""
        return self.datasets
