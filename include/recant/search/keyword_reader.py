"""Reading the keyword index: views of what a scope sees, and postings, both remembered within bounds.

Nothing is kept that could become wrong: segments never change, document versions that are published don't, and what is seen
of them is a function of the position. A view of the latest is made of the one before it by what was written and spoken of in
between. Shared between threads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import count
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from recant.search.bm25 import Mask
from recant.search.keyword_index import packed_numbers, read_documents, read_headers
from recant.search.keyword_view import NOTHING, Heads, Source, View, advanced, source_of
from recant.search.nearest import Neighbourhood
from recant.search.scope import Scope
from recant.search.segments import (
    NOWHERE,
    Header,
    Longs,
    Posting,
    bucket_key,
    build,
    find_in_bucket,
    find_in_memory,
    read_frequent,
)
from recant.search.tokens import Hash, analysis
from recant.store import Connection, Row, load

POSTINGS_BYTES = 128 * 1024 * 1024
VIEW_BYTES = 128 * 1024 * 1024
HEADER_BYTES = 256 * 1024 * 1024
UNSAVED_DOCUMENTS = 1_000
"""Of more documents without a segment, segments are written before they are searched."""
MEMORY_DOCUMENTS_CHUNKS = 100_000
"""Chunks of documents without a segment that are kept as terms in memory."""
LEAST_CHANGES = 1_000
"""Records of which new heads are asked for one by one, rather than for all heads; or a quarter of those, if that is more."""
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


class KeywordReader:
    """Reads views and postings, and keeps what it has read. One for each database."""

    def __init__(self) -> None:
        self._sources: Cache[int, Source] = Cache(HEADER_BYTES, lambda source: source.bytes)
        self._views: Cache[Hashable, View] = Cache(VIEW_BYTES, lambda view: view.bytes)
        self._latest: dict[int, View] = {}
        self._postings: Cache[tuple[int, Hash], Posting] = Cache(POSTINGS_BYTES, _posting_bytes)
        self._memory: dict[int, list[Source]] = {}
        self._memory_keys = count(-1, -1)
        self._memory_lock = Lock()

    def view(self, connection: Connection, scope: Scope, *, patient: bool = True) -> View:
        """What the scope sees, in the snapshot that answers. With open operations of a session's own it is read anew.

        Raises NotIndexed unless `patient`, where many documents would have to be read.
        """
        ids = self._listed(connection, scope)
        if scope.own:
            heads = self._read_heads(connection, scope)
            return self._completed(connection, scope, NOTHING, heads, heads.records, ids, patient)
        key = (scope.collection_id, scope.visibility, scope.position)
        found = self._views.get(key)
        if found is None or found.stored != ids:
            found = self._next_view(connection, scope, found, ids, patient)
            self._views.put(key, found)
        if scope.visibility == "latest":
            self._latest[scope.collection_id] = found
        return found

    def postings(self, connection: Connection, view: View, terms: Iterable[Hash]) -> dict[Hash, list[Posting]]:
        """Of each term, its posting in each of the view's parts; what isn't cached in one round trip."""
        wanted = list(dict.fromkeys(terms))
        found: dict[tuple[int, Hash], Posting] = {}
        missing: list[tuple[int, Hash]] = []
        for part in view.parts:
            memory = view.sources[part.key].memory
            for term in wanted:
                known = self._postings.get((part.key, term)) if memory is None else find_in_memory(memory, term)
                if known is None:
                    missing.append((part.key, term))
                else:
                    found[part.key, term] = known
        if missing:
            found |= self._fetch(connection, view, missing)
        return {term: [found[part.key, term] for part in view.parts] for term in wanted}

    def _fetch(
        self, connection: Connection, view: View, missing: Sequence[tuple[int, Hash]]
    ) -> dict[tuple[int, Hash], Posting]:
        buckets = {at: bucket_key(at[1], view.sources[at[0]].bucket_bits) for at in missing}
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

    def _next_view(
        self, connection: Connection, scope: Scope, same: View | None, ids: Sequence[int], patient: bool
    ) -> View:
        """Of one at the same position, or of the latest before it, or of nothing."""
        if same is not None:
            return self._completed(connection, scope, same, same.heads, NO_RECORDS, ids, patient)
        before = self._latest.get(scope.collection_id) if scope.visibility == "latest" else None
        changes = self._read_changes(connection, scope, before) if before is not None else None
        if before is not None and changes is not None:
            heads = before.heads.changed(*changes)
            return self._completed(connection, scope, before, heads, changes[0], ids, patient)
        heads = self._read_heads(connection, scope)
        return self._completed(connection, scope, NOTHING, heads, heads.records, ids, patient)

    def _completed(
        self, connection: Connection, scope: Scope, before: View, heads: Heads, changed: Longs, ids: Sequence[int],
        patient: bool,
    ) -> View:  # fmt: skip
        """With the documents that no stored segment has, from memory or from their chunks."""
        with self._memory_lock:
            memory = {source.key: source for source in self._memory.get(scope.collection_id, ())}
        sources = memory | self._stored(connection, ids)
        view = advanced(before, scope.position, heads, changed, sources)
        if not view.absent.any():
            return view
        fresh = self._unsaved(connection, scope, view, patient)
        return advanced(view, scope.position, heads, NO_RECORDS, fresh | sources) if fresh else view

    def _read_heads(self, connection: Connection, scope: Scope) -> Heads:
        name = "seen_heads_session" if scope.visibility == "session" else "seen_heads"
        statement = _SQL[name].format(heads=_SEARCH_SQL[f"heads_{scope.visibility}"])
        return _heads(connection.cursor(binary=True).execute(statement, scope.parameters, prepare=False).fetchone())

    def _read_changes(self, connection: Connection, scope: Scope, before: View) -> tuple[Longs, Heads] | None:
        """Records whose heads may be others than before, and the heads of those that have one. None where all are read
        anew: for many, after payloads were destroyed, or when the other view is the later one.
        """
        most = max(LEAST_CHANGES, len(before.heads) // 4)
        if before.position >= scope.position:
            return None
        given = scope.parameters | {"since": before.position, "most": most}
        row = connection.cursor(binary=True).execute(_SQL["changed_heads"], given, prepare=True).fetchone()
        if row is None or row["destroyed"] or row["touched"] > most:
            return None
        operations, records = packed_numbers(row, 2)
        order = np.argsort(records, kind="stable")
        operations, records = operations[order], records[order]
        return records, Heads(records[operations > 0], operations[operations > 0])

    def _stored(self, connection: Connection, ids: Sequence[int]) -> dict[int, Source]:
        known = {number: self._sources.get(number) for number in ids}
        missing = [number for number, source in known.items() if source is None]
        for number, (header, bucket_bits) in read_headers(connection, missing).items():
            known[number] = found = source_of(number, header, bucket_bits)
            self._sources.put(number, found)
        return {number: source for number, source in known.items() if source is not None}

    def _unsaved(self, connection: Connection, scope: Scope, view: View, patient: bool) -> dict[int, Source]:
        """The heads that no segment has, read from their chunks. What is published is kept in memory."""
        operations, records = view.heads.operations[view.absent], view.heads.records[view.absent]
        mutable = np.isin(operations, scope.own)
        if not patient and int((~mutable).sum()) > UNSAVED_DOCUMENTS:
            raise NotIndexed
        fresh = {}
        for which, keep in ((~mutable, True), (mutable, False)):
            documents = read_documents(connection, operations[which], records[which]) if which.any() else []
            if documents:
                segment = build(documents)
                key = next(self._memory_keys)
                fresh[key] = source_of(key, segment.header, memory=segment)
                if keep:
                    self._keep(scope.collection_id, fresh[key])
        return fresh

    def _keep(self, collection_id: int, source: Source) -> None:
        with self._memory_lock:
            kept = [*self._memory.get(collection_id, ()), source]
            while len(kept) > 1 and sum(of.header.chunks for of in kept) > MEMORY_DOCUMENTS_CHUNKS:
                kept = kept[1:]
            self._memory[collection_id] = kept


NO_RECORDS: Longs = np.zeros(0, np.int64)


def _heads(row: Row | None) -> Heads:
    operations, records = packed_numbers(row, 2)
    order = np.argsort(records, kind="stable")
    return Heads(records[order], operations[order])


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
