"""From distances to an order: cosine similarity, weighed by quality within bounds, ties by chunk id.

    multiplier(q) = 0.3 + 0.7 * q / 50            for 0 <= q < 50
                    1.0 + 0.15 * (q - 50) / 50    for 50 <= q <= 100

A chunk without feedback counts as 50 (1.0). The bounds keep feedback from burying a perfect match for good or lifting an
unrelated one: at most 70% down, at most 15% up. A negative similarity stays as it is: how good an unrelated text is
doesn't matter, and times 0.3 it would rise. Takes nothing that moves by itself (no clock, no access counts), so two equal
searches of an equal state rank alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NEUTRAL_QUALITY = 50.0
HIGHEST_QUALITY = 100.0
LOWEST_MULTIPLIER = 0.3
HIGHEST_MULTIPLIER = 1.15
SCORE_DECIMALS = 6


def quality_multiplier(quality: float | None) -> float:
    """The formula above; `quality` from 0 to 100, None when there is no feedback."""
    if quality is None:
        return 1.0
    step = (quality - NEUTRAL_QUALITY) / NEUTRAL_QUALITY
    return 1.0 + step * ((HIGHEST_MULTIPLIER - 1.0) if step > 0 else (1.0 - LOWEST_MULTIPLIER))


def weigh(similarity: float, multiplier: float) -> float:
    """The score of a chunk, unrounded. Half precision leaves lengths a little over 1: the similarity ends there."""
    return min(similarity, 1.0) * (multiplier if similarity > 0 else 1.0)


def rank(
    candidates: Sequence[dict[str, Any]], limit: int, *, by_quality: bool = True
) -> list[tuple[float, dict[str, Any]]]:
    """The best `limit` candidates with their unrounded scores, best first; equal scores by chunk id."""
    scored = [
        (weigh(-row["distance"], quality_multiplier(row["quality"] if by_quality else None)), row) for row in candidates
    ]
    return sorted(scored, key=lambda pair: (-pair[0], pair[1]["chunk_id"]))[:limit]


def is_settled(
    ranked: Sequence[tuple[float, dict[str, Any]]],
    furthest_distance: float,
    limit: int,
    highest_quality: float = HIGHEST_QUALITY,
) -> bool:
    """Whether no chunk beyond the furthest candidate, of whatever quality there is, could still be among the best `limit`."""
    highest = quality_multiplier(max(highest_quality, NEUTRAL_QUALITY))
    return len(ranked) >= limit and ranked[limit - 1][0] > weigh(-furthest_distance, highest)


def shown_score(score: float) -> float:
    """As it is shown: to 6 decimals, never -0.0."""
    return round(score, SCORE_DECIMALS) + 0.0
