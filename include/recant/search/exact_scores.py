"""BM25 of chunks that are known already, by whatever way they were found: the same scores that a keyword search gives them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recant.search.bm25 import K1, Floats, Part, WeighedTerm, idf

Numbers = NDArray[np.int64]


def factors(chunks: int, query: Sequence[WeighedTerm]) -> list[float]:
    """What each term of the query is worth: the score that a chunk full of it comes near to. 0 where no chunk has it."""
    return [idf(chunks, term.frequency) * (K1 + 1) if term.frequency else 0.0 for term in query]


def highest_score(chunks: int, query: Sequence[WeighedTerm]) -> float:
    """What no chunk's score reaches: that of one which is full of every term, those that no chunk has included."""
    return sum(idf(chunks, term.frequency) * (K1 + 1) for term in query)


def scores_of(
    parts: Sequence[Part],
    chunks: int,
    average_length: float,
    query: Sequence[WeighedTerm],
    wanted: Sequence[tuple[int, int, int]],
) -> Floats:
    """The score of each wanted chunk, named by operation, record and place; 0 where it has no term or isn't seen."""
    scores = np.zeros(len(wanted))
    worth = factors(chunks, query)
    for number, part in enumerate(parts):
        which, slots = _slots(part, wanted)
        if not len(slots):
            continue
        norms = part.norms(slots, average_length)
        for factor, term in zip(worth, query, strict=True):
            for having, counts in term.postings[number] if factor else ():
                places = np.searchsorted(having, slots)
                found = np.flatnonzero(places < len(having))
                found = found[having[places[found]] == slots[found]]
                often = counts[places[found]].astype(np.float64)
                scores[which[found]] += factor * often / (often + norms[found])
    return scores


def _slots(part: Part, wanted: Sequence[tuple[int, int, int]]) -> tuple[Numbers, Numbers]:
    """Which of the wanted chunks the part has, and where; without those that aren't seen in it."""
    header = part.header
    records = np.array([record for _, record, _ in wanted], np.int64)
    documents = np.flatnonzero(np.isin(header.records, records))
    names = zip(header.operations[documents].tolist(), header.records[documents].tolist(), strict=True)
    starts = dict(zip(names, header.starts[documents].tolist(), strict=True))
    pairs = [
        (n, starts[operation, record] + place)
        for n, (operation, record, place) in enumerate(wanted)
        if (operation, record) in starts
    ]
    which, slots = np.array(pairs, np.int64).reshape(-1, 2).T
    if part.seen is not None:
        which, slots = which[part.seen[slots]], slots[part.seen[slots]]
    return which, slots
