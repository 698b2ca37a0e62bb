"""Diversity, duplicates, weights and what may be asked for, without a database."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recant.errors import UsageError
from recant.evaluation.measures import randomisation_test
from recant.search import Fusion, Refinement
from recant.search.diversity import diverse_order
from recant.search.duplicates import groups, resemblance
from recant.search.fusion import Known
from recant.search.refinement import passage

WORDS = "the quick brown fox jumps over a lazy dog while nobody in the whole village is looking at it".split()


def _axes(*numbers: int) -> np.ndarray:
    return np.eye(4, dtype=np.float32)[list(numbers)]


def test_diversity_passes_over_what_was_said_already() -> None:
    """Without it, by scores; with it, another thing comes before more of the same."""
    scores, vectors = [0.9, 0.8, 0.7, 0.1], _axes(0, 0, 1, 2)
    assert diverse_order(scores, vectors, 0.0, 4) == [0, 1, 2, 3]
    assert diverse_order(scores, vectors, 0.5, 3) == [0, 2, 3]
    assert diverse_order(scores, vectors, 1.0, 4)[:3] == [0, 2, 3]
    assert diverse_order([], np.zeros((0, 4)), 0.5, 4) == []
    assert diverse_order([-0.5, -0.6], _axes(0, 1), 0.5, 2) == [0, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 1), st.integers(1, 25), st.integers(0, 9))
def test_a_diverse_order_is_of_the_candidates(scores: list[float], diversity: float, limit: int, seed: int) -> None:
    """Each at most once, as many as are wanted, the best one first."""
    scores.sort(reverse=True)
    vectors = np.random.default_rng(seed).standard_normal((len(scores), 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = diverse_order(scores, vectors, diversity, limit)
    assert len(order) == len(set(order)) == min(limit, len(scores))
    assert order[0] == 0
    assert set(order) <= set(range(len(scores)))


def test_texts_that_repeat_another_are_told() -> None:
    """Whatever their case, punctuation and spaces; nearly the same is the same, where there is enough of it."""
    text = " ".join(WORDS)
    longer = " ".join([f"{word} {number}" for number in range(3) for word in WORDS] + ["end"])
    changed = longer.replace("end", "finish")
    other = " ".join(reversed(WORDS))
    assert groups([text, text.upper() + "!", other, longer, changed, other]) == [0, 0, 2, 3, 3, 2]
    assert groups(["E 1", "E 2", "e  1", "---", "---", ""]) == [0, 1, 0, 3, 3, 5]
    assert groups([]) == []
    assert resemblance(frozenset(), frozenset()) == 1


@given(st.integers(0, 60), st.lists(st.sampled_from(WORDS), min_size=60, max_size=120))
def test_one_changed_word_in_many_is_near(place: int, words: list[str]) -> None:
    """Three runs of a hundred have another word then."""
    texts = [f"{number} {word}" for number, word in enumerate(words)]
    changed = [*texts[:place], "something else", *texts[place + 1 :]] if place < len(texts) else texts
    assert groups([" ".join(texts), " ".join(changed)]) == [0, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"diversity": -0.1}, {"diversity": 1.1}, {"diversity": True}, {"diversity": "much"}, {"diversity": float("nan")},
        {"context": -1}, {"context": 21}, {"context": 1.5}, {"boilerplate_from": 1}, {"boilerplate_from": 1_001},
        {"section": "whole"},
    ],
)  # fmt: skip
def test_what_can_t_be_asked_for_is_refused(wrong: dict[str, Any]) -> None:
    """With the values that can be."""
    with pytest.raises(UsageError):
        Refinement(**wrong)


def test_more_candidates_are_looked_at_where_some_may_be_passed_over() -> None:
    """Five for each hit, fifty at least, a thousand at most; none more where only what stands around is asked for."""
    assert Refinement(context=3, section="own").pool(10) == 10
    assert [Refinement(diversity=0.5).pool(limit) for limit in (1, 20, 500)] == [50, 100, 1_000]
    assert Refinement(fold=True).chooses


def _row(embedding: int) -> dict[str, int]:
    return {"embedding_id": embedding, "chunk_id": embedding}


def test_fusion_takes_what_is_known_of_the_other_side() -> None:
    """What only one side has found has its true score on the other; words that cover little of the query count less."""
    dense, words = [(0.8, _row(1)), (0.4, _row(2))], [(10.0, _row(3))]
    half = Fusion(semantic_weight=0.5)
    known = Known({3: 0.4}, {1: 1.0, 2: 5.0})
    found = {row["chunk_id"]: round(score, 6) for score, row in half.fuse(dense, words, 9, known)}
    assert found == {1: 0.55, 2: 0.5, 3: 0.75}
    little = Known({3: 0.4}, {1: 1.0, 2: 5.0}, coverage=0.125)
    assert {row["chunk_id"]: round(s, 6) for s, row in half.fuse(dense, words, 9, little)} == {
        1: 0.525,
        2: 0.375,
        3: 0.5,
    }
    ranks = Fusion("rrf").fuse(dense, words, 9, known)
    assert [round(score, 6) for score, _ in ranks] == [round(0.5 / 61, 6), round(0.5 / 61, 6), round(0.5 / 62, 6)]


def test_a_method_has_a_weight_of_its_own() -> None:
    """Where none is given; no number, no truth value and nothing beyond the ends is one."""
    assert (Fusion().weight, Fusion("rrf").weight, Fusion("rrf", 1).weight) == (0.45, 0.5, 1.0)
    for wrong in (-0.1, 1.1, float("nan"), True, "half"):
        with pytest.raises(UsageError):
            Fusion("max", wrong)  # type: ignore[arg-type]


def test_a_model_reads_headings_once() -> None:
    """Outermost first, the title before them, then the text."""
    row = {"title": "Guide", "parent_headers": ["Guide", "Setup"], "text": "Do it."}
    assert passage(row) == "Guide > Setup\nDo it."
    assert passage({"title": None, "parent_headers": [], "text": "Do it."}) == "Do it."


def test_chance_is_told_from_a_difference() -> None:
    """Thirty queries that all gain are no chance; as many that gain as lose are nothing but."""
    assert randomisation_test([0.1] * 30) < 0.001
    assert randomisation_test([0.1, -0.1] * 15) == 1
    assert randomisation_test([0.0] * 30) == 1
    assert randomisation_test([]) == 1
    assert randomisation_test([0.2] * 4) == pytest.approx(2 / 16, abs=0.02)
