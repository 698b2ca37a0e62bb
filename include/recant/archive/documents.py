"""Documents of an archive with their chunks, in blocks: which of them are asked for, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recant.archive.reader import ArchiveFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_DOCUMENTS = 500
BLOCK_CHUNKS = 1_000
BLOCK_ROWS = 1 << 14


@dataclass(frozen=True, slots=True)
class ArchivedDocument:
    """One version of a document."""

    columns: dict[str, Any]
    """Its row of `documents`."""
    chunks: list[dict[str, Any]]
    """Its rows of `chunks`."""

    @property
    def source(self) -> str:
        """The document's name."""
        return str(self.columns["source"])


def chosen_rows(file: ArchiveFile, sources: frozenset[str], operations: Sequence[int]) -> NDArray[np.int64]:
    """Rows of the documents asked for, in the file's order: one version of each document.

    Without operations, what was seen; with them, what they wrote, seen or not, the last one where there are several.
    """
    found: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    wanted = np.asarray(sorted(operations), np.int64)
    count = file.rows["documents"]
    for start in range(0, count, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, count)
        kept = file.read("documents", "payload", start, stop) == 0
        kept &= file.read("documents", "tombstone", start, stop) == 0
        if operations:
            kept &= np.isin(file.read("documents", "operation_id", start, stop), wanted)
        else:
            kept &= file.read("documents", "seen", start, stop) == 1
        if sources and kept.any():
            kept &= np.asarray(
                [source in sources for source in file.texts("documents", "source", start, stop)], np.bool_
            )
        found.append(start + np.flatnonzero(kept))
    rows = np.concatenate(found)
    return _last_of_each(file, rows) if operations else rows


def document_blocks(file: ArchiveFile, rows: NDArray[np.int64]) -> Iterator[list[ArchivedDocument]]:
    """The documents of these rows, so many at once that they can be held."""
    for start in range(0, len(rows), BLOCK_DOCUMENTS):
        some = rows[start : start + BLOCK_DOCUMENTS]
        counts = file.gather("documents", "chunk_count", some).astype(np.int64)
        ends = np.cumsum(counts)
        group = (ends - counts) // BLOCK_CHUNKS
        for part in np.split(some, np.flatnonzero(np.diff(group)) + 1):
            yield _documents(file, part)


def _documents(file: ArchiveFile, rows: NDArray[np.int64]) -> list[ArchivedDocument]:
    found: list[ArchivedDocument] = []
    for first, last in _runs(rows):
        documents = file.rows_of("documents", first, last)
        begin = documents[0]["first_chunk"]
        chunks = file.rows_of("chunks", begin, begin + sum(document["chunk_count"] for document in documents))
        for document in documents:
            start = document["first_chunk"] - begin
            found.append(ArchivedDocument(document, chunks[start : start + document["chunk_count"]]))
    return found


def _runs(rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Rows that follow each other, as (first, after the last)."""
    for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        if len(run):
            yield int(run[0]), int(run[-1]) + 1


def _last_of_each(file: ArchiveFile, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(rows):
        return rows
    records, positions = (file.gather("documents", name, rows) for name in ("record_id", "position"))
    order = np.lexsort((positions, records))
    last = np.append(np.diff(records[order]) != 0, [True] * bool(len(order)))
    return np.sort(rows[order][last])
