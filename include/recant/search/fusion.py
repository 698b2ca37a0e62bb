"""Two rankings as one.

    max:  w * dense / max(dense)  +  (1 - w) * keyword / max(keyword)      a chunk that one side hasn't found counts 0 there
    rrf:  w / (60 + rank in dense)  +  (1 - w) / (60 + rank in keyword)    reciprocal rank fusion (Cormack et al. 2009)

w is the weight of meaning against words, 0.5 by default. Scores by `max` are from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from recant.errors import UsageError
from recant.store import Row

DEPTH = 100
"""Candidates of each side."""
RRF_CONSTANT = 60
METHODS = ("max", "rrf")
Scored: TypeAlias = tuple[float, Row]


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the two sides of a hybrid search become one ranking. Raises UsageError for what can't be one."""

    method: Literal["max", "rrf"] = "max"
    semantic_weight: float = 0.5
    """From 0, words only, to 1, meaning only."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"fusion {self.method!r}: must be one of {', '.join(METHODS)}")
        if not 0 <= self.semantic_weight <= 1:
            raise UsageError(f"The weight of meaning is from 0 to 1, not {self.semantic_weight!r}")

    def fuse(self, semantic: Sequence[Scored], keyword: Sequence[Scored], limit: int) -> list[Scored]:
        """The best `limit` of both, best first, ties by chunk id. A text that both have found, perhaps in different
        documents, is shown where the keyword side found it.
        """
        rows: dict[int, Row] = {}
        scores: dict[int, float] = {}
        sides = ((self.semantic_weight, semantic), (1 - self.semantic_weight, keyword))
        for weight, side in sides:
            for share, row in zip(self._shares(side), (row for _, row in side), strict=True):
                rows[row["embedding_id"]] = row
                scores[row["embedding_id"]] = scores.get(row["embedding_id"], 0.0) + weight * share
        best = sorted(scores, key=lambda key: (-scores[key], rows[key]["chunk_id"]))
        return [(scores[key], rows[key]) for key in best[:limit]]

    def _shares(self, side: Sequence[Scored]) -> list[float]:
        if self.method == "rrf":
            return [1 / (RRF_CONSTANT + rank) for rank in range(1, len(side) + 1)]
        most = max((score for score, _ in side), default=0.0)
        return [max(score, 0.0) / most if most > 0 else 0.0 for score, _ in side]
