"""Archives in HDF5: made, written again, restored from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from recant_airflow.operators.base import KnowledgeBaseOperator, attribution

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.knowledge_base import KnowledgeBase


class _ArchivingOperator(KnowledgeBaseOperator):
    """What they have in common: datasets that are known once the operation has been made."""

    reads = True
    writes = True

    def __init__(self, *, agent: str = "airflow", message: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.agent = agent
        self.message = message
        self.datasets: list[dict[str, str]] = []

    def note(self, kb: KnowledgeBase, operation_id: int | None) -> None:
        """Keeps the operation's datasets for lineage."""
        if operation_id is not None:
            self.datasets += kb.operations.details(operation_id)["datasets"]

    def lineage_datasets(self) -> Iterable[Mapping[str, str]]:
        """The collection and the file, known afterwards."""
        return self.datasets


class KnowledgeBaseArchiveOperator(_ArchivingOperator):
    """Writes what is seen of a collection, or its history, into an HDF5 file on the worker.

    The file takes the target's place whole, or the target stays. A retry writes it from the start. Without a path the
    task is skipped.

    Gives the report: artifact_id, operation_id, path, position, sha256, size_bytes, rows, left_out.

    :param path: the file; its folder has to be there.
    :param collection: None: the installation's default.
    :param at: a position, a tag or a time; None: now.
    :param holds: `seen`, or `history` for every version.
    :param first_position: of a history: only what was published from there on.
    :param compression: `gzip`, `lzf` or `none`.
    :param level: of gzip, from 1 to 9.
    :param agent: who asks.
    :param message: why.
    """

    template_fields: Sequence[str] = (
        "path", "collection", "at", "holds", "first_position", "compression", "level", "agent", "message",
    )  # fmt: skip

    def __init__(
        self, *, path: str | None, collection: str | None = None, at: str | int | None = None, holds: str = "seen",
        first_position: int | None = None, compression: str = "gzip", level: int = 4, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.path = path
        self.collection = collection
        self.at = at
        self.holds = holds
        self.first_position = first_position
        self.compression = compression
        self.level = level

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Writes the archive."""
        self.datasets = []
        if not self.path:
            raise AirflowSkipException("No path is given: there is no archive to be made.")
        made = kb.archives.create(
            self.path,
            attribution(context, agent=self.agent, message=self.message),
            collection=self.collection or None,
            at=self.at or None,
            holds=self.holds,
            first_position=self.first_position,
            compression=self.compression,
            level=self.level,
        )
        self.note(kb, made.operation_id)
        self.log.info("%s holds %s as of position %s: %s", made.path, made.collection, made.position, made.rows)
        return made.to_dict()


class KnowledgeBaseRewriteArchivesOperator(_ArchivingOperator):
    """Writes archives again that hold what was taken back or erased since, or lack what is seen again.

    Those on this worker: it has to reach the paths at which they were made. A retry goes on with those that are left.

    Gives a list of reports, as KnowledgeBaseArchiveOperator's.

    :param states: which: `stale`, `erased`.
    :param collection: only its archives; None: all.
    :param agent: who asks.
    :param message: why.
    """

    template_fields: Sequence[str] = ("states", "collection", "agent", "message")

    def __init__(
        self, *, states: Sequence[str] = ("stale", "erased"), collection: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.states = states
        self.collection = collection

    def work(self, kb: KnowledgeBase, context: Context) -> list[dict[str, Any]]:
        """Writes each of them."""
        self.datasets = []
        writer = attribution(context, agent=self.agent, message=self.message)
        found = kb.archives.rewrite(writer, states=list(self.states), collection=self.collection or None)
        for made in found:
            self.note(kb, made.operation_id)
            self.log.info("%s is written again, as of position %s", made.path, made.position)
        return [made.to_dict() for made in found]


class KnowledgeBaseRestoreArchiveOperator(_ArchivingOperator):
    """Writes what an archive holds into a collection, as one operation that can be rolled back.

    A retry finds what the attempt before it has restored, and leaves it alone.

    Gives the report: operation_id, position, documents, unchanged, chunks, watermarks, records, homeless, vectors,
    with_operations, state_equal, missing.

    :param path: the archive, on the worker.
    :param collection: into which; None: of the name that it had.
    :param sources: only these documents.
    :param operations: only what these operations wrote, as they wrote it.
    :param trust_vectors: vouch for the vectors of a file that another installation made.
    :param agent: who asks.
    :param message: why.
    """

    template_fields: Sequence[str] = (
        "path", "collection", "sources", "operations", "trust_vectors", "agent", "message",
    )  # fmt: skip

    def __init__(
        self, *, path: str, collection: str | None = None, sources: Sequence[str] = (), operations: Sequence[int] = (),
        trust_vectors: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.path = path
        self.collection = collection
        self.sources = sources
        self.operations = operations
        self.trust_vectors = trust_vectors

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Restores."""
        self.datasets = []
        report = kb.archives.restore(
            self.path,
            attribution(context, agent=self.agent, message=self.message),
            collection=self.collection or None,
            sources=list(self.sources or ()),
            operations=list(self.operations or ()),
            trust_vectors=self.trust_vectors,
        )
        self.note(kb, report.operation_id)
        self.log.info("%s", report.message)
        return report.to_dict()
