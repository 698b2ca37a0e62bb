"""Two rankings as one.

    max:  w * dense / max(dense)  +  (1 - w) * c * keyword / max(keyword)     scores, each as a share of the best there is
    rrf:  w / (60 + rank in dense)  +  (1 - w) / (60 + rank in keyword)       reciprocal rank fusion (Cormack et al. 2009)

w is the weight of meaning against words. By `max`, each candidate has its true score on both sides, also where the other side
alone has found it. c is how much the words are to be trusted with this query: the cube root of what the best chunk has of the
score that a chunk would have which is full of all of the query's words. Where no chunk has more than a few of them, their
order says little. Scores by `max` are from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from recant.errors import UsageError
from recant.store import Row

DEPTH = 100
"""Candidates of each side."""
RRF_CONSTANT = 60
METHODS = ("max", "rrf")
DEFAULT_WEIGHTS = {"max": 0.45, "rrf": 0.5}
Scored: TypeAlias = tuple[float, Row]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the candidates besides the two rankings."""

    semantic: Mapping[int, float] = field(default_factory=dict)
    """Scores by embedding, of what only words have found."""
    keyword: Mapping[int, float] = field(default_factory=dict)
    """Of what only meaning has found."""
    coverage: float = 1.0
    """Of the query by the best chunk: keyword score over the highest there could be, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the two sides of a hybrid search become one ranking. Raises UsageError for what can't be one."""

    method: Literal["max", "rrf"] = "max"
    semantic_weight: float | None = None
    """From 0, words only, to 1, meaning only. None: 0.45 by scores, 0.5 by ranks."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"fusion {self.method!r}: must be one of {', '.join(METHODS)}")
        weight = self.semantic_weight
        if weight is not None and (
            isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1
        ):
            raise UsageError(f"The weight of meaning is from 0 to 1, not {weight!r}")

    @property
    def weight(self) -> float:
        """Of meaning."""
        return DEFAULT_WEIGHTS[self.method] if self.semantic_weight is None else float(self.semantic_weight)

    def fuse(
        self, semantic: Sequence[Scored], keyword: Sequence[Scored], limit: int, known: Known | None = None
    ) -> list[Scored]:
        """The best `limit` of both, best first, ties by chunk id. A text that both have found, perhaps in different
        documents, is shown where the keyword side found it.
        """
        known = known or Known()
        rows = {row["embedding_id"]: row for side in (semantic, keyword) for _, row in side}
        sides = (
            (self.weight, self._shares(semantic, known.semantic)),
            ((1 - self.weight) * self._trust(known.coverage), self._shares(keyword, known.keyword)),
        )
        scores = {key: sum(weight * shares.get(key, 0.0) for weight, shares in sides) for key in rows}
        best = sorted(scores, key=lambda key: (-scores[key], rows[key]["chunk_id"]))
        return [(scores[key], rows[key]) for key in best[:limit]]

    def _trust(self, coverage: float) -> float:
        return 1.0 if self.method == "rrf" else min(max(coverage, 0.0), 1.0) ** (1 / 3)

    def _shares(self, side: Sequence[Scored], others: Mapping[int, float]) -> dict[int, float]:
        if self.method == "rrf":
            return {row["embedding_id"]: 1 / (RRF_CONSTANT + rank) for rank, (_, row) in enumerate(side, start=1)}
        found = dict(others) | {row["embedding_id"]: score for score, row in side}
        most = max(found.values(), default=0.0)
        return {key: max(score, 0.0) / most if most > 0 else 0.0 for key, score in found.items()}
