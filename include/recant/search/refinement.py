"""What becomes of the candidates before they are hits: repetitions folded, boilerplate left out, ranked anew, made diverse.

In that order, each where it is asked for. What is asked for is a `Refinement`; the rules are those of `duplicates` and
`diversity`; who ranks anew is given by the caller, as a function of the query and of texts. Kept out: finding candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from recant.errors import ConfigurationError, UsageError
from recant.search.context import MOST_REACH, SECTIONS
from recant.search.nearest import Neighbourhood
from recant.search.ranking import quality_multiplier
from recant.search.result import AlsoIn
from recant.store import Row, load

POOL = 5
"""Candidates for each hit that is wanted, where some may be folded or passed over."""
LEAST_POOL = 50
MOST_POOL = 1_000
SHOWN_ALSO = 20
"""Other documents that a folded hit names."""
MOST_BOILERPLATE = 1_000
_SQL = load(__package__, "refining.sql")
_SEARCH_SQL = load(__package__, "search.sql")

Rerank: TypeAlias = Callable[[str, Sequence[str]], Sequence[float]]
"""How well each text answers the query, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """What is made of the candidates. Raises UsageError for what can't be."""

    diversity: float = 0.0
    """From 0, the best ones, to 1, the most different ones."""
    fold: bool = False
    """Texts that are the same, or nearly, are shown once, with the documents that have them, too."""
    boilerplate_from: int | None = None
    """A text that stands word for word, under the same headings, in so many places or more is left out."""
    rerank: bool = False
    """Candidates are ranked by the cross-encoder."""
    context: int = 0
    """So many neighbours before and after each hit."""
    section: Literal["own", "parent"] | None = None
    """What stands under the same headings as the hit, or under all but the last of them."""

    def __post_init__(self) -> None:
        if (
            isinstance(self.diversity, bool)
            or not isinstance(self.diversity, int | float)
            or not 0 <= self.diversity <= 1
        ):
            raise UsageError(f"Diversity is from 0 to 1, not {self.diversity!r}")
        if not _whole(self.context, 0, MOST_REACH):
            raise UsageError(f"Context is from 0 to {MOST_REACH} chunks before and after, not {self.context!r}")
        if self.boilerplate_from is not None and not _whole(self.boilerplate_from, 2, MOST_BOILERPLATE):
            raise UsageError(
                f"Boilerplate is what stands in 2 to {MOST_BOILERPLATE:,} places or more, not {self.boilerplate_from!r}"
            )
        if self.section not in (None, *SECTIONS):
            raise UsageError(f"section {self.section!r}: must be one of {', '.join(SECTIONS)}")

    @property
    def chooses(self) -> bool:
        """Whether it says which candidates are hits."""
        return bool(self.diversity or self.fold or self.rerank or self.boilerplate_from)

    def pool(self, limit: int) -> int:
        """How many candidates are wanted for `limit` hits."""
        return min(max(POOL * limit, LEAST_POOL), MOST_POOL) if self.chooses else limit


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that may become a hit."""

    score: float
    row: Row
    also_in: tuple[AlsoIn, ...] = ()
    folded: tuple[Row, ...] = ()
    """Those that repeat it."""

    @property
    def embeddings(self) -> list[int]:
        """Its own and those of what repeats it."""
        return [row["embedding_id"] for row in (self.row, *self.folded)]


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def require_reranker(refinement: Refinement, rerank: Rerank | None, query: str | None) -> None:
    """Raises ConfigurationError, or UsageError where there is nothing to read."""
    if refinement.rerank and rerank is None:
        raise ConfigurationError(
            "There is no re-ranking model: set RECANT_RERANKER to the folder of a sentence-transformers cross-encoder"
        )
    if refinement.rerank and not (query or "").strip():
        raise UsageError("Re-ranking reads the query: give its text, not only a vector")


def refined(
    around: Neighbourhood, found: Sequence[tuple[float, Row]], refinement: Refinement, limit: int, query: str,
    rerank: Rerank | None,
) -> list[Candidate]:  # fmt: skip
    """The best `limit` of what was found, best first."""
    candidates = [Candidate(*one) for one in found]
    if refinement.boilerplate_from:
        candidates = _without_boilerplate(around, candidates, refinement.boilerplate_from)
    if refinement.rerank and rerank is not None:
        candidates = _ranked_anew(around, candidates, query, rerank)
    if refinement.fold:
        candidates = _folded(candidates)
    if refinement.diversity and candidates:
        candidates = _diverse(around, candidates, refinement.diversity, limit)
    candidates = candidates[:limit]
    return _named(around, candidates) if refinement.fold else candidates


def passage(row: Row) -> str:
    """What a model reads of a chunk: title and headings, outermost first, each once, then the text."""
    headings = " > ".join(dict.fromkeys(step for step in (row["title"], *row["parent_headers"]) if step))
    return f"{headings}\n{row['text']}" if headings else str(row["text"])


def _ranked_anew(around: Neighbourhood, candidates: Sequence[Candidate], query: str, rerank: Rerank) -> list[Candidate]:
    answers = rerank(query, [passage(one.row) for one in candidates]) if candidates else ()
    by_quality = around.scope.has_quality
    scored = [
        replace(one, score=float(score) * quality_multiplier(one.row["quality"] if by_quality else None))
        for score, one in zip(answers, candidates, strict=True)
    ]
    return sorted(scored, key=lambda one: (-one.score, one.row["chunk_id"]))


def _folded(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Each text once, with those that repeat it."""
    first = groups_of(candidates)
    repeats: dict[int, list[Row]] = {}
    for place, of in enumerate(first):
        repeats.setdefault(of, []).append(candidates[place].row)
    return [replace(candidates[place], folded=tuple(rows[1:])) for place, rows in repeats.items()]


def groups_of(candidates: Sequence[Candidate]) -> list[int]:
    """For each candidate the place of the one that it repeats, its own where it repeats none."""
    from recant.search.duplicates import groups

    return groups([one.row["text"] for one in candidates])


def _diverse(around: Neighbourhood, candidates: Sequence[Candidate], diversity: float, limit: int) -> list[Candidate]:
    import numpy as np

    from recant.search.diversity import diverse_order
    from recant.search.vectors import unit_vectors

    vectors = unit_vectors(around, (one.row["embedding_id"] for one in candidates))
    nothing = np.zeros(around.scope.dimensions, np.float32)
    matrix = np.stack([vectors.get(one.row["embedding_id"], nothing) for one in candidates])
    order = diverse_order([one.score for one in candidates], matrix, diversity, limit)
    return [candidates[place] for place in order]


def _without_boilerplate(around: Neighbourhood, candidates: Sequence[Candidate], least: int) -> list[Candidate]:
    """A text that a document has several times counts as often: what is said again and again is boilerplate all the same."""
    standing = _standing(around, [one.row["embedding_id"] for one in candidates], least)
    return [one for one in candidates if len(standing.get(one.row["embedding_id"], ())) < least]


def _named(around: Neighbourhood, candidates: Sequence[Candidate]) -> list[Candidate]:
    """With the documents of what was folded, and of all that has the very same text; each document once."""
    standing = _standing(around, [key for one in candidates for key in one.embeddings], SHOWN_ALSO + 1)
    named = []
    for one in candidates:
        same = (also for key in one.embeddings for also in standing.get(key, ()))
        others = {also.source: also for also in (*map(_also, one.folded), *same)}
        others.pop(one.row["source"], None)
        named.append(replace(one, also_in=tuple(list(others.values())[:SHOWN_ALSO])))
    return named


def _standing(around: Neighbourhood, embeddings: Sequence[int], most: int) -> dict[int, list[AlsoIn]]:
    """Where each text stands, of what the scope sees and the filters let pass."""
    filters = around.filters
    statement = _SQL["same_text"].format(
        visible=_SEARCH_SQL[f"visible_{around.scope.visibility}"], filters=filters, most=int(most),
        documents=_SEARCH_SQL["documents"].join(("\n  ", "")) if filters else "",
    )  # fmt: skip
    given = around.parameters | {"ids": list(embeddings)}
    found: dict[int, list[AlsoIn]] = {}
    for row in around.connection.execute(statement, given):
        found.setdefault(row["embedding_id"], []).append(_also(row))
    return found


def _also(row: Row) -> AlsoIn:
    return AlsoIn(row["source"], row["document_id"], row["operation_id"], row["chunk_id"])
