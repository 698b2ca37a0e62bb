"""Vectors of chunks that are known already: how near to a query they are, and how near to each other.

Found by the texts' hashes, so that they are of the scope's own space whatever space a chunk was first embedded in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from recant.search.nearest import Neighbourhood
from recant.store import load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SQL = load(__package__, "refining.sql")


def similarities(around: Neighbourhood, vector: Any, embeddings: Iterable[int]) -> dict[int, float]:
    """The cosine of each embedding with a query's half-precision vector; without those that the space lacks."""
    ids = list(embeddings)
    if not ids:
        return {}
    given = {"space_id": around.scope.space_id, "ids": ids, "vector": vector}
    statement = _SQL["similarities"].format(dimensions=int(around.scope.dimensions), in_space=_in_space(around))
    rows = around.connection.cursor(binary=True).execute(statement, given, prepare=True)
    return {row["embedding_id"]: row["similarity"] for row in rows}


def unit_vectors(around: Neighbourhood, embeddings: Iterable[int]) -> dict[int, NDArray[np.float32]]:
    """Vectors of unit length, read once; without those that the space lacks."""
    import numpy as np

    given = {"space_id": around.scope.space_id, "ids": sorted(set(embeddings))}
    found = {}
    for row in around.connection.execute(_SQL["vectors"].format(in_space=_in_space(around)), given, prepare=True):
        vector = np.asarray(row["vector"], np.float32)
        found[row["embedding_id"]] = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return found


def _in_space(around: Neighbourhood) -> str:
    return _SQL["in_any_space" if around.scope.spaces else "in_own_space"]
