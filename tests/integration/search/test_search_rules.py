"""What a search finds, refuses and promises, on a real database."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from recant.errors import DimensionMismatch, UnknownCollection, UsageError
from recant.search import nearest, searcher
from recant.store import Database
from tests.integration.search.search_library import DIMENSIONS, Library, Part, Vector, sign_vector


def corner(*flipped: int) -> Vector:
    """The corner that all coordinates are 0.25 of, but for the flipped ones: cosine 1 - len(flipped) / 8."""
    vector = np.full(DIMENSIONS, 0.25, dtype=np.float32)
    vector[list(flipped)] = -0.25
    return vector


HERE = corner()


def texts(result: Any) -> list[str]:
    return [hit.text for hit in result.hits]


def as_bytes(result: Any) -> bytes:
    return json.dumps(result.to_dict()["hits"], sort_keys=True).encode()


def score_quality(library: Library, scores: dict[int, float]) -> None:
    """What the recalculation of feedback will write, by chunk id."""
    with Database(library.database.dsn, role="recant_owner") as owner, owner.transaction() as connection:
        statement = """INSERT INTO chunk_quality (chunk_id, score, true_position)
                       SELECT id, score, 1 FROM unnest(%s::bigint[], %s::real[]) AS x (id, score)"""
        connection.execute(statement, [list(scores), list(scores.values())])


def test_hit_shows_its_document(library: Library) -> None:
    """A hit tells its document, its operation, its place in the document, and how near it is."""
    part = Part("text", corner(0), "code", ("Guide", "Install"), {"language": "python"})
    operation = library.publish({"a.md": [part]}, format="markdown", attributes={"author": "Ada", "language": "en"})
    library.queries["where?"] = HERE
    result = library.searcher.search("where?", collection="knowledge")
    (hit,) = result.hits
    assert (result.query, result.mode, result.collection, result.position) == ("where?", "semantic", "knowledge", 1)
    assert (hit.rank, hit.score, hit.source, hit.title) == (1, 0.875, "a.md", "Title of a.md")
    assert (hit.text, hit.operation_id, hit.quality, hit.collection) == ("text", operation, None, "knowledge")
    assert (hit.chunk_type, hit.parent_headers) == ("code", ("Guide", "Install"))
    assert hit.attributes == {"author": "Ada", "language": "python"}
    assert json.loads(json.dumps(result.to_dict()))["hits"][0]["parent_headers"] == ["Guide", "Install"]


def test_document_id_is_the_same_for_every_version(library: Library) -> None:
    """A document's id stays when it is written again; its chunk's doesn't."""
    library.publish({"a.md": [Part("old", HERE)]})
    old = library.search(HERE).hits[0]
    library.publish({"a.md": [Part("new", HERE)]})
    new = library.search(HERE).hits[0]
    assert old.document_id == new.document_id
    assert old.chunk_id != new.chunk_id


def test_ties_are_broken_by_chunk_id(library: Library) -> None:
    """Chunks equally near come in the order of their ids, and the limit cuts there."""
    library.publish({"a.md": [Part(f"t{i}", HERE) for i in range(200)]})
    everything = [hit.chunk_id for hit in library.search(HERE, limit=1000).hits]
    assert len(everything) == 200
    assert everything == sorted(everything)
    assert [hit.chunk_id for hit in library.search(HERE, limit=3).hits] == everything[:3]


def test_boilerplate_takes_one_hit(library: Library) -> None:
    """A text in many documents is found once, as the first visible chunk that has it."""
    boilerplate = Part("licence", HERE)
    operations = [library.publish({f"{i}.md": [boilerplate, Part(f"own {i}", corner(i))]}) for i in range(12)]
    first = library.search(HERE, limit=4)
    assert texts(first) == ["licence", "own 0", "own 1", "own 2"]
    assert first.hits[0].source == "0.md"
    library.control("rollback", {operations[0]: False})
    assert library.search(HERE, limit=4).hits[0].source == "1.md"


@pytest.mark.parametrize("indexed", [False, True])
def test_rollback_of_poison_leaves_no_trace(library: Library, indexed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After poison is withdrawn, the same search gives the same bytes as before it; after a redo, as with it."""
    random = np.random.default_rng(3)
    library.publish({f"{i}.md": [Part(f"{i}.{j}", sign_vector(random)) for j in range(5)] for i in range(20)})
    if indexed:
        library.build_index()
        monkeypatch.setattr(nearest, "EXACT_BELOW", 0)
    clean = as_bytes(library.search(HERE, limit=20))
    poison: dict[str, Any] = {f"{i}.md": [Part(f"poison {i}", corner(i))] for i in range(5)}
    operation = library.publish(poison | {"new.md": [Part("more", HERE)], "7.md": None})
    poisoned = as_bytes(library.search(HERE, limit=20))
    assert poisoned != clean
    control = library.control("rollback", {operation: False})
    assert as_bytes(library.search(HERE, limit=20)) == clean
    library.control("redo", {control: False})
    assert as_bytes(library.search(HERE, limit=20)) == poisoned


def test_collections_are_apart(library: Library) -> None:
    """A search finds its own collection only, though both share one embedding space and even texts."""
    library.publish({"a.md": [Part("shared", HERE)]}, "knowledge")
    library.publish({"a.md": [Part("shared", HERE)], "b.md": [Part("other", HERE)]}, "notes")
    assert texts(library.search(HERE)) == ["shared"]
    assert texts(library.search(HERE, collection="notes")) == ["shared", "other"]
    assert library.search(HERE).hits[0].collection == "knowledge"


def test_collections_are_apart_in_the_index(
    library: Library, ways: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one index of a space that two collections share gives each its own documents."""
    first = library.publish({"a.md": [Part("shared", HERE)]}, "knowledge")
    second = library.publish({"a.md": [Part("shared", HERE)]}, "notes")
    library.build_index()
    monkeypatch.setattr(nearest, "EXACT_BELOW", 0)
    monkeypatch.setattr(searcher, "candidate_count", lambda limit, **_: limit)
    assert [hit.operation_id for hit in library.search(HERE, limit=1).hits] == [first]
    assert [hit.operation_id for hit in library.search(HERE, limit=1, collection="notes").hits] == [second]
    assert ways == {"search_index": 2}


def test_session_sees_its_own_open_writes(library: Library) -> None:
    """A session's open writes lie on top of the latest for itself alone, tombstones too, and not with as_of."""
    library.publish({"a.md": [Part("a", HERE)], "b.md": [Part("b", corner(0))]})
    operation = library.open(session="mine")
    library.write(operation, {"a.md": [Part("draft", corner(1))], "b.md": None})
    assert texts(library.search(HERE, session="mine")) == ["draft"]
    assert texts(library.search(HERE)) == texts(library.search(HERE, session="yours")) == ["a", "b"]
    assert texts(library.search(HERE, session="mine", as_of=1)) == ["a", "b"]
    library.publish({"a.md": [Part("later", HERE)]})
    assert texts(library.search(HERE, session="mine")) == ["draft"]
    library.log.publish(operation)
    assert texts(library.search(HERE)) == ["draft"]


def test_aborted_writes_are_never_found(library: Library) -> None:
    """What was aborted is found by nobody, its own session included."""
    library.publish({"a.md": [Part("a", HERE)]})
    operation = library.open(session="mine")
    library.write(operation, {"a.md": [Part("draft", HERE)]})
    library.log.abort(operation, "changed my mind")
    assert texts(library.search(HERE, session="mine")) == ["a"]


FILTERED = [
    ({"source": "b.md"}, ["b"]),
    ({"source": ["a.md", "c.md"]}, ["a", "a code", "c"]),
    ({"title": "Title of a.md", "chunk_type": "code"}, ["a code"]),
    ({"format": "rst"}, ["b"]),
    ({"parent_headers": "Install"}, ["a code", "c"]),
    ({"author": "Ada"}, ["a", "a code"]),
    ({"topics": "search"}, ["a", "a code", "b"]),
    ({"topics": ["undo", "nothing"]}, ["b"]),
    ({"page": "5"}, ["c"]),
    ({"draft": "true"}, ["c"]),
    ({"lines": "7"}, ["c"]),
    ({"language": "python"}, ["a code"]),
    ({"language": "en"}, ["a"]),
    ({"nobody has this": "x"}, []),
    ({"author": "Ada", "format": "rst"}, []),
    ({"nothing": "null"}, []),
]


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize(("filters", "expected"), FILTERED, ids=lambda value: json.dumps(value))
def test_filters(
    library: Library,
    filters: Any,
    expected: list[str],
    indexed: bool,
    ways: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every key must hold, any value of a list does; values are compared as text, lists by their elements."""
    ada = {"author": "Ada", "topics": ["search"], "language": "en"}
    code = Part("a code", corner(0), "code", ("Guide", "Install"), {"language": "python"})
    numbers = {"page": 5, "draft": True, "lines": [7, 8], "nothing": None}
    library.publish({"a.md": [Part("a", HERE), code]}, attributes=ada)
    library.publish({"b.md": [Part("b", corner(1))]}, format="rst", attributes={"topics": ["search", "undo"]})
    library.publish({"c.md": [Part("c", corner(2), "text", ("Install",), numbers)]})
    if indexed:
        library.build_index()
        monkeypatch.setattr(nearest, "EXACT_BELOW", 0)
        monkeypatch.setattr(nearest, "COST_RATIO", 0)
        monkeypatch.setattr(searcher, "candidate_count", lambda limit, **_: limit)
    limit = max(1, len(expected))
    found = library.search(HERE, filters=filters, limit=limit)
    assert texts(found) == expected
    assert texts(library.search(HERE, filters=filters, as_of=3, limit=limit)) == expected
    if indexed and expected:
        assert ways == {"search_index": 2}
    elif not indexed:
        assert ways == {"search_exact": 2}
    assert texts(library.search(HERE, filters=filters, limit=1000)) == expected


def test_quality_lifts_and_lowers(library: Library) -> None:
    """Quality multiplies the score within its bounds, and a chunk without any counts as neutral."""
    library.publish({"a.md": [Part("near", corner(0)), Part("good", corner(0, 1)), Part("bad", HERE)]})
    ids = {hit.text: hit.chunk_id for hit in library.search(HERE).hits}
    score_quality(library, {ids["good"]: 100, ids["bad"]: 0})
    hits = [(hit.text, hit.score, hit.quality) for hit in library.search(HERE).hits]
    assert hits == [("near", 0.875, None), ("good", 0.8625, 100.0), ("bad", 0.3, 0.0)]


def test_quality_lifts_from_beyond_the_first_candidates(library: Library) -> None:
    """The best is found though hundreds of worse ones are nearer."""
    random = np.random.default_rng(1)
    crowd = []
    for i in range(300):
        vector = HERE + np.float32(0.02) * random.standard_normal(DIMENSIONS).astype(np.float32)
        crowd.append(Part(f"{i}", vector / np.linalg.norm(vector)))
    library.publish({"crowd.md": crowd, "good.md": [Part("good", corner(0))]})
    hits = library.search(HERE, limit=301).hits
    score_quality(library, {hit.chunk_id: 100 if hit.text == "good" else 25 for hit in hits})
    assert texts(library.search(HERE, limit=1)) == ["good"]


def test_batch_answers_as_single_searches_do(library: Library) -> None:
    """A batch gives one result a query, in order, equal to single searches, all at one position."""
    random = np.random.default_rng(5)
    library.publish({"a.md": [Part(f"t{i}", sign_vector(random)) for i in range(40)]})
    library.queries.update({f"q{i}": sign_vector(random) for i in range(5)})
    batch = library.searcher.search_batch(sorted(library.queries), collection="knowledge", limit=7)
    first = next(batch)
    library.publish({"b.md": [Part("meanwhile", vector) for vector in [library.queries["q1"]]]})
    for query, result in zip(sorted(library.queries), [first, *batch], strict=True):
        alone = library.searcher.search(query, collection="knowledge", limit=7, as_of=1)
        assert (result.query, result.position) == (query, 1)
        assert as_bytes(result) == as_bytes(alone)


@pytest.mark.parametrize("query", ["", "  \n", None])
def test_empty_query_is_refused(library: Library, query: str | None) -> None:
    """A query of nothing is refused, alone and in a batch."""
    library.publish({"a.md": [Part("a", HERE)]})
    with pytest.raises(UsageError, match="empty"):
        library.searcher.search(query, collection="knowledge")
    with pytest.raises(UsageError, match="empty"):
        list(library.searcher.search_batch([query or ""], collection="knowledge"))


@pytest.mark.parametrize("limit", [0, -1, 1001, True, 2.5, "10"])
def test_limit_out_of_range_is_refused(library: Library, limit: Any) -> None:
    """The limit is a whole number from 1 to 1,000."""
    with pytest.raises(UsageError, match="1000"):
        library.search(HERE, limit=limit)


@pytest.mark.parametrize("position", [-1, 3, 10**6])
def test_position_that_is_not_there_is_refused(library: Library, position: int) -> None:
    """A position that the log hasn't reached is refused, saying where the log stands."""
    library.publish({"a.md": [Part("a", HERE)]})
    library.publish({"b.md": [Part("b", HERE)]})
    with pytest.raises(UsageError, match="stands at 2") as caught:
        library.search(HERE, as_of=position)
    assert caught.value.details == {"position": 2}


def test_position_zero_is_empty(library: Library) -> None:
    """Before the first operation there is nothing to find."""
    library.publish({"a.md": [Part("a", HERE)]})
    assert library.search(HERE, as_of=0).hits == []


@pytest.mark.parametrize("name", ["elsewhere", "", "a\0b", "\udc80"])
def test_unknown_collection_is_refused(library: Library, name: str) -> None:
    """A collection that isn't there is refused, naming those that are."""
    with pytest.raises(UnknownCollection, match="none yet"):
        library.search(HERE, collection=name)
    library.publish({"a.md": [Part("a", HERE)]}, "notes")
    library.publish({"a.md": [Part("a", HERE)]}, "knowledge")
    with pytest.raises(UnknownCollection, match="there are knowledge, notes"):
        library.search(HERE, collection=name)


def test_unstorable_session_is_refused(library: Library) -> None:
    """A session's name that Postgres can't hold is refused in words."""
    library.publish({"a.md": [Part("a", HERE)]})
    with pytest.raises(UsageError, match="session"):
        library.search(HERE, session="a\0b")


def test_wrong_dimensions_are_refused(library: Library) -> None:
    """A vector of another length than the collection's is refused, saying both lengths."""
    library.publish({"a.md": [Part("a", HERE)]})
    with pytest.raises(DimensionMismatch, match="has 3 dimensions, the collection's have 16"):
        library.search(np.ones(3, dtype=np.float32))


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_vector_without_direction_is_refused(library: Library, value: float) -> None:
    """A vector of zeros, or with what is no number, is refused."""
    library.publish({"a.md": [Part("a", HERE)]})
    with pytest.raises(UsageError, match="finite"):
        library.search(np.full(DIMENSIONS, value))


def test_length_of_the_query_vector_does_not_matter(library: Library) -> None:
    """Only a query vector's direction counts."""
    library.publish({"a.md": [Part("a", corner(0)), Part("b", corner(1, 2))]})
    assert as_bytes(library.search(HERE * 1000)) == as_bytes(library.search(HERE))


def test_empty_collection_has_no_hits(library: Library) -> None:
    """A collection in which nothing is seen answers with no hits."""
    operation = library.publish({"a.md": [Part("a", HERE)]})
    library.control("rollback", {operation: False})
    result = library.search(HERE)
    assert (result.hits, result.position) == ([], 2)
