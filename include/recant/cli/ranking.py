"""Flags of searches and evaluations: how candidates become hits, and what is shown around them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from recant.search import Fusion, Refinement


class FusionMethod(StrEnum):
    """How a hybrid search makes one ranking of two."""

    max = "max"
    rrf = "rrf"


class Section(StrEnum):
    """Which section of a hit."""

    own = "own"
    parent = "parent"


FusionFlag = Annotated[
    FusionMethod | None,
    typer.Option(help="How hybrid makes one ranking of two: by scores, or by ranks. Default: as set, or max."),
]
WeightFlag = Annotated[
    float | None,
    typer.Option(
        "--semantic-weight", metavar="0..1", help="What meaning counts against words in hybrid. Default: as set."
    ),
]


def chosen_fusion(method: FusionMethod | None, semantic_weight: float | None) -> Fusion | None:
    """None where neither is given: as set for the collection. Raises UsageError."""
    from recant.search import Fusion

    if method is None and semantic_weight is None:
        return None
    return Fusion((method or FusionMethod.max).value, semantic_weight)


@dataclass(frozen=True, slots=True)
class Ranking:
    """How candidates become hits."""

    fusion: FusionFlag = None
    semantic_weight: WeightFlag = None
    diversity: Annotated[
        float, typer.Option(metavar="0..1", help="Rather different hits than several that say the same.")
    ] = 0.0
    fold: Annotated[bool, typer.Option("--fold", help="Show a text of several documents once, with all of them.")] = (
        False
    )
    boilerplate_from: Annotated[
        int | None, typer.Option(metavar="N", help="Leave texts out that stand word for word N times or more.")
    ] = None
    rerank: Annotated[bool, typer.Option("--rerank", help="Rank by the cross-encoder of RECANT_RERANKER.")] = False

    def weighed(self) -> Fusion | None:
        """As for a search. Raises UsageError."""
        return chosen_fusion(self.fusion, self.semantic_weight)

    def refinement(self, context: int = 0, section: Section | None = None) -> Refinement | None:
        """As for a search; None where nothing is asked for. Raises UsageError."""
        from recant.search import Refinement

        found = Refinement(
            self.diversity,
            self.fold,
            self.boilerplate_from,
            self.rerank,
            context,
            None if section is None else section.value,
        )
        return None if found == Refinement() else found


@dataclass(frozen=True, slots=True)
class Around:
    """What is shown around hits."""

    context: Annotated[int, typer.Option(metavar="N", help="Show N chunks before and after each hit, too.")] = 0
    section: Annotated[
        Section | None, typer.Option(help="Show what stands under the hit's headings, or under all but the last.")
    ] = None
