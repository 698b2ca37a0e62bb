"""Searches an archive where it lies, without a database: every vector is compared, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from recant.archive.reader import ArchiveFile, damage_named, open_archive
from recant.errors import ArchiveDamaged, ConfigurationError, DimensionMismatch, UsageError
from recant.search import Hit, SearchResult
from recant.search.ranking import shown_score, weigh
from recant.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILTERS = ("source", "title", "format")
BLOCK_ROWS = 1 << 16
BLOCK_DOCUMENTS = 1_000
LARGEST_LIMIT = 1_000
MOST_TIES = 100_000
"""Vectors that are equally near at the end of the list: so many are held, to decide between them by chunk."""
Filters = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class _Best:
    """The nearest vectors so far: their rows, and their similarity."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]

    def with_more(self, rows: NDArray[np.int64], scores: NDArray[np.float32], limit: int) -> _Best:
        """The best of both, all that are as near as the last one among them."""
        rows, scores = np.concatenate([self.rows, rows]), np.concatenate([self.scores, scores])
        if len(scores) > limit:
            kept = scores >= np.partition(scores, -limit)[-limit]
            rows, scores = rows[kept], scores[kept]
        if len(scores) > MOST_TIES:
            nearest = np.lexsort((rows, -scores))[:MOST_TIES]
            rows, scores = rows[nearest], scores[nearest]
        return _Best(rows, scores)


def query_archive(
    path: Path, vector: NDArray[Any], *, query: str | None = None, limit: int = 10, filters: Filters | None = None,
    every_version: bool = False,
) -> SearchResult:  # fmt: skip
    """The chunks nearest to the vector among those that were seen, ranked as a search as of the archive's position ranks.

    `filters`: source, title, format; several values of one widen. With `every_version` those of a history that weren't
    seen, too. Takes memory for a byte a document and vector. Raises ArchiveDamaged, DimensionMismatch, UsageError.
    """
    if not 1 <= limit <= LARGEST_LIMIT:
        raise UsageError(f"limit must be from 1 to {LARGEST_LIMIT}, not {limit!r}")
    wanted = _filters(filters)
    started = perf_counter()
    with open_archive(path) as file, damage_named(path):
        nearest = _unit(vector, file.dimensions)
        documents = _documents(file, wanted, every_version)
        best = _nearest(file, nearest, _vectors(file, documents), limit)
        hits = _hits(file, best, _first_chunks(file, documents, best), limit)
        return SearchResult(
            query, "semantic", file.collection, file.attributes["position"], hits, perf_counter() - started
        )


def search_archive(
    path: Path, query: str, settings: Settings, *, limit: int = 10, filters: Filters | None = None,
    every_version: bool = False,
) -> SearchResult:  # fmt: skip
    """The same for words, which the installation's model turns into a vector. No database is asked.

    Raises ConfigurationError where that isn't the model of the archive's vectors.
    """
    from recant.embedding import open_embedder, resolve_model

    if not query.strip():
        raise UsageError("The query is empty: say what to search for")
    card = resolve_model(settings.model, cache_dir=settings.home / "run")
    with open_archive(path) as file:
        model, digest = file.attributes["model"], file.attributes["model_digest"]
    if card.digest != digest:
        raise ConfigurationError(
            f"{path} holds vectors of {model}, the installation has {card.name} (digests {digest[:12]}, {card.digest[:12]}): "
            "set RECANT_MODEL to the archive's model."
        )
    embedder = open_embedder(
        card,
        purpose="query",
        state_file=settings.home / "run" / "embedder.json",
        dtype=settings.model_dtype,
        device=settings.device,
        mode=settings.embedder,
    )
    (vector,) = embedder.embed([query])
    return query_archive(path, vector, query=query, limit=limit, filters=filters, every_version=every_version)


def _filters(given: Filters | None) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for name, values in (given or {}).items():
        if name not in FILTERS:
            raise UsageError(f"An archive can be filtered by {', '.join(FILTERS)}, not by {name!r}.")
        found[name] = frozenset([values] if isinstance(values, str) else values)
    return found


def _unit(vector: NDArray[Any], dimensions: int) -> NDArray[np.float32]:
    """Of length 1, in half precision as the search has it."""
    flat = np.asarray(vector, np.float64).reshape(-1)
    length = float(np.linalg.norm(flat))
    if len(flat) != dimensions:
        raise DimensionMismatch(f"The query's vector has {len(flat)} dimensions, the archive's have {dimensions}")
    if not np.isfinite(length) or length == 0:
        raise UsageError("A query's vector must be of finite numbers, and not all zero")
    return (flat / length).astype(np.float16).astype(np.float32)


def _documents(file: ArchiveFile, filters: Mapping[str, frozenset[str]], every_version: bool) -> NDArray[np.bool_]:
    """Which of the documents are asked about."""
    chosen = np.zeros(file.rows["documents"], np.bool_)
    for start, block in file.blocks("documents", "payload"):
        chosen[start : start + len(block)] = block == 0
    if not every_version:
        for start, block in file.blocks("documents", "seen"):
            chosen[start : start + len(block)] &= block == 1
    for name, values in filters.items():
        for start in range(0, len(chosen), BLOCK_DOCUMENTS):
            stop = min(start + BLOCK_DOCUMENTS, len(chosen))
            chosen[start:stop] &= [text in values for text in file.texts("documents", name, start, stop)]
    return chosen


def _chunks(file: ArchiveFile, documents: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows of the chunks of these documents, and the rows of their vectors."""
    for start in range(0, file.rows["chunks"], BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, file.rows["chunks"])
        owners, vectors = file.read("chunks", "document", start, stop), file.read("chunks", "vector", start, stop)
        for rows, table in ((owners, "documents"), (vectors, "vectors")):
            if rows.min() < 0 or rows.max() >= file.rows[table]:
                raise ArchiveDamaged(f"{file.path}: chunks name rows that {table} hasn't.")
        chosen = np.flatnonzero(documents[owners])
        yield start + chosen, vectors[chosen]


def _vectors(file: ArchiveFile, documents: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wanted = np.zeros(file.rows["vectors"], np.bool_)
    for _, vectors in _chunks(file, documents):
        wanted[vectors] = True
    return wanted


def _nearest(file: ArchiveFile, query: NDArray[np.float32], wanted: NDArray[np.bool_], limit: int) -> _Best:
    best = _Best(np.empty(0, np.int64), np.empty(0, np.float32))
    for start, block in file.blocks("vectors", "vector"):
        rows = np.flatnonzero(wanted[start : start + len(block)])
        if len(rows):
            scores = block[rows].astype(np.float32) @ query
            real = np.isfinite(scores)
            best = best.with_more(start + rows[real], scores[real], limit)
    return best


def _first_chunks(file: ArchiveFile, documents: NDArray[np.bool_], best: _Best) -> dict[int, tuple[int, int]]:
    """By vector row, id and row of the chunk that shows it: of several with the same text, that of the lowest id."""
    wanted = np.zeros(file.rows["vectors"], np.bool_)
    wanted[best.rows] = True
    found: dict[int, tuple[int, int]] = {}
    for rows, vectors in _chunks(file, documents):
        for place in np.flatnonzero(wanted[vectors]).tolist():
            row, vector = int(rows[place]), int(vectors[place])
            chunk = int(file.read("chunks", "chunk_id", row, row + 1)[0]), row
            found[vector] = min(found.get(vector, chunk), chunk)
    return found


def _hits(file: ArchiveFile, best: _Best, shown_by: Mapping[int, tuple[int, int]], limit: int) -> list[Hit]:
    scores = {int(row): weigh(float(score), 1.0) for row, score in zip(best.rows, best.scores, strict=True)}
    nearest = sorted((-scores[vector], chunk_id, row) for vector, (chunk_id, row) in shown_by.items())[:limit]
    return [
        _hit(file, rank, -score, file.rows_of("chunks", row, row + 1)[0])
        for rank, (score, _, row) in enumerate(nearest, start=1)
    ]


def _hit(file: ArchiveFile, rank: int, score: float, chunk: dict[str, Any]) -> Hit:
    (document,) = file.rows_of("documents", chunk["document"], chunk["document"] + 1)
    attributes = file.parsed(document["attributes"], "documents/attributes")
    return Hit(
        rank=rank,
        score=shown_score(score),
        chunk_id=chunk["chunk_id"],
        document_id=document["record_id"],
        source=document["source"],
        title=document["title"] if document["has_title"] else None,
        text=chunk["text"],
        operation_id=document["operation_id"],
        quality=None,
        collection=file.collection,
        chunk_type=chunk["chunk_type"],
        parent_headers=tuple(map(str, file.parsed(chunk["parent_headers"], "chunks/parent_headers", list))),
        attributes=attributes | file.parsed(chunk["attributes"], "chunks/attributes"),
    )
