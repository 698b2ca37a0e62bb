"""Making backups, verifying them, and dropping old ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recant_airflow.operators.base import KnowledgeBaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.knowledge_base import KnowledgeBase


class KnowledgeBaseBackupOperator(KnowledgeBaseOperator):
    """Makes a backup. A retry makes another; what the failed attempt had written is gone.

    Gives its manifest: name, kind, folder, position, taken_at, seconds, size_bytes, files and more.

    :param kind: logical or physical.
    :param place: folder on the worker; None: `backups` in RECANT_HOME.
    """

    template_fields: Sequence[str] = ("kind", "place")

    def __init__(self, *, kind: str = "logical", place: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.place = place

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Makes it."""
        backup = kb.backups.create(self.kind, to=self.place or None)
        self.log.info("%s holds the log up to position %d", backup.folder, backup.position)
        return backup.to_dict()


class KnowledgeBaseVerifyBackupOperator(KnowledgeBaseOperator):
    """Reads all of a backup and fails where it is not what was written. Gives its name.

    :param backup: what KnowledgeBaseBackupOperator gave.
    """

    template_fields: Sequence[str] = ("backup",)

    def __init__(self, *, backup: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.backup = backup

    def work(self, kb: KnowledgeBase, context: Context) -> str:
        """Verifies."""
        found = kb.backups.get(self.backup["folder"])
        kb.backups.verify(found)
        return found.name


class KnowledgeBasePruneBackupsOperator(KnowledgeBaseOperator):
    """Deletes all but the newest backups of a kind. Gives the names of those that are gone.

    :param backup: what KnowledgeBaseBackupOperator gave: its kind and its place are meant.
    :param keep: how many stay.
    """

    template_fields: Sequence[str] = ("backup", "keep")

    def __init__(self, *, backup: Any, keep: int = 7, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.backup = backup
        self.keep = keep

    def work(self, kb: KnowledgeBase, context: Context) -> list[str]:
        """Prunes."""
        from pathlib import Path

        return kb.backups.prune(self.keep, kind=self.backup["kind"], place=Path(self.backup["folder"]).parent)
