"""Reads what an archive is to hold, in blocks of columns, from one snapshot of the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

import numpy as np

from recant.archive.layout import TABLES, element_type, row_shape
from recant.archive.scope import Scope
from recant.errors import UnknownCollection
from recant.store import Connection, Row, load

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_DOCUMENTS = 1_000
BLOCK_CHUNKS = 1_000
BLOCK_VECTORS = 2_000
BLOCK_ROWS = 10_000
_SQL = load(__package__, "archive.sql")
_VERSIONS = {
    kind: _SQL["version_columns"].format(columns=_SQL[f"columns_of_{kind}"], joins=_SQL[f"joins_of_{kind}"])
    for kind in ("document", "watermark")
}


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a table, by column."""

    rows: int
    columns: dict[str, Any]


@dataclass(frozen=True, slots=True)
class VersionBlock:
    """Versions of one kind of record, whole: the ids, whether each is seen, and their columns."""

    version_ids: list[int]
    block: Block


class Contents:
    """What a scope comes to, in the snapshot of a connection."""

    def __init__(self, connection: Connection, scope: Scope) -> None:
        """Raises UnknownCollection."""
        self.connection = connection
        self.scope = scope
        given = {"collection": scope.collection, "position": scope.position}
        row = connection.execute(_SQL["find_collection"], given).fetchone()
        if row is None:
            raise UnknownCollection(
                f'There is no collection "{scope.collection}": `recant collections` lists those there are.'
            )
        self.collection = row
        self._given = {
            "collection_id": row["collection_id"],
            "position": scope.position,
            "holds": scope.holds,
            "first": scope.first_position,
        }

    def left_out(self) -> dict[str, int]:
        """Records that are seen, of kinds that an archive doesn't hold."""
        rows = self.connection.execute(_SQL["kinds_left_out"], self._given)
        return {row["kind"]: row["records"] for row in rows}

    def versions(self, kind: str) -> Iterator[VersionBlock]:
        """All versions of a kind, a block at a time."""
        for rows in self._groups(kind):
            ids = [row["version_id"] for row in rows]
            found = self.connection.execute(_VERSIONS[kind], {"versions": ids}, binary=True).fetchone()
            assert found is not None, "an aggregate is one row"
            block = columns_of(f"{kind}s", found, 0)
            block.columns["seen"] = np.fromiter((row["seen"] for row in rows), np.uint8, len(rows))
            yield VersionBlock(ids, block)

    def chunks(self, version_ids: Sequence[int]) -> Block:
        """The chunks of these versions; `document` counts from 0, `embedding` is the vector's id in the database."""
        given = {"versions": list(version_ids), "space_id": self.collection["space_id"]}
        found = self.connection.execute(_SQL["chunk_columns"], given, binary=True).fetchone()
        assert found is not None, "an aggregate is one row"
        return columns_of("chunks", found, 0, {"embedding": "i8"})

    def vectors(self, embeddings: NDArray[np.int64]) -> Iterator[Block]:
        """Hashes and vectors of these embeddings, in this order."""
        dimensions = self.collection["dimensions"]
        for start in range(0, len(embeddings), BLOCK_VECTORS):
            given = {"embeddings": embeddings[start : start + BLOCK_VECTORS].tolist()}
            found = self.connection.execute(_SQL["vector_columns"], given, binary=True).fetchone()
            assert found is not None, "an aggregate is one row"
            yield columns_of("vectors", found, dimensions)

    def log(self, query: str, operations: Sequence[int]) -> Iterator[list[Row]]:
        """Rows of the log about these operations, some at a time."""
        given = {"operations": list(operations), "position": self.scope.position}
        yield from self._streamed(_SQL[query], given, BLOCK_ROWS)

    def _groups(self, kind: str) -> Iterator[list[Row]]:
        """Versions to be read at once: few enough to hold them, with their chunks."""
        group: list[Row] = []
        chunks = 0
        for rows in self._streamed(_SQL["select_versions"], self._given | {"kind": kind}, BLOCK_ROWS):
            for row in rows:
                if group and (chunks + row["chunks"] > BLOCK_CHUNKS or len(group) == BLOCK_DOCUMENTS):
                    yield group
                    group, chunks = [], 0
                group.append(row)
                chunks += row["chunks"]
        if group:
            yield group

    def _streamed(self, query: LiteralString, given: Mapping[str, Any], rows: int) -> Iterator[list[Row]]:
        with self.connection.cursor("archive_contents") as cursor:
            cursor.execute(query, given)
            while found := cursor.fetchmany(rows):
                yield found


def columns_of(table: str, row: Row, dimensions: int, extra: Mapping[str, str] | None = None) -> Block:
    """Columns from one row of binary values one after the other, numbers big-endian as Postgres sends them."""
    columns: dict[str, Any] = {}
    for name, kind in {**TABLES[table], **(extra or {})}.items():
        if name not in row:
            continue
        data = bytes(row[name] or b"")
        if kind == "text":
            columns[name] = data, np.frombuffer(bytes(row[f"{name}_length"] or b""), ">i8").astype(np.int64)
        else:
            sent = np.dtype(element_type(kind)).newbyteorder(">")
            columns[name] = np.frombuffer(data, sent).reshape(-1, *row_shape(kind, dimensions))
    return Block(row["rows"], columns)
