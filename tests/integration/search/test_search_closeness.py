"""How closely the index is looked at, and that the database ranks by quality as `ranking` does."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies as st

from recant.search import nearest
from recant.search.ranking import quality_multiplier, weigh
from recant.search.sizes import EF_SEARCH, MAX_EF_SEARCH, TRY_FEWER_AFTER, Sizes, ef_search
from tests.integration.search.search_library import Library


def test_the_database_weighs_to_the_bit(library: Library) -> None:
    """The same number for every similarity and quality, negative similarities and lengths over one among them."""
    cases = [
        (distance / 997, quality)
        for distance in range(-1_010, 200, 37)
        for quality in (None, 0.0, 12.3, 49.9, 50.0, 50.1, 77.7, 100.0)
    ]
    rows_of = "unnest(%s::float8[], %s::float8[]) WITH ORDINALITY AS s (distance, quality, n)"
    statement = f"SELECT {nearest._SCORE} AS score FROM {rows_of} ORDER BY s.n"
    with library.database.transaction() as connection:
        rows = connection.execute(statement, [[d for d, _ in cases], [q for _, q in cases]]).fetchall()
    assert [row["score"] for row in rows] == [weigh(-d, quality_multiplier(q)) for d, q in cases]


@hypothesis.given(st.integers(1, 1_000), st.integers(1, 20_000))
def test_closer_where_less_is_seen(candidates: int, steps: int) -> None:
    """Never less for more steps, within pgvector's bounds; 200 where nothing stands between."""
    assert EF_SEARCH <= ef_search(candidates, steps) <= ef_search(candidates, steps + 50) <= MAX_EF_SEARCH
    assert ef_search(12, 12) == ef_search(100, 102) == EF_SEARCH


def test_what_was_met_is_remembered() -> None:
    """A filter that leaves little is begun with closely; one search that found more doesn't make up for all those before."""
    sizes, narrow = Sizes(), (1, "narrow")
    assert sizes.closeness(narrow, 12) == EF_SEARCH
    wanted = sizes.enough(narrow, EF_SEARCH, 12, 240)
    assert wanted > EF_SEARCH
    assert sizes.closeness(narrow, 12) == wanted == sizes.enough(narrow, wanted, 12, 240)
    assert sizes.enough(narrow, wanted, 12, 12) == wanted
    assert sizes.closeness(narrow, 12) > EF_SEARCH
    assert sizes.closeness((1, ""), 12) == EF_SEARCH


def test_fewer_candidates_are_tried_now_and_then() -> None:
    """As many doublings as it took; one fewer when that has been enough at once for long."""
    sizes = Sizes()
    sizes.note_doubled(1, 2)
    for _ in range(TRY_FEWER_AFTER - 1):
        sizes.note_doubled(1, 2)
    assert (sizes.doubled(1), sizes.doubled(2)) == (2, 0)
    sizes.note_doubled(1, 2)
    assert sizes.doubled(1) == 1
