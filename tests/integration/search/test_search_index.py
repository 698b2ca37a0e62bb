"""Search through the vector index, on 25,000 chunks with part of them withdrawn."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from recant.search import Searcher, nearest
from tests.integration.search.search_library import DIMENSIONS, Library, Part, Vector

OPERATIONS, DOCUMENTS, CHUNKS = 50, 50, 10


def unit_vectors(random: np.random.Generator, count: int) -> Vector:
    rows = random.standard_normal((count, DIMENSIONS)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def fill(library: Library, random: np.random.Generator) -> list[int]:
    """Fifty operations of fifty documents of ten chunks, with the index of the space."""
    operations = []
    for number in range(OPERATIONS):
        vectors = iter(unit_vectors(random, DOCUMENTS * CHUNKS))
        documents = {
            f"{number}.{d}.md": [Part(f"{number}.{d}.{c}", next(vectors)) for c in range(CHUNKS)]
            for d in range(DOCUMENTS)
        }
        operations.append(library.publish(documents))
    library.build_index()
    return operations


def ids(result: Any) -> list[int]:
    return [hit.chunk_id for hit in result.hits]


def exactly(library: Library, monkeypatch: pytest.MonkeyPatch, vector: Vector, **options: Any) -> list[int]:
    with monkeypatch.context() as patch:
        patch.setattr(nearest, "EXACT_BELOW", 10**9)
        exact = Searcher(library.database, lambda text: vector)
        return ids(exact.search("any", **({"collection": "knowledge"} | options)))


def test_search_by_index(library: Library, ways: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The index finds 95% of what comparing everything finds, with much withdrawn, in the past, and under a filter;
    small collections, narrow filters and withdrawn floods are compared whole and found exactly.
    """
    random = np.random.default_rng(11)
    operations = fill(library, random)
    for operation in operations[::3]:
        library.control("rollback", {operation: False})
    vectors = unit_vectors(random, 20)

    for options in {}, {"as_of": OPERATIONS}, {"filters": {"format": "text"}, "as_of": OPERATIONS}, {"session": "s"}:
        ways.clear()
        found = [ids(library.search(vector, **options)) for vector in vectors]
        assert ways == {"search_index": len(vectors)}, options
        exact = [exactly(library, monkeypatch, vector, **options) for vector in vectors]
        recall = np.mean([len(set(f) & set(e)) / len(e) for f, e in zip(found, exact, strict=True)])
        assert recall >= 0.95, options

    library.publish({"small.md": [Part(f"small {i}", vector) for i, vector in enumerate(vectors)]}, "small")
    ways.clear()
    assert len(ids(library.search(vectors[0], collection="small", limit=15))) == 15
    narrow = library.search(vectors[0], filters={"source": "1.7.md"})
    assert ids(narrow) == exactly(library, monkeypatch, vectors[0], filters={"source": "1.7.md"})
    assert len(narrow.hits) == CHUNKS
    assert len(ids(library.search(vectors[0], as_of=1))) == 10
    assert ways["search_index"] == 0

    crowd = vectors[0] + np.float32(0.01) * random.standard_normal((3_000, DIMENSIONS)).astype(np.float32)
    crowd /= np.linalg.norm(crowd, axis=1, keepdims=True)
    flood = library.publish({"flood.md": [Part(f"flood {i}", vector) for i, vector in enumerate(crowd)]})
    library.control("quarantine", {flood: False})
    assert ids(library.search(vectors[0])) == exactly(library, monkeypatch, vectors[0])
