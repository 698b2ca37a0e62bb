"""What is known of how much there is to search and how much of it is seen, kept between searches.

A vector index is looked at the more closely (`ef_search`) the more embeddings lie between the query and the last candidate,
seen or not. How many do, a search tells; it begins with what earlier ones told.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

EF_SEARCH = 200
MAX_EF_SEARCH = 1_000
STEPS_AT_ONCE = 1.2
"""`ef_search` for each step: the index gives that many at once, and what it gives later is less well found."""
NEAR_STEPS, PER_STEP = 175, 4
"""So many steps to the first dozen are found with the least `ef_search`; for each one more it rises by so much. With a
twentieth seen (240 steps) recall@10 was 0.967 with 200, 0.975 with 600, 0.982 with 1,000; with a tenth 1.0 with 200.
"""
TOLERANCE = 1.5
"""How much more closely the index must be looked at before it is asked again."""
FORGETTING = 0.1
"""How much of what is remembered each search makes anew, where it took fewer steps than those before."""
TRY_FEWER_AFTER = 32
REMEMBERED_FILTERS = 1_000
RECOUNT_AFTER = 100
"""Positions for which a count of a filter's matches is taken as good; it says which road is quicker, not what is found."""


@dataclass(slots=True)
class Sizes:
    """Safe to share between threads."""

    large_from: dict[int, int] = field(default_factory=dict)
    """The position from which on a collection is known to be large; it stays so."""
    matches: OrderedDict[tuple[int, str], tuple[int, int, int]] = field(default_factory=OrderedDict)
    """By collection and filter: the position at which matches were counted, up to how many, and how many there were."""
    settled: dict[int, tuple[tuple[int, ...], bool]] = field(default_factory=dict)
    """Whether a collection's index held all that was seen, and when: that stands until a control operation is published or
    the index is tended.
    """
    thinness: OrderedDict[tuple[int, str], float] = field(default_factory=OrderedDict)
    """By collection and filter: steps along the index a candidate, as the more difficult of the searches found it."""

    doublings: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By collection: how many times the least number of candidates was doubled until no other could be among the best by quality,
    and for how many searches that was enough at once.
    """

    def reaches(self, collection: int, filters: str, position: int, wanted: int) -> bool | None:
        """Whether a filter leaves `wanted` chunks; None where that isn't known, or was counted too long ago."""
        counted_at, limit, matches = self.matches.get((collection, filters), (-RECOUNT_AFTER, 0, 0))
        if abs(position - counted_at) >= RECOUNT_AFTER or limit <= matches < wanted:
            return None
        return matches >= wanted

    def note(self, collection: int, filters: str, position: int, limit: int, matches: int) -> None:
        """Forgets the oldest where it knows enough."""
        self.matches[collection, filters] = (position, limit, matches)
        _forget_oldest(self.matches)

    def doubled(self, collection: int) -> int:
        """How many times to double the least number of candidates, to begin with."""
        return self.doublings.get(collection, (0, 0))[0]

    def note_doubled(self, collection: int, doublings: int) -> None:
        """So many it took. Now and then fewer are tried: the ranking says itself when they don't do."""
        known, at_once = self.doublings.get(collection, (0, 0))
        if doublings != known:
            self.doublings[collection] = (doublings, 0)
        elif known:
            self.doublings[collection] = (known - 1, 0) if at_once + 1 >= TRY_FEWER_AFTER else (known, at_once + 1)

    def closeness(self, filtered_by: tuple[int, str], candidates: int) -> int:
        """`ef_search` to begin with."""
        return ef_search(candidates, round(candidates * self.thinness.get(filtered_by, 1.0)))

    def enough(self, filtered_by: tuple[int, str], closeness: int, candidates: int, steps: int) -> int:
        """`closeness` again where it was enough for so many steps, else what would have been; remembers the steps."""
        now, known = steps / candidates, self.thinness.get(filtered_by, 1.0)
        self.thinness[filtered_by] = now if now > known else known + FORGETTING * (now - known)
        _forget_oldest(self.thinness)
        wanted = ef_search(candidates, steps)
        return wanted if TOLERANCE * closeness < wanted else closeness


def ef_search(candidates: int, steps: int) -> int:
    """How closely to look at the index where so many steps lead to so many candidates, in fifties: each value is set by a
    statement of its own.
    """
    to_a_dozen = 12 * steps / candidates
    wanted = max(EF_SEARCH, STEPS_AT_ONCE * steps, EF_SEARCH + PER_STEP * (to_a_dozen - NEAR_STEPS))
    return int(min(-(-wanted // 50) * 50, MAX_EF_SEARCH))


def _forget_oldest(known: OrderedDict[tuple[int, str], Any]) -> None:
    while len(known) > REMEMBERED_FILTERS:
        with suppress(KeyError):
            known.popitem(last=False)
