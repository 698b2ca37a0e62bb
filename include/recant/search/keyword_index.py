"""Keeping the keyword index: a batch's segments are written with its rows; upkeep indexes what is missing, merges, purges.

The index is a projection. What isn't in it is read from the chunks (keyword_view), so nothing here decides what is found,
only how fast. Keeps out how segments are packed (segments) and read for a query.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from recant.corpus import BatchTarget, DocumentRow
from recant.errors import UnknownCollection
from recant.search.segments import (
    MAX_CHUNKS,
    Header,
    Longs,
    Passage,
    Segment,
    Terms,
    Tokenised,
    build,
    by_key,
    merge,
    postings,
    read_terms,
    tokenise,
)
from recant.search.tokens import analysis
from recant.store import Connection, Database, Row, load

MERGE_AT = 4
"""So many segments of one size class are merged; a class is four times as large as the one before."""
INDEX_CHUNKS = 8_192
"""Indexed in one transaction by upkeep."""
_BUSY = 7241169, 21
_SQL = load(__package__, "keyword.sql")
Key = TypeVar("Key", int, str)


@dataclass(frozen=True, slots=True)
class Tended:
    """What upkeep did to one collection's keyword index."""

    collection: str
    indexed: int
    """Document versions that no segment had."""
    merged: int
    """Segments that went into larger ones."""
    purged: int
    """Document versions whose payload was destroyed, taken out."""
    dropped: int
    """Segments of aborted operations, or made by another way of splitting text."""
    segments: int
    """That are there now."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def tokenise_documents(documents: Iterable[DocumentRow]) -> dict[str, Tokenised]:
    """By source. Takes most of the time that indexing takes, and no connection."""
    return {d.source: tokenise(d.title, [Passage(c.parent_headers, c.text) for c in d.chunks]) for d in documents}


@dataclass(frozen=True, slots=True)
class Packed:
    """A segment ready to be written, but for its operation and its records."""

    documents: Mapping[str, Tokenised]
    """By source."""
    segment: Segment
    bucket_bits: int
    rows: Sequence[tuple[int, bytes]]
    """Of its postings: key and data."""


def pack(documents: Mapping[str, Tokenised]) -> list[Packed]:
    """Documents as segments. Takes no connection, and can be done beside what the batch waits for.

    One of more than MAX_CHUNKS chunks is left out; searches read it itself.
    """
    fitting = ((source, 0, document) for source, document in documents.items() if 0 < document.chunks <= MAX_CHUNKS)
    found = []
    for group in _groups(fitting, MAX_CHUNKS):
        segment = build([(0, 0, document) for _, _, document in group])
        bits = segment.bucket_bits
        named = {source: document for source, _, document in group}
        found.append(Packed(named, segment, bits, list(postings(segment, bits))))
    return found


def write_packed(connection: Connection, target: BatchTarget, segments: Iterable[Packed], without: Set[str]) -> None:
    """Adds the documents that a batch has just appended, in its transaction; `without`: those that it hasn't.

    Raises OperationClosed, StaleBatch.
    """
    for packed in segments:
        if without.isdisjoint(packed.documents):
            _add(connection, target, packed)
        else:
            write_segments(connection, target, {s: of for s, of in packed.documents.items() if s not in without})


def write_segments(connection: Connection, target: BatchTarget, documents: Mapping[str, Tokenised]) -> None:
    """The same for documents that aren't packed yet."""
    write_packed(connection, target, pack(documents), frozenset())


def _groups(rows: Iterable[tuple[Key, int, Tokenised]], most_chunks: int) -> Iterator[list[tuple[Key, int, Tokenised]]]:
    group: list[tuple[Key, int, Tokenised]] = []
    size = 0
    for row in rows:
        if group and size + row[2].chunks > most_chunks:
            yield group
            group, size = [], 0
        group.append(row)
        size += row[2].chunks
    if group:
        yield group


def _add(connection: Connection, target: BatchTarget, packed: Packed) -> None:
    given = {"collection_id": target.collection_id, "sources": list(packed.documents)}
    ids = {row["key"]: row["id"] for row in connection.execute(_SQL["records_of"], given)}
    header = replace(
        packed.segment.header,
        operations=np.full(len(ids), target.operation_id, np.int64),
        records=np.array([ids[source] for source in packed.documents], np.int64),
    )
    given = _columns(header, packed.bucket_bits)
    given |= {"operation_id": target.operation_id, "batch_id": target.batch_id, "collection_id": target.collection_id}
    row = connection.execute(_SQL["add_segment"], given).fetchone()
    assert row is not None
    with connection.cursor().copy(_SQL["copy_postings"]) as copy:
        copy.set_types(["int8", "int8", "bytea"])
        for key, data in packed.rows:
            copy.write_row((row["id"], key, data))


def _columns(header: Header, bucket_bits: int) -> dict[str, Any]:
    return {
        "analysis": analysis(),
        "languages": list(header.languages),
        "bucket_bits": bucket_bits,
        "chunks": header.chunks,
        "documents": header.documents_bytes(),
        "lengths": header.lengths.astype("<u4").tobytes(),
    }


NOTHING: dict[str, Any] = {
    "analysis": None, "languages": None, "bucket_bits": None, "chunks": None, "documents": None, "lengths": None,
    "keys": [], "data": [],
}  # fmt: skip


def header_of(row: Row) -> Header:
    """A stored segment's header. A batch's segment speaks of its own operation, whatever is written in it."""
    found = Header.from_bytes(row["documents"], row["lengths"], row["languages"])
    if row["operation_id"] is None:
        return found
    own = np.full(len(found.operations), row["operation_id"], np.int64)
    return replace(found, operations=own)


def read_headers(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[Header, int]]:
    """Headers and bucket bits of stored segments, by id."""
    if not ids:
        return {}
    rows = connection.cursor(binary=True).execute(_SQL["read_headers"], {"ids": list(ids)}).fetchall()
    return {row["id"]: (header_of(row), row["bucket_bits"]) for row in rows}


def read_documents(connection: Connection, operations: Longs, records: Longs) -> list[tuple[int, int, Tokenised]]:
    """Document versions as terms, from their chunks; without those whose payload is gone."""
    given = {"operations": operations.tolist(), "records": records.tolist()}
    rows = connection.execute(_SQL["read_passages"], given)
    found = []
    for (operation, record), chunks in groupby(rows, key=lambda row: (row["operation_id"], row["record_id"])):
        parts = list(chunks)
        passages = [Passage(part["parent_headers"], part["text"]) for part in parts]
        found.append((operation, record, tokenise(parts[0]["title"], passages)))
    return found


def packed_numbers(row: Row | None, columns: int) -> NDArray[np.int64]:
    """Big-endian integers that the database packed, of shape (columns, n)."""
    data = (row and row["packed"]) or b""
    return np.frombuffer(data, ">i8").astype(np.int64).reshape(-1, columns).T


class KeywordIndex:
    """The keyword indexes of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def tend(self, collection: str | None = None) -> list[Tended]:
        """Brings the index of a collection, or of all, up to date. Safe at any time, and several at once share the work.

        Raises UnknownCollection.
        """
        with self.database.transaction() as connection:
            found = connection.execute(_SQL["collections"], {"name": collection}).fetchall()
        if collection is not None and not found:
            raise UnknownCollection(f'There is no collection "{collection}": `recant collections` lists them.')
        return [self._tend(row["id"], row["name"]) for row in found]

    def _tend(self, collection_id: int, name: str) -> Tended:
        dropped = self._drop_obsolete(collection_id)
        indexed = self.index_missing(collection_id)
        purged = self.purge(collection_id)
        merged = self.merge_small(collection_id)
        return Tended(name, indexed, merged, purged, dropped, len(self._listed(collection_id)))

    def index_missing(self, collection_id: int) -> int:
        """Segments for published document versions that have none; returns how many. One process at a time."""
        indexed = 0
        with self.database.connection() as holder:
            holder.execute("SELECT pg_advisory_lock(%s, %s)", [*_BUSY])  # until the connection is closed
            operations, records, chunks = self._missing(collection_id)
            for low, high in _shares(chunks):
                indexed += self._index(collection_id, operations[low:high], records[low:high])
        return indexed

    def purge(self, collection_id: int | None = None) -> int:
        """Takes destroyed payloads out of the segments that have them; returns how many document versions that were."""
        if collection_id is None:
            with self.database.transaction() as connection:
                found = connection.execute(_SQL["collections"], {"name": None}).fetchall()
            return sum(self.purge(row["id"]) for row in found)
        with self.database.transaction() as connection:
            queued = connection.execute(_SQL["queued_purges"], {"collection_id": collection_id}).fetchall()
        if not queued:
            return 0
        operations = np.array([row["operation_id"] for row in queued], np.int64)
        records = np.array([row["record_id"] for row in queued], np.int64)
        purged = self._purge_segments(collection_id, operations, records)
        with self.database.transaction() as connection:
            connection.execute(_SQL["finish_purge"], {"operations": operations.tolist(), "records": records.tolist()})
        return purged

    def merge_small(self, collection_id: int) -> int:
        """Merges segments of like sizes until there are few of each; returns how many went into larger ones."""
        merged = 0
        while group := next(iter(mergeable(self._mergeable(collection_id))), None):
            merged += self._merge(collection_id, group)
        return merged

    def _listed(self, collection_id: int) -> list[Row]:
        given = {"collection_id": collection_id, "analysis": analysis()}
        with self.database.transaction() as connection:
            return connection.execute(_SQL["list_for_upkeep"], given).fetchall()

    def _mergeable(self, collection_id: int) -> list[tuple[int, int]]:
        return [(row["id"], row["chunks"]) for row in self._listed(collection_id) if not row["obsolete"]]

    def _drop_obsolete(self, collection_id: int) -> int:
        with self.database.transaction() as connection:
            connection.execute(_SQL["lock_index"])
            given = {"collection_id": collection_id, "analysis": analysis()}
            rows = connection.execute(_SQL["list_for_upkeep"], given).fetchall()
            old = [row["id"] for row in rows if row["obsolete"]]
            if old:
                connection.execute(_SQL["replace_segments"], NOTHING | {"collection_id": collection_id, "old": old})
        return len(old)

    def _missing(self, collection_id: int) -> tuple[Longs, Longs, Longs]:
        given = {"collection_id": collection_id, "analysis": analysis(), "max_chunks": MAX_CHUNKS}
        with self.database.snapshot() as connection:
            row = connection.cursor(binary=True).execute(_SQL["indexable_versions"], given).fetchone()
            operations, records, chunks = packed_numbers(row, 3)
            listed = connection.execute(_SQL["list_all_segments"], given).fetchone()
            headers = [header for header, _ in read_headers(connection, (listed and listed["ids"]) or []).values()]
        known = {pair for h in headers for pair in zip(h.operations.tolist(), h.records.tolist(), strict=True)}
        pairs = zip(operations.tolist(), records.tolist(), strict=True)
        absent = np.fromiter((pair not in known for pair in pairs), np.bool_, len(operations))
        return operations[absent], records[absent], chunks[absent]

    def _index(self, collection_id: int, operations: Longs, records: Longs) -> int:
        with self.database.transaction() as connection:
            documents = read_documents(connection, operations, records)
        with self.database.transaction() as connection:
            given = {"operations": operations.tolist(), "records": records.tolist()}
            locked = connection.execute(_SQL["lock_indexable"], given)
            there = {(row["operation_id"], row["record_id"]) for row in locked}
            documents = [document for document in documents if document[:2] in there]
            for group in _groups(documents, MAX_CHUNKS):
                _replace(connection, collection_id, [], build(group))
        return len(documents)

    def _purge_segments(self, collection_id: int, operations: Longs, records: Longs) -> int:
        gone = set(zip(operations.tolist(), records.tolist(), strict=True))
        purged = 0
        for segment in self._all_segments(collection_id):
            with self.database.transaction() as connection:
                connection.execute(_SQL["lock_index"])
                for header, _ in read_headers(connection, [segment]).values():
                    pairs = list(zip(header.operations.tolist(), header.records.tolist(), strict=True))
                    if gone.isdisjoint(pairs):
                        continue
                    keep = _living(connection, header)
                    _replace(connection, collection_id, [segment], _merged(connection, {segment: (header, keep)}))
                    purged += int((~keep).sum())
        return purged

    def _all_segments(self, collection_id: int) -> list[int]:
        """Those of open operations, too."""
        with self.database.transaction() as connection:
            given = {"collection_id": collection_id, "analysis": analysis()}
            row = connection.execute(_SQL["list_all_segments"], given).fetchone()
        return list((row and row["ids"]) or [])

    def _merge(self, collection_id: int, group: Sequence[int]) -> int:
        with self.database.transaction() as connection:
            connection.execute(_SQL["lock_index"])
            headers = read_headers(connection, group)
            if len(headers) < len(group):  # somebody else was here first
                return 0
            parts = {number: (headers[number][0], _living(connection, headers[number][0])) for number in sorted(group)}
            _hide_repeated(list(parts.values()))
            _replace(connection, collection_id, list(parts), _merged(connection, parts))
        return len(group)


def mergeable(segments: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Groups of segments, given as (id, chunks), to be merged: where there are MERGE_AT of one size class or more."""
    classes: dict[int, list[tuple[int, int]]] = {}
    for number, chunks in segments:
        classes.setdefault((chunks.bit_length() - 1) // 2, []).append((number, chunks))
    for _, members in sorted(classes.items()):
        group: list[int] = []
        size = 0
        for number, chunks in sorted(members, key=lambda member: member[1]):
            if len(members) >= MERGE_AT and size + chunks <= MAX_CHUNKS:
                group.append(number)
                size += chunks
        if len(group) >= 2:
            yield group


def _shares(chunks: Longs) -> Iterator[tuple[int, int]]:
    low, size = 0, 0
    for high, count in enumerate(chunks.tolist()):
        if size and size + count > INDEX_CHUNKS:
            yield low, high
            low, size = high, 0
        size += count
    if len(chunks):
        yield low, len(chunks)


def _living(connection: Connection, header: Header) -> NDArray[np.bool_]:
    pairs = list(zip(header.operations.tolist(), header.records.tolist(), strict=True))
    given = {"operations": [pair[0] for pair in pairs], "records": [pair[1] for pair in pairs]}
    living = {(row["operation_id"], row["record_id"]) for row in connection.execute(_SQL["living_versions"], given)}
    return np.fromiter((pair in living for pair in pairs), np.bool_, len(pairs))


def _hide_repeated(parts: Sequence[tuple[Header, NDArray[np.bool_]]]) -> None:
    """Of a document version in several segments only the last one counts, as for readers."""
    seen: set[tuple[int, int]] = set()
    for header, keep in reversed(parts):
        pairs = list(zip(header.operations.tolist(), header.records.tolist(), strict=True))
        keep &= np.fromiter((pair not in seen for pair in pairs), np.bool_, len(pairs))
        seen.update(pairs)


def _merged(connection: Connection, parts: Mapping[int, tuple[Header, NDArray[np.bool_]]]) -> Segment | None:
    found: list[tuple[Header, Terms]] = []
    for number, (header, _) in parts.items():
        rows = connection.cursor(binary=True).execute(_SQL["read_all_postings"], {"segment": number})
        found.append((header, read_terms(by_key(rows))))
    return merge(found, [keep for _, keep in parts.values()])


def _replace(connection: Connection, collection_id: int, old: Sequence[int], segment: Segment | None) -> None:
    given: dict[str, Any] = {"collection_id": collection_id, "old": list(old)}
    if segment is None:
        connection.execute(_SQL["replace_segments"], given | NOTHING)
        return
    columns = _columns(segment.header, segment.bucket_bits)
    rows = list(postings(segment, columns["bucket_bits"]))
    columns |= {"keys": [key for key, _ in rows], "data": [data for _, data in rows]}
    connection.execute(_SQL["replace_segments"], given | columns)
