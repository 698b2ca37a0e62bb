"""Whether a vector index finds what comparing everything finds: on stored vectors, moved a little at random."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from recant.search.nearest import Neighbourhood, candidate_count
from recant.search.scope import read_scope
from recant.search.sizes import EF_SEARCH
from recant.store import Connection, Database, Row, half_vector, load

NEAREST = 10
QUERIES = 20
NUDGE = 0.5
"""Length of the random vector added to a stored one before it is searched for: a question is near an answer, not equal."""
_SQL = load(__package__, "upkeep.sql")


@dataclass(frozen=True, slots=True)
class IndexCheck:
    """How one space's index does."""

    space_id: int
    collection: str
    queries: int
    recall: float
    """Share of the ten nearest that the index found."""
    size_bytes: int
    entries: int
    bloat: float | None
    """How much larger an entry is than when the index was built; None where that isn't known."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def check_index(database: Database, found: Row, *, queries: int = QUERIES, seed: int | None = None) -> list[IndexCheck]:
    """Compares the index of a space (a row of `find_indexes`) with exact search, for each collection that is searched by
    it now; keeps the lowest recall.
    """
    about = {name: found[name] for name in ("space_id", "size_bytes", "entries", "bloat")}
    checks = []
    for collection in found["collections"]:
        with database.snapshot(on_primary=True) as connection:
            around = Neighbourhood(connection, read_scope(connection, collection, as_of=None, session=None))
            shares = (
                _shares_found(around, found, queries, seed)
                if around.suits_index(candidate_count(NEAREST, has_quality=False))
                else []
            )
        if shares:
            checks.append(
                IndexCheck(collection=collection, queries=len(shares), recall=sum(shares) / len(shares), **about)
            )
    if checks:
        poorest = min(checks, key=lambda check: check.recall)
        given = {"space_id": poorest.space_id, "recall": poorest.recall, "queries": poorest.queries}
        with database.transaction() as connection:
            connection.execute(_SQL["record_recall"], given)
    return checks


def _shares_found(around: Neighbourhood, found: Row, queries: int, seed: int | None) -> list[float]:
    vectors = _questions(around.connection, found["space_id"], found["dimensions"], queries, seed)
    shares = (_share_found(around, half_vector(vector)) for vector in vectors)
    return [share for share in shares if share is not None]


def _questions(connection: Connection, space_id: int, dimensions: int, queries: int, seed: int | None) -> list[Any]:
    import numpy as np

    random = np.random.default_rng(seed)
    rows = connection.execute(_SQL["sample_vectors"], {"space_id": space_id, "queries": queries}).fetchall()
    stored = [np.array(row["vector"].strip("[]").split(","), dtype=np.float32) for row in rows]
    nudges = random.standard_normal((len(stored), dimensions)).astype(np.float32)
    moved = [v + NUDGE * n / np.linalg.norm(n) for v, n in zip(stored, nudges, strict=True)]
    return [vector / np.linalg.norm(vector) for vector in moved]


def _share_found(around: Neighbourhood, vector: Any) -> float | None:
    wanted = candidate_count(NEAREST, has_quality=False)
    exact = {row["chunk_id"] for row in around.search_exact(vector, wanted, NEAREST)}
    around.prepare_index(EF_SEARCH)
    by_index = {row["chunk_id"] for row in around.search_index(vector, wanted, NEAREST)}
    return len(exact & by_index) / len(exact) if exact else None
