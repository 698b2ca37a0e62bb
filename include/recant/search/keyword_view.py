"""What of the keyword index a scope sees: stored segments, the documents that none of them has, and which chunks count.

Nothing is cached that could become wrong: segments never change, document versions that are published don't, and what is
seen of them is a function of the position. All of it is bounded, and shared between threads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from recant.search.bm25 import Mask, Part
from recant.search.keyword_index import packed_numbers, read_documents, read_headers
from recant.search.nearest import Neighbourhood
from recant.search.scope import Scope
from recant.search.segments import (
    NOWHERE,
    Header,
    Longs,
    Posting,
    Segment,
    bucket_key,
    build,
    find_in_bucket,
    find_in_memory,
    read_frequent,
)
from recant.search.tokens import DEFAULT_LANGUAGE, Hash, analysis
from recant.store import Connection, load

POSTINGS_BYTES = 64 * 1024 * 1024
VIEW_BYTES = 128 * 1024 * 1024
HEADER_BYTES = 256 * 1024 * 1024
UNSAVED_DOCUMENTS = 1_000
"""Of more documents without a segment, segments are written before they are searched."""
MEMORY_DOCUMENTS_CHUNKS = 100_000
"""Chunks of documents without a segment that are kept as terms in memory."""
ROW_BYTES = 200
_SQL = load(__package__, "keyword.sql")
_SEARCH_SQL = load(__package__, "search.sql")

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Cache(Generic[Key, Value]):
    """What was used last, up to a number of bytes. Safe to share between threads."""

    def __init__(self, most_bytes: int, size_of: Callable[[Value], int]) -> None:
        self._most, self._size_of, self._size = most_bytes, size_of, 0
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> Value | None:
        """None when it isn't there any more."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Keeps it; what was used longest ago makes room."""
        with self._lock:
            self._drop(key)
            self._values[key] = value
            self._size += self._size_of(value)
            while self._size > self._most and len(self._values) > 1:
                self._drop(next(iter(self._values)))

    def _drop(self, key: Key) -> None:
        if key in self._values:
            self._size -= self._size_of(self._values.pop(key))


class NotIndexed(Exception):
    """Many documents have no segment: upkeep should make some."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The document versions that are seen, by record."""

    records: Longs
    """Rising."""
    operations: Longs


@dataclass(frozen=True, slots=True)
class View:
    """A collection as a scope sees it."""

    parts: Sequence[Part]
    bucket_bits: dict[int, int]
    memory: dict[int, Segment]
    """Segments that aren't stored, by the key of their part."""
    chunks: int
    """That are seen: N of the formula."""
    languages: tuple[str, ...]
    """Of the documents that are seen."""

    def language_of(self, operation: int, record: int) -> str:
        """The language of a document that is seen."""
        for header in (part.header for part in self.parts):
            found = np.flatnonzero((header.records == record) & (header.operations == operation))
            if len(found):
                return header.languages[int(header.tongues[found[-1]])]
        return DEFAULT_LANGUAGE

    @property
    def bytes(self) -> int:
        """About what it holds in memory."""
        return sum(part.norms.nbytes + (0 if part.seen is None else part.seen.nbytes) for part in self.parts) + 1


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored segment's header."""

    header: Header
    bucket_bits: int

    @property
    def bytes(self) -> int:
        """What it holds in memory, about."""
        return self.header.lengths.nbytes + 24 * len(self.header.records)


@dataclass
class _Memory:
    """Documents without a segment, as segments of their own. Immutable, because published."""

    segments: list[Segment] = field(default_factory=list)

    def add(self, segment: Segment) -> None:
        self.segments = [*self.segments, segment]
        while len(self.segments) > 1 and sum(s.header.chunks for s in self.segments) > MEMORY_DOCUMENTS_CHUNKS:
            self.segments = self.segments[1:]


class KeywordReader:
    """Reads views and postings, and keeps what it has read. One for each database."""

    def __init__(self) -> None:
        self._headers: Cache[int, Stored] = Cache(HEADER_BYTES, lambda stored: stored.bytes)
        self._heads: Cache[Hashable, Heads] = Cache(VIEW_BYTES, lambda heads: 16 * len(heads.records) + 1)
        self._views: Cache[Hashable, View] = Cache(VIEW_BYTES, lambda view: view.bytes)
        self._postings: Cache[tuple[int, Hash], Posting] = Cache(POSTINGS_BYTES, _posting_bytes)
        self._memory: dict[int, _Memory] = {}
        self._memory_lock = Lock()

    def view(self, connection: Connection, scope: Scope, *, patient: bool = True) -> View:
        """What the scope sees, in the snapshot that answers. With open operations of a session's own it is read anew.

        Raises NotIndexed unless `patient`, where many documents would have to be read.
        """
        ids = self._listed(connection, scope)
        key = (scope.collection_id, scope.visibility, scope.position, ids)
        found = None if scope.own else self._views.get(key)
        if found is None:
            found = self._read_view(connection, scope, ids, patient)
            if not scope.own:
                self._views.put(key, found)
        return found

    def postings(self, connection: Connection, view: View, terms: Iterable[Hash]) -> dict[Hash, list[Posting]]:
        """Of each term, its posting in each of the view's parts; what isn't cached in one round trip."""
        wanted = list(dict.fromkeys(terms))
        found: dict[tuple[int, Hash], Posting] = {}
        missing: list[tuple[int, Hash]] = []
        for part in view.parts:
            for term in wanted:
                at = part.key, term
                known = (
                    find_in_memory(view.memory[part.key], term) if part.key in view.memory else self._postings.get(at)
                )
                if known is None:
                    missing.append(at)
                else:
                    found[at] = known
        if missing:
            found |= self._fetch(connection, view, missing)
        return {term: [found[part.key, term] for part in view.parts] for term in wanted}

    def _fetch(
        self, connection: Connection, view: View, missing: Sequence[tuple[int, Hash]]
    ) -> dict[tuple[int, Hash], Posting]:
        buckets = {at: bucket_key(at[1], view.bucket_bits[at[0]]) for at in missing}
        rows = dict.fromkeys([*missing, *((segment, key) for (segment, _), key in buckets.items())])
        given = {"segments": [segment for segment, _ in rows], "keys": [key for _, key in rows]}
        cursor = connection.cursor(binary=True).execute(_SQL["read_postings"], given, prepare=True)
        data = {(row["segment_id"], row["key"]): row["data"] for row in cursor}
        found = {}
        for at, bucket in buckets.items():
            if at in data:
                found[at] = read_frequent(data[at])
            elif (at[0], bucket) in data:
                found[at] = _own(find_in_bucket(data[at[0], bucket], at[1]))
            else:
                found[at] = NOWHERE
            self._postings.put(at, found[at])
        return found

    def _listed(self, connection: Connection, scope: Scope) -> tuple[int, ...]:
        given = scope.parameters | {"analysis": analysis()}
        row = connection.execute(_SQL["list_segments"], given, prepare=True).fetchone()
        return tuple((row and row["ids"]) or ())

    def _read_view(self, connection: Connection, scope: Scope, ids: Sequence[int], patient: bool) -> View:
        heads, stored = self._read_heads(connection, scope), self._stored(connection, ids)
        owners = _owners(heads, [of.header for of in stored.values()])
        parts = [_part(number, of.header, heads, owners == rank) for rank, (number, of) in enumerate(stored.items())]
        absent = owners < 0
        unsaved = self._unsaved(connection, scope, heads.operations[absent], heads.records[absent], patient)
        memory = {-number: segment for number, segment in enumerate(unsaved, start=1)}
        own = Heads(heads.records[absent], heads.operations[absent])
        taken = _owners(own, [segment.header for segment in unsaved])
        parts += [_part(key, segment.header, own, taken == rank) for rank, (key, segment) in enumerate(memory.items())]
        return _assembled(parts, {number: of.bucket_bits for number, of in stored.items()}, memory)

    def _read_heads(self, connection: Connection, scope: Scope) -> Heads:
        key = (scope.collection_id, scope.visibility, scope.position)
        found = None if scope.own else self._heads.get(key)
        if found is None:
            name = "seen_heads_session" if scope.visibility == "session" else "seen_heads"
            statement = _SQL[name].format(heads=_SEARCH_SQL[f"heads_{scope.visibility}"])
            row = connection.cursor(binary=True).execute(statement, scope.parameters, prepare=False).fetchone()
            operations, records = packed_numbers(row, 2)
            order = np.argsort(records, kind="stable")
            found = Heads(records[order], operations[order])
            if not scope.own:
                self._heads.put(key, found)
        return found

    def _stored(self, connection: Connection, ids: Sequence[int]) -> dict[int, Stored]:
        known = {number: self._headers.get(number) for number in ids}
        missing = [number for number, stored in known.items() if stored is None]
        for number, (header, bucket_bits) in read_headers(connection, missing).items():
            known[number] = Stored(header, bucket_bits)
            self._headers.put(number, known[number])  # type: ignore[arg-type]
        return {number: stored for number, stored in known.items() if stored is not None}

    def _unsaved(
        self, connection: Connection, scope: Scope, operations: Longs, records: Longs, patient: bool
    ) -> list[Segment]:
        """The documents that no stored segment has, from memory or from their chunks."""
        if not len(records):
            return []
        with self._memory_lock:
            memory = self._memory.setdefault(scope.collection_id, _Memory())
            kept = memory.segments
        known = {pair for s in kept for pair in _pairs(s.header)}
        pairs = zip(operations.tolist(), records.tolist(), strict=True)
        absent = np.fromiter((pair not in known for pair in pairs), np.bool_, len(records))
        mutable = absent & np.isin(operations, scope.own)
        if not patient and int((absent & ~mutable).sum()) > UNSAVED_DOCUMENTS:
            raise NotIndexed
        fresh = []
        for which, keep in ((absent & ~mutable, True), (mutable, False)):
            documents = read_documents(connection, operations[which], records[which]) if which.any() else []
            if documents:
                fresh.append(build(documents))
                if keep:
                    with self._memory_lock:
                        memory.add(fresh[-1])
        return [*kept, *fresh]


def _pairs(header: Header) -> Iterable[tuple[int, int]]:
    return zip(header.operations.tolist(), header.records.tolist(), strict=True)


def _owners(heads: Heads, headers: Sequence[Header]) -> NDArray[np.int64]:
    """Of each head, the last of the segments that has it; -1 where none has."""
    owners = np.full(len(heads.records), -1, np.int64)
    for rank, header in enumerate(headers):
        places, found = _places(heads, header)
        owners[places[found]] = rank
    return owners


def _places(heads: Heads, header: Header) -> tuple[NDArray[np.int64], Mask]:
    """Where each of a header's documents would be among the heads, and whether it is one."""
    if not len(heads.records):
        return np.zeros(len(header.records), np.int64), np.zeros(len(header.records), np.bool_)
    places = np.minimum(np.searchsorted(heads.records, header.records), len(heads.records) - 1)
    return places, (heads.records[places] == header.records) & (heads.operations[places] == header.operations)


def _part(key: int, header: Header, heads: Heads, owned: Mask) -> Part:
    """The segment with those of its documents that are heads and its own."""
    places, found = _places(heads, header)
    if len(heads.records):
        found &= owned[places]
    languages = frozenset(header.languages[number] for number in np.unique(header.tongues[found]))
    return Part(key, header, None if found.all() else np.repeat(found, np.diff(header.starts)), languages)


def _assembled(parts: Sequence[Part], bucket_bits: dict[int, int], memory: dict[int, Segment]) -> View:
    kept = [part for part in parts if part.languages]
    chunks = sum(part.seen_chunks for part in kept)
    average = sum(part.seen_terms for part in kept) / chunks if chunks else 1.0
    for part in kept:
        part.set_norms(average or 1.0)
    languages = {language for part in kept for language in part.languages} or {DEFAULT_LANGUAGE}
    return View(kept, bucket_bits, memory, chunks, tuple(sorted(languages)))


def _own(posting: Posting) -> Posting:
    """A copy: a view would hold its whole bucket in memory."""
    return posting[0].copy(), posting[1].copy()


def _posting_bytes(posting: Posting) -> int:
    return posting[0].nbytes + posting[1].nbytes + ROW_BYTES


def filtered_masks(around: Neighbourhood, view: View) -> list[Mask]:
    """Which chunks of each part pass the filter: all of them are looked up at once."""
    statement = _SQL["filtered_chunks"].format(**around.matching)
    cursor = around.connection.cursor(binary=True)
    row = cursor.execute(statement, around.parameters, prepare=False).fetchone()
    records, places = packed_numbers(row, 2)
    order = np.lexsort((places, records))
    passing = Heads(records[order], places[order])
    return [_passing(part.header, passing) for part in view.parts]


def _passing(header: Header, passing: Heads) -> Mask:
    mask = np.zeros(header.chunks, np.bool_)
    low = np.searchsorted(passing.records, header.records, side="left")
    high = np.searchsorted(passing.records, header.records, side="right")
    for document in np.flatnonzero(high > low):
        places = passing.operations[low[document] : high[document]]
        mask[header.starts[document] + places[places < header.starts[document + 1] - header.starts[document]]] = True
    return mask
