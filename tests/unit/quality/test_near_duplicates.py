"""Near-duplicates: what is found is what comparing each with each finds."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recant.quality.near_duplicates import near_duplicates, shingles, signatures, similarity

WORDS = [f"word{n}" for n in range(3_000)]


def found_in(texts: Sequence[str], least: float = 0.8) -> dict[int, int]:
    """By place: which earlier text each is nearly the same as."""

    def read(places: Sequence[int]) -> Mapping[int, str]:
        return {place: texts[place] for place in places}

    return near_duplicates(signatures(texts), read, least)


def by_brute_force(texts: Sequence[str], least: float = 0.8) -> set[int]:
    """The places of texts that are similar to an earlier one."""
    sets = [set(shingles(text).tolist()) for text in texts]
    return {
        later
        for later in range(len(texts))
        if any(len(sets[later] & one) >= least * len(sets[later] | one) for one in sets[:later])
    }


def variations(rng: random.Random, count: int) -> list[str]:
    """Texts of 60 to 180 words; half of them are an earlier one with up to six words changed."""
    texts: list[str] = []
    for _ in range(count):
        if texts and rng.random() < 1 / 2:
            words = rng.choice(texts).split()
            for _ in range(rng.randrange(7)):
                words[rng.randrange(len(words))] = rng.choice(WORDS)
        else:
            words = rng.choices(WORDS, k=rng.randrange(60, 181))
        texts.append(" ".join(words))
    return texts


def test_all_that_is_found_is_near_and_nearly_all_is_found() -> None:
    """Of generated pairs none is found that isn't near, and at least 99% of those that are, as brute force has them."""
    texts = variations(random.Random(6), 600)
    true, found = by_brute_force(texts), found_in(texts)
    assert found.keys() <= true
    assert len(true) > 100
    assert len(found) >= 0.99 * len(true)
    assert all(similarity(shingles(texts[one]), shingles(texts[other])) >= 0.8 for other, one in found.items())
    assert all(one < other for other, one in found.items())


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=0, max_size=12).map(" ".join), max_size=12))
def test_nothing_is_found_that_is_not_near(texts: list[str]) -> None:
    """Of any texts, empty ones and equal ones among them."""
    found = found_in(texts)
    assert found.keys() <= by_brute_force(texts)
    equal = {n for n, text in enumerate(texts) if text in texts[:n]}
    assert equal <= found.keys()


def test_one_text_many_times_over_is_found_without_comparing_all() -> None:
    """Of 3,000 variations of one footer each later one is found; texts are read a bounded number of times."""
    rng = random.Random(2)
    footer = rng.choices(WORDS, k=100)
    texts = [" ".join([*footer[:-1], f"page{n}"]) for n in range(3_000)]
    reads = 0

    def read(places: Sequence[int]) -> Mapping[int, str]:
        nonlocal reads
        reads += len(places)
        return {place: texts[place] for place in places}

    found = near_duplicates(signatures(texts), read, 0.8)
    assert found.keys() == set(range(1, 3_000))
    assert reads < 40 * len(texts)


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("The quick brown fox jumps", "the QUICK, brown fox jumps!", True),
        ("Die Maschine", "Die  Maschine.", True),
        ("知識ベースは取り消せます。記録は残ります。", "知識ベースは取り消せます。記録は残ります", True),
        ("one two three four five six", "six five four three two one", False),
        ("***", "---", False),
    ],
)
def test_case_and_punctuation_do_not_count_and_order_does(one: str, other: str, near: bool) -> None:
    """Words in their order are compared; where no spaces are, characters."""
    assert bool(found_in([one, other])) == near


def test_what_is_gone_meanwhile_is_near_nothing() -> None:
    """A text that can't be read any more is left out."""
    texts = ["a b c d e f"] * 2
    assert near_duplicates(signatures(texts), lambda places: {0: texts[0]}, 0.8) == {}
    assert found_in([]) == {}
