"""BM25 without looking at all that matches gives what looking at everything gives, bit by bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recant.search.bm25 import K1, B, Mask, Part, Posting, Ranked, WeighedTerm, idf, part_of, rank_chunks, seen_in
from recant.search.segments import Header

Shelf = list[tuple[Part, list[Posting]]]


def shelf(random: np.random.Generator, sizes: list[int], shares: list[float], hidden: float) -> Shelf:
    """Parts of so many chunks, with a term for each share of chunks that has it, and a share of what isn't seen."""
    found = []
    for number, size in enumerate(sizes):
        lengths = random.integers(0, 30, size).astype(np.uint32)
        header = Header(
            np.full(size, number),
            np.arange(size) * 10 + number,
            np.arange(size + 1),
            np.zeros(size, np.int64),
            lengths,
            ("x",),
        )
        seen = random.random(size) >= hidden if hidden else None
        postings = []
        for share in shares:
            slots = np.flatnonzero(random.random(size) < share).astype(np.uint16 if number % 2 else np.int64)
            postings.append((slots, random.integers(1, 4, len(slots)).astype(np.uint8)))
        found.append((part_of(number, header, lengths.astype(np.float64), seen, frozenset("x")), postings))
    return found


def plain(
    parts: Shelf, query: list[WeighedTerm], allowed: list[Mask | None], chunks: int, average: float
) -> list[tuple]:
    """(score, record, place) of all that match, best first."""
    rows = []
    for number, (part, _) in enumerate(parts):
        scores = np.zeros(part.header.chunks)
        norms = K1 * (1 - B + B * (part.header.lengths / average))
        for word in query:
            slots, often = word.postings[number][0]
            scores[slots] += idf(chunks, word.frequency) * (K1 + 1) * often / (often + norms[slots])
        keep = scores > 0
        for mask in (part.seen, allowed[number]):
            keep = keep if mask is None else keep & mask
        rows += [(-float(scores[slot]), int(slot) * 10 + number, number) for slot in np.flatnonzero(keep)]
    return [(-score, record, operation) for score, record, operation in sorted(rows)]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000), sizes=st.lists(st.sampled_from([1, 7, 300, 3_000]), min_size=1, max_size=4),
    shares=st.lists(st.sampled_from([0.001, 0.02, 0.3, 0.9]), min_size=1, max_size=6),
    hidden=st.sampled_from([0.0, 0.5, 0.97]), masked=st.booleans(), count=st.sampled_from([1, 5, 40, 4_000]),
)  # fmt: skip
def test_the_best_are_those_of_looking_at_everything(
    seed: int, sizes: list[int], shares: list[float], hidden: float, masked: bool, count: int
) -> None:
    """Scores too; nothing is said to be all that isn't."""
    random = np.random.default_rng(seed)
    parts = shelf(random, sizes, shares, hidden)
    only = [part for part, _ in parts]
    chunks = sum(part.seen_chunks for part in only)
    average = (sum(part.seen_terms for part in only) / chunks if chunks else 1.0) or 1.0
    postings = [[of[term] for _, of in parts] for term in range(len(shares))]
    query = [WeighedTerm(seen_in(only, of), [[posting] for posting in of]) for of in postings]
    query += query[:1]  # a word asked for twice
    allowed: list[Mask | None] = [random.random(part.header.chunks) < 0.5 if masked else None for part in only]
    ranked = rank_chunks(only, chunks, average, query, allowed, count)
    wanted = plain(parts, query, allowed, chunks, average)
    assert shown(ranked)[:count] == wanted[: min(count, len(ranked))]
    assert len(ranked) >= min(count, len(wanted))
    assert not ranked.complete or len(ranked) == len(wanted)
    assert ranked.complete or len(ranked) == count


def shown(ranked: Ranked) -> list[tuple]:
    return list(zip(ranked.scores.tolist(), ranked.records.tolist(), ranked.operations.tolist(), strict=True))
