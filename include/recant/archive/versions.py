"""Document versions out of an archive, as they are appended: texts, metadata, and ids of their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recant.archive.documents import ArchivedDocument
from recant.archive.reader import ArchiveFile
from recant.corpus import ChunkRow, DocumentRow, Embeddings, Head
from recant.errors import ArchiveDamaged

if TYPE_CHECKING:
    from numpy.typing import NDArray


def embedding_ids(
    file: ArchiveFile, embeddings: Embeddings, rows: Sequence[int], before_adding: Callable[[int], None] = lambda _: None
) -> tuple[dict[int, int], int]:  # fmt: skip
    """Ids of embeddings by vector row of a file, and how many were added to the space, because it lacked them."""
    distinct = np.unique(np.asarray(rows, np.int64))
    read = file.gather("vectors", "text_hash", distinct)
    hashes = {int(row): text_hash.tobytes() for row, text_hash in zip(distinct, read, strict=True)}
    ids = embeddings.known(sorted(set(hashes.values())))
    missing = np.asarray([row for row, text_hash in hashes.items() if text_hash not in ids], np.int64)
    if len(missing):
        before_adding(len(missing))
        vectors = unit_vectors(file, missing)
        ids |= embeddings.add({hashes[int(row)]: vector for row, vector in zip(missing, vectors, strict=True)})
    return {row: ids[text_hash] for row, text_hash in hashes.items()}, len(missing)


def unit_vectors(file: ArchiveFile, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Vectors of a file, by row. Raises ArchiveDamaged for what is no unit vector."""
    found = file.gather("vectors", "vector", rows).astype(np.float32)
    lengths = np.linalg.norm(found, axis=1)
    if not np.all((lengths > 0.9) & (lengths < 1.1)):
        raise ArchiveDamaged(f"{file.path}: vectors/vector has rows that aren't of length 1.")
    return found


def document_row(
    file: ArchiveFile, document: ArchivedDocument, ids: Mapping[int, int], head: Head | None
) -> DocumentRow:
    """A version as it is appended, over a head. `ids`: embeddings by vector row of the file."""
    columns = document.columns
    return DocumentRow(
        source=document.source,
        origin=columns["origin"],
        title=columns["title"] if columns["has_title"] else None,
        format=columns["format"],
        source_hash=columns["source_hash"],
        fingerprint=columns["fingerprint"],
        attributes=file.parsed(columns["attributes"], "documents/attributes"),
        chunks=tuple(_chunk(file, chunk, ids) for chunk in document.chunks),
        over_operation_id=head.operation_id if head else None,
    )


def _chunk(file: ArchiveFile, chunk: Mapping[str, Any], ids: Mapping[int, int]) -> ChunkRow:
    headers = file.parsed(chunk["parent_headers"], "chunks/parent_headers", list)
    if not all(isinstance(header, str) for header in headers):
        raise ArchiveDamaged(f"{file.path}: chunks/parent_headers should hold texts.")
    return ChunkRow(
        index=chunk["index"],
        embedding_id=ids[chunk["vector"]],
        token_count=chunk["token_count"],
        chunk_type=chunk["chunk_type"],
        parent_headers=tuple(headers),
        text=chunk["text"],
        attributes=file.parsed(chunk["attributes"], "chunks/attributes"),
    )
