"""What meaning counts against words in a collection: set, taken back, as of positions, and found on judged queries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from recant.errors import UnknownCollection, UsageError
from recant.evaluation import JudgedQueries, JudgedQuery, SearchWeights
from recant.oplog import Attribution
from recant.search import Fusion
from recant.settings import read_settings
from recant.store import Database
from tests.integration.search.keyword_library import KeywordLibrary

WHO = Attribution("alice", message="judged")


@pytest.fixture
def library(database: str) -> Iterator[KeywordLibrary]:
    """Documents whose words tell what they are about, and whose vectors don't."""
    with Database(database) as opened:
        found = KeywordLibrary(opened)
        found.add({f"d{n}": [f"fruit number{n} {'tree ' * (n % 3)}"] for n in range(40)})
        yield found


@pytest.fixture
def weights(library: KeywordLibrary) -> SearchWeights:
    def search_many(queries: Any, **options: Any) -> Any:
        return library.searcher.search_batch(queries, **options)

    return SearchWeights(library.database, read_settings({"RECANT_COLLECTION": "library"}), search_many)


def ranked(library: KeywordLibrary, **options: Any) -> list[tuple[int, float]]:
    return [(hit.chunk_id, hit.score) for hit in library.find("fruit tree", "hybrid", limit=9, **options).hits]


def test_weights_hold_from_when_they_are_set(library: KeywordLibrary, weights: SearchWeights) -> None:
    """For every hybrid search that doesn't say, and as of positions before it what held then."""
    plain, before = ranked(library), library.log.position()
    assert weights.show().operation_id is None
    first = weights.set(Fusion("max", 0.9), WHO)
    assert first.position == before + 1
    assert ranked(library) == ranked(library, fusion=Fusion("max", 0.9)) != plain
    second = weights.set(Fusion("rrf"), WHO)
    shown = weights.show("library")
    assert (shown.method, shown.semantic_weight, shown.agent) == ("rrf", 0.5, "alice")
    assert (shown.operation_id, shown.position) == (second.operation_id, second.position)
    assert ranked(library) == ranked(library, fusion=Fusion("rrf"))
    assert ranked(library, as_of=first.position) == ranked(library, fusion=Fusion("max", 0.9))
    assert ranked(library, as_of=before) == plain
    assert ranked(library, fusion=Fusion()) == plain


def test_a_rollback_gives_back_what_held_before(library: KeywordLibrary, weights: SearchWeights) -> None:
    """By operation or by record; and a redo gives it back again. Taking them away is an operation, too."""
    plain = ranked(library)
    weights.set(Fusion("max", 0.9), WHO)
    meant = ranked(library)
    second = weights.set(Fusion("max", 0.1), WHO)
    library.control("rollback", [second.operation_id])
    assert ranked(library) == meant
    library.control("redo", [second.operation_id], shows=True)
    assert ranked(library) == ranked(library, fusion=Fusion("max", 0.1))
    removed = weights.unset(WHO)
    assert removed.removed
    assert ranked(library) == plain
    with pytest.raises(UsageError, match="no weights"):
        weights.unset(WHO)
    library.control("rollback", [removed.operation_id])
    assert weights.show().semantic_weight == 0.1
    with library.database.transaction() as connection:
        record = connection.execute("SELECT id FROM record WHERE kind = 'search_weights'").fetchone()
    assert record is not None
    library.control("rollback", [], pairs=[(second.operation_id, record["id"])])
    assert ranked(library) == meant


def test_a_collection_that_is_not_there_has_none(weights: SearchWeights) -> None:
    """Said by its name; and an operation that can't be finished leaves nothing open."""
    with pytest.raises(UnknownCollection, match="nowhere"):
        weights.show("nowhere")
    with pytest.raises(UnknownCollection, match="nowhere"):
        weights.set(Fusion(), WHO, collection="nowhere")


def test_what_fails_half_way_is_aborted(
    library: KeywordLibrary, weights: SearchWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what held stays."""

    def fail(*given: object) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(weights, "_add", fail)
    with pytest.raises(RuntimeError, match="no more"):
        weights.set(Fusion("max", 0.9), WHO)
    with library.database.transaction() as connection:
        lives = connection.execute("SELECT life FROM operation WHERE kind = 'set_search_weights'").fetchall()
    assert [row["life"] for row in lives] == ["aborted"]
    assert weights.show().operation_id is None


def judged(count: int, *, relevant: int = 0) -> JudgedQueries:
    queries = (JudgedQuery(str(n), f"number{n} fruit", {f"d{(n + relevant) % 40}": 1.0}) for n in range(count))
    return JudgedQueries("fruit", tuple(queries))


def test_weights_are_chosen_on_one_half_and_judged_by_the_other(
    library: KeywordLibrary, weights: SearchWeights
) -> None:
    """Where only words know, they are given the say; nothing is set by that alone."""
    weights.set(Fusion("max", 1.0), WHO)
    before = library.log.position()
    found = weights.tune(judged(40))
    assert (found.chosen_on, found.held_out, len(found.tried)) == (20, 20, 18)
    assert found.is_better
    assert found.ndcg_after > 0.9 > found.ndcg_before
    gains = {(method, weight): gain for method, weight, gain in found.tried}
    assert gains[found.best.method, found.best.semantic_weight or 0] == max(gains.values())
    assert found.to_dict()["best"]["method"] == found.best.method
    assert library.log.position() == before


def test_nothing_is_better_than_what_is_best(weights: SearchWeights) -> None:
    """And too few queries tell nothing."""
    weights.set(Fusion("max", 0.1), WHO)
    assert not weights.tune(judged(20)).is_better
    with pytest.raises(UsageError, match="20 are needed"):
        weights.tune(judged(19))
