"""BM25 over the segments of one view of a collection: what isn't seen scores nothing, and counts nowhere.

    score(chunk) = sum over the query's terms of  idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / average length))
    idf          = ln(1 + (N - df + 0.5) / (df + 0.5))

after Robertson and Zaragoza (2009), with Lucene's idf, which is never negative. N, df and the average length are those of the
chunks that are seen, so they are the same as if the others had never been. Each chunk's sum is taken in the query's order,
in double precision: it doesn't depend on how chunks are spread over segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recant.search.segments import Header, Posting

K1 = 1.5
B = 0.75

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(slots=True)
class Part:
    """A segment as it is seen: its chunks' length norms, infinite where one isn't seen."""

    key: int
    """The stored segment's id; below 0 for one in memory."""
    header: Header
    seen: Mask | None
    """Which chunks are seen; None: all."""
    languages: frozenset[str] = frozenset()
    """Of the documents that are seen."""
    norms: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def seen_chunks(self) -> int:
        """How many there are."""
        return self.header.chunks if self.seen is None else int(np.count_nonzero(self.seen))

    @property
    def seen_terms(self) -> int:
        """The sum of their lengths."""
        lengths = self.header.lengths
        return int((lengths if self.seen is None else lengths[self.seen]).sum(dtype=np.int64))

    def set_norms(self, average_length: float) -> None:
        """`k1 * (1 - b + b * length / average)`."""
        self.norms = K1 * (1 - B + B * (self.header.lengths / average_length))
        if self.seen is not None:
            self.norms[~self.seen] = np.inf


@dataclass(frozen=True, slots=True)
class WeighedTerm:
    """A term of the query, with its postings in each part: one for each language that it may be in."""

    postings: Sequence[Sequence[Posting]]
    weight: float = 1.0

    def frequency(self, parts: Sequence[Part]) -> int:
        """In how many of the chunks that are seen it occurs. No chunk is of two languages."""
        return sum(
            len(slots) if part.seen is None else int(np.count_nonzero(part.seen[slots]))
            for part, found in zip(parts, self.postings, strict=True)
            for slots, _ in found
        )


@dataclass(frozen=True, slots=True)
class Ranked:
    """The best chunks of a query, best first; equal scores by record and place."""

    scores: Floats
    operations: NDArray[np.int64]
    records: NDArray[np.int64]
    places: NDArray[np.int64]
    """The chunk's number in its document."""
    complete: bool
    """Whether that is all that matched."""

    def __len__(self) -> int:
        return len(self.scores)


def idf(chunks: int, frequency: int) -> float:
    """How much a term tells."""
    return log(1 + (chunks - frequency + 0.5) / (frequency + 0.5))


def rank_chunks(
    parts: Sequence[Part], chunks: int, query: Sequence[WeighedTerm], allowed: Sequence[Mask | None], count: int
) -> Ranked:
    """The best `count` of the allowed chunks that have any of the terms. `chunks`: N, all that are seen."""
    factors = [term.weight * idf(chunks, df) * (K1 + 1) if (df := term.frequency(parts)) else 0.0 for term in query]
    columns: list[tuple[NDArray[Any], ...]] = []
    least, complete = 0.0, True
    for number, (part, mask) in enumerate(zip(parts, allowed, strict=True)):
        scores = _scores(part, [(factor, term.postings[number]) for factor, term in zip(factors, query, strict=True)])
        if scores is None:
            continue
        if mask is not None:
            scores *= mask
        slots = np.flatnonzero(scores >= least) if least else np.flatnonzero(scores)
        if len(slots) > count:
            cut = np.partition(scores[slots], len(slots) - count)[len(slots) - count]
            slots = slots[scores[slots] >= cut]
            least, complete = max(least, float(cut)), False
        columns.append((scores[slots], *_chunks(part.header, slots)))
    return _best(columns, count, complete)


def _scores(part: Part, query: Sequence[tuple[float, Sequence[Posting]]]) -> Floats | None:
    scores: Floats | None = None
    for factor, found in query:
        for slots, counts in found:
            if not factor or not len(slots):
                continue
            if scores is None:
                scores = np.zeros(part.header.chunks)
            often = counts.astype(np.float64)
            scores[slots] += factor * often / (often + part.norms[slots])
    return scores


def _chunks(header: Header, slots: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    document = np.searchsorted(header.starts, slots, side="right") - 1
    return header.operations[document], header.records[document], slots - header.starts[document]


def _best(columns: Sequence[Sequence[NDArray[Any]]], count: int, complete: bool) -> Ranked:
    if not columns:
        nothing = np.zeros(0, np.int64)
        return Ranked(np.zeros(0), nothing, nothing, nothing, True)
    scores, operations, records, places = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.lexsort((places, records, -scores))
    complete = complete and len(order) <= count
    order = order[:count]
    return Ranked(scores[order], operations[order], records[order], places[order], complete)
