"""What a search answers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AlsoIn:
    """Another document that has a hit's text, or nearly."""

    source: str
    document_id: int
    operation_id: int
    chunk_id: int


@dataclass(frozen=True, slots=True)
class Surrounding:
    """A chunk that stands around a hit, in the same version of the same document."""

    chunk_id: int
    distance: int
    """In chunks: -1 stands right before the hit, 1 right after it."""
    text: str
    chunk_type: str
    parent_headers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """One chunk that was found."""

    rank: int
    """1 is the best."""
    score: float
    """To 6 decimals. Semantic: cosine similarity times the quality multiplier (`ranking`), from -1 to 1.15. Keyword: BM25
    (`bm25`) times the same. Hybrid: both fused (`fusion`), from 0 to 1. Re-ranked: what the cross-encoder says, from 0 to 1,
    times the same. Where diversity is asked for hits aren't in the order of their scores."""
    chunk_id: int
    document_id: int
    """The document's record: the same for every version of it."""
    source: str
    title: str | None
    text: str
    operation_id: int
    """The operation that wrote the version this chunk is of."""
    quality: float | None
    """0 to 100, as of the last feedback and recalculation; None where nothing speaks for or against it."""
    collection: str
    chunk_type: str
    parent_headers: tuple[str, ...]
    """Outermost first."""
    attributes: dict[str, Any]
    """The document's and the chunk's; the chunk's where both have one."""
    highlights: tuple[tuple[int, int], ...] = ()
    """Where in `text` the query's words stand: first character, and the one after the last. None in semantic mode."""
    also_in: tuple[AlsoIn, ...] = ()
    """Where duplicates are folded: other documents with this text, twenty at most."""
    context: tuple[Surrounding, ...] = ()
    """Where it was asked for: what stands before and after, in the document's order."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, equal for equal hits."""
        spans = [list(span) for span in self.highlights]
        told = dataclasses.asdict(self) | {"parent_headers": list(self.parent_headers), "highlights": spans}
        around = [chunk | {"parent_headers": list(chunk["parent_headers"])} for chunk in told["context"]]
        return told | {"also_in": list(told["also_in"]), "context": around}


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits, and what they are an answer to."""

    query: str | None
    """None when the caller brought a vector instead."""
    mode: str
    collection: str
    position: int
    """Where in the log the answer was true: the same search as of this position gives the same hits."""
    hits: list[Hit]
    seconds: float
    """From the snapshot to the hits; the query's embedding not counted."""
    corrected: dict[str, str] = field(default_factory=dict)
    """Words of the query that nothing seen has, and what was looked for instead (keyword and hybrid)."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; all but `seconds` equal for equal searches of an equal state."""
        return {
            "query": self.query,
            "mode": self.mode,
            "collection": self.collection,
            "position": self.position,
            "seconds": round(self.seconds, 6),
            "corrected": dict(self.corrected),
            "hits": [hit.to_dict() for hit in self.hits],
        }
