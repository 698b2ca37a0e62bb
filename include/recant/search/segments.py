"""Packed segments of the keyword index: what they hold, how they are made, and how they are read. Arrays only, no database.

A segment is up to 65,536 chunks. Its header has the documents they are of, how many chunks each has, and how many terms
each chunk has. Its postings say for each term in which chunks it occurs and how often. They are stored by key: a term that
512 chunks have or more by itself, under its hash; all others in buckets of about 4 KB, by the leading bits of the hash,
under -1, -2, …. A bucket is, little-endian: the number of terms (uint32), their hashes (int64) and in how many chunks each
occurs (uint16), then for all of them in turn the chunks (uint16, rising) and how often (uint8, at most 255).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil, log2
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recant.search.tokens import Hash, language_of, terms

MAX_CHUNKS = 65_536
FREQUENT_CHUNKS = 512
BUCKET_BYTES = 4_096
MOST_OFTEN = 255
NAMED_TIMES = 2
HASH_BITS = 62

Longs: TypeAlias = NDArray[np.int64]
Slots: TypeAlias = NDArray[np.uint16] | NDArray[np.int64]
Counts: TypeAlias = NDArray[np.uint8]
Posting: TypeAlias = tuple[Slots, Counts]
Rows: TypeAlias = Iterator[tuple[int, bytes]]
NOWHERE: Posting = (np.zeros(0, np.uint16), np.zeros(0, np.uint8))


@dataclass(frozen=True, slots=True)
class Header:
    """Which chunks a segment has: those of its documents, one after another, each document's in order from its first."""

    operations: Longs
    """Of each document version, the operation that wrote it; with its record that names the version for good."""
    records: Longs
    starts: Longs
    """The slot of each document's first chunk; one more at the end: the number of chunks."""
    tongues: Longs
    """The language of each document: its number among the languages."""
    lengths: NDArray[np.uint32]
    """Terms of each chunk."""
    languages: tuple[str, ...]

    @property
    def chunks(self) -> int:
        """How many there are."""
        return len(self.lengths)

    def documents_bytes(self) -> bytes:
        """Operations, records, chunk counts and languages, as they are stored."""
        columns = (self.operations, self.records, np.diff(self.starts), self.tongues)
        return b"".join(column.astype("<i8").tobytes() for column in columns)

    @classmethod
    def from_bytes(cls, documents: bytes, lengths: bytes, languages: Iterable[str]) -> Header:
        """The reverse of what is stored."""
        operations, records, counts, tongues = np.frombuffer(documents, "<i8").reshape(4, -1)
        starts = np.concatenate(([0], np.cumsum(counts)))
        return cls(operations, records, starts, tongues, np.frombuffer(lengths, "<u4"), tuple(languages))


@dataclass(frozen=True, slots=True)
class Terms:
    """Of each occurrence of a term in a chunk: the term, the chunk's slot, how often. Sorted by term, then slot."""

    hashes: Longs
    slots: NDArray[np.int64]
    counts: Counts


@dataclass(frozen=True, slots=True)
class Tokenised:
    """A document version as terms: what takes time, done before a transaction begins."""

    lengths: Sequence[int]
    """Terms of each chunk."""
    hashes: Longs
    """All chunks' terms, one after another, each as often as it occurs."""
    language: str

    @property
    def chunks(self) -> int:
        """How many there are."""
        return len(self.lengths)


@dataclass(frozen=True, slots=True)
class Passage:
    """What of a chunk is indexed: its headings and its text. Its document's title belongs to each chunk besides."""

    headers: Sequence[str]
    text: str


def tokenise(title: str | None, passages: Sequence[Passage]) -> Tokenised:
    """A document's chunks as terms, in the document's language. Those of the title and of headings count NAMED_TIMES as often:
    what a text is called says more of it than any of its words (a field weight, as BM25F has them).
    """
    language = language_of(passage.text for passage in passages)
    of_title = terms(title or "", language)
    found = [
        NAMED_TIMES * (of_title + terms("\n".join(passage.headers), language)) + terms(passage.text, language)
        for passage in passages
    ]
    lengths = list(map(len, found))
    return Tokenised(lengths, np.fromiter(chain.from_iterable(found), np.int64, sum(lengths)), language)


@dataclass(frozen=True, slots=True)
class Segment:
    """A header, its postings, and how many leading bits of a hash name a bucket."""

    header: Header
    terms: Terms

    @property
    def bucket_bits(self) -> int:
        """So many that buckets are of about BUCKET_BYTES."""
        _, occurrences = np.unique(self.terms.hashes, return_counts=True)
        rare = occurrences[occurrences < FREQUENT_CHUNKS]
        size = 10 * len(rare) + 3 * int(rare.sum())
        return max(0, ceil(log2(size / BUCKET_BYTES))) if size else 0


def build(documents: Sequence[tuple[int, int, Tokenised]]) -> Segment:
    """A segment of documents, each with its operation and record. One of more than MAX_CHUNKS can't be stored."""
    counts = np.array([of.chunks for _, _, of in documents], np.int64)
    lengths = np.array([length for _, _, of in documents for length in of.lengths], np.uint32)
    languages = tuple(sorted({of.language for _, _, of in documents}))
    header = Header(
        np.array([operation for operation, _, _ in documents], np.int64),
        np.array([record for _, record, _ in documents], np.int64),
        np.concatenate(([0], np.cumsum(counts))),
        np.array([languages.index(of.language) for _, _, of in documents], np.int64),
        lengths,
        languages,
    )
    hashes = np.concatenate([of.hashes for _, _, of in documents])
    return Segment(header, _counted(hashes, np.repeat(np.arange(len(lengths)), lengths)))


def _counted(hashes: Longs, slots: Longs) -> Terms:
    """Equal pairs of a term and a slot as one with their number. Slots rise already, so a stable sort by term is enough."""
    order = np.argsort(hashes, kind="stable")
    hashes, slots = hashes[order], slots[order]
    if not len(hashes):
        return Terms(hashes, slots, np.zeros(0, np.uint8))
    first = np.concatenate(([True], (hashes[1:] != hashes[:-1]) | (slots[1:] != slots[:-1])))
    where = np.flatnonzero(first)
    times = np.diff(np.concatenate((where, [len(hashes)])))
    return Terms(hashes[where], slots[where], np.minimum(times, MOST_OFTEN).astype(np.uint8))


def postings(segment: Segment, bucket_bits: int) -> Rows:
    """Key and bytes of every row of a segment's postings."""
    of = segment.terms
    if not len(of.hashes):
        return
    starts = np.flatnonzero(np.concatenate(([True], of.hashes[1:] != of.hashes[:-1])))
    occurrences = np.diff(np.concatenate((starts, [len(of.hashes)])))
    frequent = occurrences >= FREQUENT_CHUNKS
    slots = of.slots.astype("<u2")
    for start, times in zip(starts[frequent], occurrences[frequent], strict=True):
        end = start + times
        yield int(of.hashes[start]), slots[start:end].tobytes() + of.counts[start:end].tobytes()
    rare = np.repeat(~frequent, occurrences)
    yield from _buckets(of.hashes[starts[~frequent]], occurrences[~frequent], slots[rare], of.counts[rare], bucket_bits)


def _buckets(hashes: Longs, occurrences: Longs, slots: Slots, counts: Counts, bucket_bits: int) -> Rows:
    if not len(hashes):
        return
    ends = np.concatenate(([0], np.cumsum(occurrences)))
    numbers = hashes >> (HASH_BITS - bucket_bits)
    firsts = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
    for first, last in zip(firsts, np.concatenate((firsts[1:], [len(hashes)])), strict=True):
        low, high = ends[first], ends[last]
        data = np.uint32(last - first).tobytes() + hashes[first:last].astype("<i8").tobytes()
        data += occurrences[first:last].astype("<u2").tobytes() + slots[low:high].tobytes()
        yield -int(numbers[first]) - 1, data + counts[low:high].tobytes()


def bucket_key(term: Hash, bucket_bits: int) -> int:
    """The key of the bucket in which a rare term would be."""
    return -(term >> (HASH_BITS - bucket_bits)) - 1


def read_frequent(data: bytes) -> Posting:
    """A frequent term's posting."""
    size = len(data) // 3
    return np.frombuffer(data, "<u2", size), np.frombuffer(data, np.uint8, size, 2 * size)


def find_in_bucket(data: bytes, term: Hash) -> Posting:
    """A rare term's posting, empty when the bucket hasn't got it."""
    hashes, occurrences, slots, counts = _read_bucket(data)
    place = int(np.searchsorted(hashes, term))
    if place == len(hashes) or hashes[place] != term:
        return NOWHERE
    low = int(occurrences[:place].sum(dtype=np.int64))
    high = low + int(occurrences[place])
    return slots[low:high], counts[low:high]


def _read_bucket(data: bytes) -> tuple[Longs, NDArray[np.uint16], Slots, Counts]:
    size = int(np.frombuffer(data, "<u4", 1)[0])
    hashes = np.frombuffer(data, "<i8", size, 4)
    occurrences = np.frombuffer(data, "<u2", size, 4 + 8 * size)
    at = 4 + 10 * size
    total = (len(data) - at) // 3
    return (
        hashes,
        occurrences,
        np.frombuffer(data, "<u2", total, at),
        np.frombuffer(data, np.uint8, total, at + 2 * total),
    )


def read_terms(rows: Iterable[tuple[int, bytes]]) -> Terms:
    """All postings of a segment, in no order."""
    hashes: list[Longs] = [np.zeros(0, np.int64)]
    slots: list[Slots] = [NOWHERE[0]]
    counts: list[Counts] = [NOWHERE[1]]
    for key, data in rows:
        if key >= 0:
            where, times = read_frequent(data)
            hashes.append(np.full(len(where), key, np.int64))
        else:
            known, occurrences, where, times = _read_bucket(data)
            hashes.append(np.repeat(known, occurrences))
        slots.append(where)
        counts.append(times)
    return Terms(np.concatenate(hashes), np.concatenate(slots).astype(np.int64), np.concatenate(counts))


def merge(parts: Sequence[tuple[Header, Terms]], kept: Sequence[NDArray[np.bool_]]) -> Segment | None:
    """One segment of several, with those of their documents that are kept; None when none is."""
    headers = [header for header, _ in parts]
    sizes = [np.diff(header.starts) for header in headers]
    chunks_kept = [np.repeat(keep, size) for keep, size in zip(kept, sizes, strict=True)]
    bases = np.cumsum([0, *(int(of.sum()) for of in chunks_kept)])
    if not bases[-1]:
        return None
    slots = np.concatenate([
        np.where(of, base + np.cumsum(of) - 1, -1)[found.slots]
        for of, base, (_, found) in zip(chunks_kept, bases, parts, strict=False)
    ])  # fmt: skip
    terms = _sorted(slots, [found for _, found in parts])
    languages = tuple(sorted({language for header in headers for language in header.languages}))
    header = Header(
        np.concatenate([of.operations[keep] for of, keep in zip(headers, kept, strict=True)]),
        np.concatenate([of.records[keep] for of, keep in zip(headers, kept, strict=True)]),
        np.concatenate(([0], np.cumsum(np.concatenate([size[keep] for size, keep in zip(sizes, kept, strict=True)])))),
        np.concatenate([_renamed(of, languages)[keep] for of, keep in zip(headers, kept, strict=True)]),
        np.concatenate([of.lengths[keep] for of, keep in zip(headers, chunks_kept, strict=True)]),
        languages,
    )
    return Segment(header, terms)


def _renamed(header: Header, languages: Sequence[str]) -> Longs:
    """The documents' languages by their numbers in another list."""
    return np.array([languages.index(language) for language in header.languages], np.int64)[header.tongues]


def _sorted(slots: Longs, parts: Sequence[Terms]) -> Terms:
    """Those that have a slot (others are -1), by term and slot."""
    hashes, counts = np.concatenate([of.hashes for of in parts]), np.concatenate([of.counts for of in parts])
    kept = slots >= 0
    hashes, slots, counts = hashes[kept], slots[kept], counts[kept]
    order = np.lexsort((slots, hashes))
    return Terms(hashes[order], slots[order], counts[order])


def find_in_memory(segment: Segment, term: Hash) -> Posting:
    """A term's posting in a segment that isn't stored."""
    low, high = np.searchsorted(segment.terms.hashes, [term, term + 1])
    return segment.terms.slots[low:high], segment.terms.counts[low:high]


def by_key(rows: Iterable[Mapping[str, object]]) -> Iterator[tuple[int, bytes]]:
    """Rows of the database as key and bytes."""
    for row in rows:
        yield int(row["key"]), bytes(row["data"])  # type: ignore[call-overload]
