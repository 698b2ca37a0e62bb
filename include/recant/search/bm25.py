"""BM25 over the segments of one view of a collection: what isn't seen scores nothing, and counts nowhere.

    score(chunk) = sum over the query's terms of  idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / average length))
    idf          = ln(1 + (N - df + 0.5) / (df + 0.5))

after Robertson and Zaragoza (2009), with Lucene's idf, which is never negative. N, df and the average length are those of the
chunks that are seen, so they are the same as if the others had never been. Each chunk's sum is taken in the query's order,
in double precision: it doesn't depend on how chunks are spread over segments.

Not all that matches is summed up. Rare terms come first; as soon as the common ones together couldn't lift a chunk that has
none of the rare ones among the best, only chunks that have one are looked up in the common ones' postings (MaxScore: Turtle
and Flood 1995). What is left is summed up anew, so that the shortcut shows in no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recant.search.segments import Counts, Header, Longs, Posting, Slots

K1 = 1.5
B = 0.75
SLACK = 1e-9
"""Sums taken in another order differ by less, relatively: so much a chunk may lack, and is looked at still."""
FEW_CANDIDATES = 64
"""So few are summed up rather than sifted further."""

_NO_SLOTS: Longs = np.zeros(0, np.intp)

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """A segment as it is seen."""

    key: int
    """The stored segment's id; below 0 for one in memory."""
    header: Header
    lengths: Floats
    """Of its chunks; infinite where one isn't seen, which makes it score 0."""
    seen: Mask | None
    """Which chunks are seen; None: all."""
    seen_chunks: int
    seen_terms: int
    """The sum of their lengths."""
    shortest: float
    """No chunk that is seen is shorter."""
    languages: frozenset[str] = frozenset()
    """Of the documents that are seen."""

    def norms(self, slots: Longs, average_length: float) -> Floats:
        """`k1 * (1 - b + b * length / average)` of some chunks."""
        return K1 * (1 - B + B * (self.lengths[slots] / average_length))


def part_of(key: int, header: Header, lengths: Floats, seen: Mask | None, languages: frozenset[str]) -> Part:
    """`lengths` of all chunks; those that aren't seen are taken out of a copy."""
    if seen is None:
        return Part(
            key, header, lengths, None, header.chunks, _sum(header.lengths), float(lengths.min(initial=0)), languages
        )
    own = np.where(seen, lengths, np.inf)
    counted = header.lengths[seen]
    return Part(key, header, own, seen, len(counted), _sum(counted), float(counted.min(initial=0)), languages)


def _sum(lengths: NDArray[np.uint32]) -> int:
    return int(lengths.sum(dtype=np.int64))


@dataclass(frozen=True, slots=True)
class WeighedTerm:
    """A word of the query: in how many chunks it is seen, and its postings in each part, one for each language it may be in.

    No chunk is of two languages.
    """

    frequency: int
    postings: Sequence[Sequence[Posting]]


def seen_in(parts: Sequence[Part], postings: Sequence[Posting]) -> int:
    """In how many of the chunks that are seen a term occurs."""
    return sum(
        len(slots) if part.seen is None else int(np.count_nonzero(part.seen[slots]))
        for part, (slots, _) in zip(parts, postings, strict=True)
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
    parts: Sequence[Part],
    chunks: int,
    average_length: float,
    query: Sequence[WeighedTerm],
    allowed: Sequence[Mask | None],
    count: int,
) -> Ranked:
    """The best `count` of the allowed chunks that have any of the terms. `chunks`: N, all that are seen."""
    columns: list[tuple[NDArray[Any], ...]] = []
    least, complete = 0.0, True
    scratch = np.zeros(max((part.header.chunks for part in parts), default=0))
    for number in sorted(range(len(parts)), key=lambda number: -parts[number].seen_chunks):
        part = parts[number]
        found = [
            _Term(idf(chunks, word.frequency) * (K1 + 1), *posting)
            for word in query
            for posting in word.postings[number]
            if len(posting[0])
        ]
        if not found:
            continue
        sifted = _Sifted(part, average_length, found, allowed[number], count, least)
        slots, scores = sifted.best(scratch)
        least, complete = sifted.least, complete and sifted.complete
        columns.append((scores, *_chunks(part.header, slots)))
    return _best(columns, count, complete)


@dataclass(frozen=True, slots=True)
class _Term:
    """What a term of the query says in one part."""

    factor: float
    slots: Slots
    counts: Counts

    def often(self, slots: NDArray[Any]) -> Counts:
        """How often it occurs in some chunks; quickest with slots of its own type."""
        places = self.slots.searchsorted(slots)
        found: Counts = self.counts.take(places, mode="clip") * (self.slots.take(places, mode="clip") == slots)
        return found

    def most(self, shortest_norm: float) -> float:
        """No chunk can have more of it."""
        if len(self.counts) < FEW_CANDIDATES:
            return self.factor
        often = float(self.counts.max())
        return self.factor * often / (often + shortest_norm)


@dataclass(slots=True)
class _Sifted:
    """One part's best chunks."""

    part: Part
    average_length: float
    terms: Sequence[_Term]
    """In the query's order."""
    allowed: Mask | None
    count: int
    least: float
    """So much the best have at least, as far as is known; grows."""
    complete: bool = True
    """Whether nothing that matches was left out."""

    def best(self, scratch: Floats) -> tuple[Longs, Floats]:
        """Slots and scores, in no order: the best `count`, and all that are as good as the last of them."""
        slots = self._candidates(scratch)
        scores = self._summed(slots)
        self._raise(scores)
        keep = scores >= self.least
        self.complete = self.complete and bool(keep.all())
        return slots[keep], scores[keep]

    def _candidates(self, scratch: Floats) -> Longs:
        """Chunks that may be among the best, added up from the rarest term on, until the others bring in no new ones."""
        ordered, touched = self._ordered(), _NO_SLOTS
        if (ordered[0][0].most(self._shortest) + ordered[0][1]) * (1 + SLACK) < self.least:
            self.complete = False
            return touched
        for done, (term, beyond) in enumerate(ordered, start=1):
            fresh = self._add(term, scratch)
            touched = np.concatenate((touched, fresh)) if len(touched) else fresh
            if done == len(ordered) or self._suffice(touched, scratch, beyond, len(ordered[done][0].slots)):
                break
        partial = scratch[touched]
        scratch[touched] = 0.0
        self.complete = self.complete and done == len(ordered)
        keep = partial > 0
        slots, partial = self._pruned(touched[keep], partial[keep], beyond)
        for term, beyond in ordered[done:]:
            if len(slots) <= max(self.count, FEW_CANDIDATES):
                break
            often = term.often(slots.astype(term.slots.dtype))
            partial = partial + term.factor * often / (often + self.part.norms(slots, self.average_length))
            slots, partial = self._pruned(slots, partial, beyond)
        return slots

    def _ordered(self) -> list[tuple[_Term, float]]:
        """The rarest first, each with what all after it together can add at most."""
        ordered: list[tuple[_Term, float]] = []
        beyond = 0.0
        for term in sorted(self.terms, key=lambda term: term.factor):
            ordered.append((term, beyond))
            beyond += term.most(self._shortest)
        return ordered[::-1]

    @property
    def _shortest(self) -> float:
        return K1 * (1 - B + B * (self.part.shortest / self.average_length))

    def _add(self, term: _Term, scratch: Floats) -> Longs:
        """Adds a term's scores; the chunks that had none before."""
        slots, often = term.slots.astype(np.intp), term.counts.astype(np.float64)
        if self.allowed is not None:
            keep = self.allowed[slots]
            slots, often = slots[keep], often[keep]
        before = scratch[slots]
        scratch[slots] = before + term.factor * often / (often + self.part.norms(slots, self.average_length))
        fresh: Longs = slots[before == 0]
        return fresh

    def _suffice(self, touched: Longs, scratch: Floats, beyond: float, following: int) -> bool:
        """Whether chunks that have none of the terms so far can be left out. Worked out where the next term has many."""
        if beyond * (1 + SLACK) >= self.least and following * 4 > len(touched):
            self._raise(scratch[touched], SLACK)
        return beyond * (1 + SLACK) < self.least

    def _pruned(self, slots: Longs, partial: Floats, beyond: float) -> tuple[Longs, Floats]:
        """Without those that can't be among the best, whatever the terms beyond bring them."""
        for _ in range(2):
            keep = np.flatnonzero((partial + beyond) * (1 + SLACK) >= self.least)
            if len(keep) < len(slots):
                slots, partial, self.complete = slots[keep], partial[keep], False
            if not self._raise(partial, SLACK):
                break
        return slots, partial

    def _raise(self, scores: Floats, slack: float = 0.0) -> bool:
        """Now that so many scores are known, or parts of them: as good as the last of `count` one has to be."""
        place, least = len(scores) - self.count, self.least
        if place >= 0:
            ordered = scores.copy()
            ordered.partition(place)
            self.least = max(least, float(ordered[place]) * (1 - slack))
        return self.least > least

    def _summed(self, slots: Longs) -> Floats:
        """The scores of some chunks, as if all had been summed up."""
        scores, norms = np.zeros(len(slots)), self.part.norms(slots, self.average_length)
        same = slots.astype(self.terms[0].slots.dtype)
        for term in self.terms:
            often = term.often(same)
            scores += term.factor * often / (often + norms)
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
