"""Searches by meaning and by words at once: each side's candidates, with what the other side thinks of them.

Keeps out the formula (fusion), and how either side finds its own (nearest, keyword).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from recant.search.exact_scores import highest_score, scores_of
from recant.search.fusion import Fusion, Known, Scored
from recant.search.keyword import Found, KeywordSearch
from recant.search.ranking import quality_multiplier, weigh
from recant.search.vectors import similarities
from recant.store import Connection, Row, load

_SQL = load(__package__, "refining.sql")


def fuse(
    near: Sequence[Scored], words: KeywordSearch, found: Found, vector: Any, fusion: Fusion, limit: int
) -> list[Scored]:
    """The best of both, with what hits show."""
    known = Known() if fusion.method == "rrf" else _known(near, words, found, vector)
    return words.complete(fusion.fuse(near, found.rows, limit, known))


def chosen_fusion(connection: Connection, collection_id: int, position: int) -> Fusion:
    """What was set for the collection, as of a position; otherwise what holds where nothing is."""
    row = connection.execute(_SQL["weights_at"], {"collection_id": collection_id, "position": position}).fetchone()
    return Fusion() if row is None else Fusion(row["method"], row["semantic_weight"])


def _known(near: Sequence[Scored], words: KeywordSearch, found: Found, vector: Any) -> Known:
    by_meaning = {row["embedding_id"]: row for _, row in near}
    by_words = {row["embedding_id"]: row for _, row in found.rows}
    weight = cache(lambda row_quality: quality_multiplier(row_quality if words.scope.has_quality else None))
    cosines = similarities(words.around, vector, by_words.keys() - by_meaning.keys())
    lacking = [row for key, row in by_meaning.items() if key not in by_words]
    view = words.view
    named = [_named(row) for row in lacking]
    scores = scores_of(view.parts, view.chunks, view.average_length, found.weighed, named)
    best = max((score for score, _ in found.rows), default=0.0)
    return Known(
        {key: weigh(cosine, weight(by_words[key]["quality"])) for key, cosine in cosines.items()},
        {r["embedding_id"]: s * weight(r["quality"]) for s, r in zip(scores.tolist(), lacking, strict=True)},
        best / highest if (highest := highest_score(view.chunks, found.weighed)) else 0.0,
    )


def _named(row: Row) -> tuple[int, int, int]:
    return row["operation_id"], row["document_id"], row["index"]
