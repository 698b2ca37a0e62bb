"""The order of hits, without a database."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recant.search.ranking import HIGHEST_MULTIPLIER, is_settled, quality_multiplier, rank, shown_score, weigh

qualities = st.one_of(st.none(), st.floats(0, 100))
similarities = st.floats(-1, 1)
candidates = st.lists(
    st.fixed_dictionaries({"distance": st.floats(-1, 1), "quality": qualities, "chunk_id": st.integers(1, 10**9)}),
    max_size=40,
    unique_by=lambda row: row["chunk_id"],
)


@pytest.mark.parametrize(
    ("quality", "multiplier"), [(None, 1.0), (50.0, 1.0), (0.0, 0.3), (25.0, 0.65), (75.0, 1.075), (100.0, 1.15)]
)
def test_multiplier_is_as_documented(quality: float | None, multiplier: float) -> None:
    """Quality counts 0.3 at 0, 1 at 50 and where there is none, 1.15 at 100, and straight lines between."""
    assert quality_multiplier(quality) == pytest.approx(multiplier)


@given(similarities, st.floats(0, 100), st.floats(0, 100))
def test_better_quality_never_lowers(similarity: float, one: float, other: float) -> None:
    """Of two equally similar chunks the one of better quality never scores less."""
    low, high = sorted((one, other))
    assert weigh(similarity, quality_multiplier(low)) <= weigh(similarity, quality_multiplier(high))


@given(similarities, similarities, qualities)
def test_nearer_never_scores_less(one: float, other: float, quality: float | None) -> None:
    """Of two chunks of equal quality the nearer one never scores less."""
    low, high = sorted((one, other))
    assert weigh(low, quality_multiplier(quality)) <= weigh(high, quality_multiplier(quality))


@given(candidates, st.integers(1, 50))
def test_rank_is_by_score_then_chunk_id(rows: list[dict[str, Any]], limit: int) -> None:
    """Ranking gives the best, best first, equal scores by chunk id, whatever the order of the candidates."""
    ranked = rank(rows, limit)
    keys = [(-score, row["chunk_id"]) for score, row in ranked]
    everything = sorted((-weigh(-r["distance"], quality_multiplier(r["quality"])), r["chunk_id"]) for r in rows)
    assert keys == everything[:limit]
    assert rank(rows[::-1], limit) == ranked


@given(candidates, st.integers(1, 10), st.integers(1, 40))
def test_settled_ranking_is_final(rows: list[dict[str, Any]], limit: int, fetched: int) -> None:
    """Once a ranking of the nearest is settled, fetching everything changes nothing."""
    by_distance = sorted(rows, key=lambda row: row["distance"])
    nearest = by_distance[:fetched]
    ranked = rank(nearest, limit)
    if nearest and is_settled(ranked, nearest[-1]["distance"], limit):
        assert rank(by_distance, limit) == ranked


def test_unsettled_while_quality_could_lift_one() -> None:
    """A ranking isn't settled while a chunk further off, of the best quality, could still come in."""
    rows = [{"distance": -0.5, "quality": None, "chunk_id": 1}, {"distance": -0.45, "quality": None, "chunk_id": 2}]
    assert not is_settled(rank(rows, 1), -0.45, 1)
    assert is_settled(rank(rows, 1), -0.5 / HIGHEST_MULTIPLIER + 0.01, 1)
    assert not is_settled(rank(rows, 3), 1.0, 3)


def test_similarity_ends_at_one() -> None:
    """What half precision leaves above a cosine of 1 isn't shown, nor a negative zero."""
    assert weigh(1.0004, 1.0) == 1.0
    assert str(shown_score(-1e-9)) == "0.0"
    assert shown_score(0.12345678) == 0.123457
