"""Keeping the store in shape, a task for each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recant_airflow.operators.base import KnowledgeBaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.knowledge_base import KnowledgeBase


class KnowledgeBaseAbortAbandonedOperator(KnowledgeBaseOperator):
    """Aborts open operations whose lease has run out: their worker is gone. Gives `aborted`."""

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Aborts."""
        return {"aborted": kb.upkeep.abort_abandoned()}


class KnowledgeBaseTendIndexesOperator(KnowledgeBaseOperator):
    """Takes out of each vector index what nothing seen needs, and puts back what does again. Gives `indexes`.

    :param least_share: of the index's entries, from 0 to 1: less than that is left in it.
    """

    template_fields: Sequence[str] = ("least_share",)

    def __init__(self, *, least_share: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.least_share = least_share

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Tends. Refused, and so failed at once, while another tending is at work."""
        tended = kb.upkeep.tend_indexes(least_share=float(self.least_share))
        return {"indexes": [one.to_dict() for one in tended]}


class KnowledgeBaseTendKeywordsOperator(KnowledgeBaseOperator):
    """Brings each collection's keyword index up to date: what is missing, small segments, old ones. Gives `keywords`."""

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Tends."""
        return {"keywords": [tended.to_dict() for tended in kb.upkeep.tend_keywords()]}


class KnowledgeBaseCheckIndexesOperator(KnowledgeBaseOperator):
    """Compares each vector index with exact search, and builds anew one that finds too little or has grown too large.

    Gives `checks` and `rebuilt`.

    :param queries: how many questions.
    :param rebuild: whether a poor one is built anew.
    """

    template_fields: Sequence[str] = ("queries", "rebuild")

    def __init__(self, *, queries: int = 20, rebuild: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.queries = queries
        self.rebuild = rebuild

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Checks, and mends."""
        checks = kb.upkeep.check_indexes(queries=self.queries)
        rebuilt = kb.upkeep.mend_indexes(checks) if self.rebuild else []
        return {"checks": [check.to_dict() for check in checks], "rebuilt": rebuilt}


class KnowledgeBaseClearOperator(KnowledgeBaseOperator):
    """Forgets what sessions were shown before the retention, and vacuums tables that are full of dead rows.

    Gives `pruned_searches`, `vacuumed` and `hints`, which are in the log as warnings.

    :param retention_days: None: the installation's (`RECANT_RETENTION_DAYS`).
    """

    template_fields: Sequence[str] = ("retention_days",)

    def __init__(self, *, retention_days: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.retention_days = retention_days

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Clears."""
        pruned = kb.upkeep.prune_searches(older_than_days=self.retention_days)
        vacuumed, hints = kb.upkeep.vacuum()
        for hint in hints:
            self.log.warning("%s", hint)
        return {"pruned_searches": pruned, "vacuumed": vacuumed, "hints": hints}
