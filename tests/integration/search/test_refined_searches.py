"""What becomes of candidates, and what stands around hits, on a real database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from recant.errors import ConfigurationError, UsageError
from recant.search import Fusion, Refinement, Searcher
from recant.search.nearest import Neighbourhood
from recant.search.scope import read_scope
from recant.search.vectors import similarities, unit_vectors
from recant.store import Database, half_vector
from tests.integration.search.keyword_library import KeywordLibrary

LONG = "the fig tree in the old garden by the river bears more fruit than anybody in the village can pick before autumn"
MODES = ("semantic", "keyword", "hybrid")


@pytest.fixture
def library(database: str) -> Iterator[KeywordLibrary]:
    with Database(database) as opened:
        yield KeywordLibrary(opened)


@pytest.fixture
def orchard(library: KeywordLibrary) -> KeywordLibrary:
    """One text in three documents, nearly the same in a fourth, and others about figs."""
    library.add({"a": [LONG], "b": ["intro", LONG], "c": [LONG]}, parent_headers=("Trees",))
    library.add({"d": [LONG.replace("autumn", "winter")]})
    library.add({f"o{n}": [f"a fig and {n} {word} pears"] for n, word in enumerate(["ripe", "green", "hard", "soft"])})
    return library


def of(found: Any) -> list[str]:
    return [hit.source for hit in found.hits]


@pytest.mark.parametrize("mode", MODES)
def test_a_text_of_several_documents_is_shown_once(orchard: KeywordLibrary, mode: str) -> None:
    """With the documents that have it too, nearly or word for word; the others keep their places."""
    found = orchard.find("fig tree", mode, limit=9, refine=Refinement(fold=True))
    repeated = {"a", "b", "c", "d"}
    (shown,) = [hit for hit in found.hits if hit.source in repeated and hit.text != "intro"]
    assert {shown.source, *(also.source for also in shown.also_in)} == repeated
    assert all(not hit.also_in for hit in found.hits if hit.source.startswith("o"))
    assert [hit.rank for hit in found.hits] == list(range(1, len(found.hits) + 1))
    plain = [hit.source for hit in orchard.find("fig tree", mode, limit=9).hits if hit.source.startswith("o")]
    assert [hit.source for hit in found.hits if hit.source.startswith("o")] == plain
    told = shown.to_dict()["also_in"][0]
    assert set(told) == {"source", "document_id", "operation_id", "chunk_id"}


def test_folding_names_only_what_is_seen(orchard: KeywordLibrary) -> None:
    """Not what was withdrawn, what a filter leaves out, or what came later than the position."""
    before = orchard.log.position()
    late = orchard.add({"late": [LONG]}, parent_headers=("Trees",), format="markdown")
    fold = {"refine": Refinement(fold=True), "limit": 1, "mode": "semantic"}

    def named(**options: Any) -> set[str]:
        (hit,) = orchard.find(LONG, **(fold | options)).hits
        return {hit.source, *(also.source for also in hit.also_in)}

    assert "late" in named()
    assert "late" not in named(as_of=before)
    assert "late" not in named(filters={"format": "text"})
    orchard.control("rollback", [late])
    assert "late" not in named()


def test_boilerplate_is_left_out(orchard: KeywordLibrary) -> None:
    """A text that stands so often; what nearly stands so often stays, and so does what was withdrawn often enough."""
    (twice, thrice) = (of(orchard.find("fig", refine=Refinement(boilerplate_from=n))) for n in (4, 3))
    assert "a" in twice
    assert not {"a", "b", "c"} & set(thrice)
    assert "d" in thrice


@pytest.mark.parametrize("mode", MODES)
def test_diverse_hits_are_another_order_of_the_same_candidates(orchard: KeywordLibrary, mode: str) -> None:
    """The best one stays first, and scores stay what they are."""
    plain = {hit.chunk_id: hit.score for hit in orchard.find("fig tree", mode).hits}
    diverse = orchard.find("fig tree", mode, refine=Refinement(diversity=0.9)).hits
    assert {hit.chunk_id: hit.score for hit in diverse} == plain
    assert diverse[0].chunk_id == next(iter(plain))
    assert [hit.chunk_id for hit in diverse] != list(plain)
    two = orchard.find("fig tree", mode, limit=2, refine=Refinement(diversity=0.9)).hits
    assert [hit.chunk_id for hit in two] == [hit.chunk_id for hit in diverse[:2]]


@pytest.mark.parametrize("mode", MODES)
def test_signs_that_are_no_word_do_no_harm(orchard: KeywordLibrary, mode: str) -> None:
    """An underscore is a word's part, and none by itself."""
    assert orchard.find("fig __ tree _", mode).hits


def test_nothing_found_is_refined_to_nothing(orchard: KeywordLibrary) -> None:
    """In keyword mode, where that can be."""
    everything = Refinement(diversity=0.5, fold=True, boilerplate_from=5, context=2, section="own")
    assert orchard.find("xylophone", refine=everything).hits == []


@pytest.fixture
def manual(library: KeywordLibrary) -> KeywordLibrary:
    """A document of three sections, one with a subsection, and a heading that comes again."""
    target = library.begin(operation := library.open(last_wins=True), "manual")
    texts = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"]
    headings = [("M", "One"), ("M", "One"), ("M", "One", "Sub"), ("M", "Two"), ("M", "Two"), ("M", "One")]
    document = library.document("manual", texts, None)
    chunks = tuple(
        type(chunk)(chunk.index, chunk.embedding_id, chunk.token_count, "text", headers, chunk.text, {})
        for chunk, headers in zip(document.chunks, headings, strict=True)
    )
    with library.database.transaction() as connection:
        library.corpus.append(connection, target, [type(document)(**{**_fields(document), "chunks": chunks})])
    library.log.finish_batch(target.batch_id, {"documents": 1})
    library.log.publish(operation)
    return library


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def around(library: KeywordLibrary, word: str, **asked: Any) -> list[tuple[int, str]]:
    options = {name: asked.pop(name) for name in ("as_of", "session", "filters") if name in asked}
    hit = library.find(word, refine=Refinement(**asked), **options).hits[0]
    return [(chunk.distance, chunk.text) for chunk in hit.context]


def test_neighbours_stand_around_a_hit(manual: KeywordLibrary) -> None:
    """As many as are asked for on either side, fewer at the ends, the hit itself not among them."""
    assert around(manual, "delta", context=1) == [(-1, "charlie"), (1, "echo")]
    assert around(manual, "alpha", context=2) == [(1, "bravo"), (2, "charlie")]
    everything = list(enumerate(["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"], start=-3))
    assert around(manual, "delta", context=20) == [pair for pair in everything if pair[0]]
    assert around(manual, "delta") == []


def test_a_section_is_what_stands_under_the_same_headings(manual: KeywordLibrary) -> None:
    """Subsections too, without a gap; the parent is what stands under all headings but the last."""
    assert around(manual, "bravo", section="own") == [(-1, "alpha"), (1, "charlie")]
    assert around(manual, "charlie", section="own") == []
    assert around(manual, "charlie", section="parent") == [(-2, "alpha"), (-1, "bravo")]
    assert around(manual, "foxtrot", section="own") == []
    assert around(manual, "echo", section="own", context=1) == [(-1, "delta"), (1, "foxtrot")]
    assert len(around(manual, "delta", section="parent")) == 5


def test_what_stands_around_is_of_the_hit_s_own_version(manual: KeywordLibrary) -> None:
    """As of a position that of then, in a session its own; filters pick hits, not what is around them."""
    before = manual.log.position()
    manual.add({"manual": ["alpha", "bravo anew"]})
    own = manual.open(session="s", last_wins=True)
    manual.put(own, {"manual": ["alpha", "bravo of mine"]}, indexed=True)
    assert around(manual, "alpha", context=1) == [(1, "bravo anew")]
    assert around(manual, "alpha", context=1, as_of=before) == [(1, "bravo")]
    assert around(manual, "alpha", context=1, session="s") == [(1, "bravo of mine")]
    told = manual.find("alpha", refine=Refinement(context=1)).hits[0].to_dict()
    assert [chunk["parent_headers"] for chunk in told["context"]] == [[]]


def test_a_session_is_on_record_with_all_that_it_was_shown(orchard: KeywordLibrary) -> None:
    """The versions of documents that a folded hit only names, too."""
    orchard.find("fig tree", "semantic", limit=9, session="s", refine=Refinement(fold=True, context=1))
    with orchard.database.transaction() as connection:
        rows = connection.execute("SELECT r.key FROM session_read s JOIN record r ON r.id = s.record_id").fetchall()
    assert {row["key"] for row in rows} == {"a", "b", "c", "d", "o0", "o1", "o2", "o3"}


def shortest_first(query: str, texts: Sequence[str]) -> list[float]:
    assert query == "fig"
    return [1 / len(text) for text in texts]


@pytest.mark.parametrize("mode", MODES)
def test_hits_are_ranked_anew(orchard: KeywordLibrary, mode: str) -> None:
    """By what the model says, which is the score then; also further down than what is shown."""
    searcher = Searcher(orchard.database, orchard.model.vector, rerank=shortest_first)
    hits = searcher.search("fig", collection="library", mode=mode, limit=3, refine=Refinement(rerank=True)).hits
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    shortest = "a fig and 2 hard pears" if mode != "semantic" else "intro"
    assert min(len(hit.text) for hit in hits) == len(hits[0].text) or hits[0].text == shortest
    assert hits[0].score <= 1


def test_ranking_anew_needs_a_model_and_words(orchard: KeywordLibrary) -> None:
    """Each said at once, with what to do."""
    with pytest.raises(ConfigurationError, match="RECANT_RERANKER"):
        orchard.find("fig", refine=Refinement(rerank=True))
    searcher = Searcher(orchard.database, orchard.model.vector, rerank=shortest_first)
    with pytest.raises(UsageError, match="text"):
        searcher.search(None, vector=orchard.model.vector("x"), collection="library", refine=Refinement(rerank=True))


def test_quality_weighs_what_is_ranked_anew(orchard: KeywordLibrary) -> None:
    """As everywhere."""
    with orchard.database.transaction() as connection:
        connection.execute("RESET ROLE")
        connection.execute(
            "INSERT INTO chunk_quality (chunk_id, score, true_position) SELECT id, 0, 1 FROM chunk WHERE text LIKE '%hard%'"
        )
    searcher = Searcher(orchard.database, orchard.model.vector, rerank=lambda query, texts: [0.5] * len(texts))
    hits = searcher.search("fig", collection="library", mode="keyword", limit=9, refine=Refinement(rerank=True)).hits
    assert hits[-1].source == "o2"
    assert hits[-1].score == 0.15


@pytest.mark.parametrize("indexed", [True, False])
def test_hybrid_scores_are_the_formula_s(library: KeywordLibrary, indexed: bool) -> None:
    """With each side's true score of every chunk, also where only the other side has found it."""
    texts = {f"d{n}": [f"fig {'pear ' * (n % 3)}{n}", f"leaf {n}"] for n in range(12)}
    library.add(dict(list(texts.items())[:6]), indexed=indexed)
    library.add(dict(list(texts.items())[6:]), indexed=indexed)
    query = "fig pear"
    meaning = {hit.chunk_id: hit.score for hit in library.find(query, "semantic").hits}
    words = {hit.chunk_id: hit.score for hit in library.find(query, "keyword").hits}
    hybrid = library.find(query, "hybrid", fusion=Fusion("max", 0.5)).hits
    assert {hit.chunk_id for hit in hybrid} == set(meaning)
    best, most = max(meaning.values()), max(words.values())
    (top,) = [hit for hit in hybrid if words.get(hit.chunk_id, 0) == most][:1]
    trust = 2 * top.score - max(meaning[top.chunk_id], 0) / best
    for hit in hybrid:
        share = max(meaning[hit.chunk_id], 0) / best + trust * words.get(hit.chunk_id, 0) / most
        assert hit.score == pytest.approx(share / 2, abs=1e-3)
    assert 0.5 < trust < 1


def test_a_candidate_of_one_side_has_its_true_score_on_the_other(
    library: KeywordLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few candidates each side brings: its score is the same as with all of them."""
    library.add({f"d{n:02}": [f"fig {'pear ' * (n % 5)}{'leaf ' * (n % 7)}{n}"] for n in range(40)})
    library.add({"gone": ["fig pear pear"]})
    full = {hit.chunk_id: hit.score for hit in library.find("fig pear leaf", "hybrid").hits}
    monkeypatch.setattr("recant.search.searcher.DEPTH", 4)
    few = library.find("fig pear leaf", "hybrid", limit=4).hits
    assert {hit.chunk_id: pytest.approx(hit.score, abs=1e-3) for hit in few} == {
        chunk: score for chunk, score in full.items() if chunk in {hit.chunk_id for hit in few}
    }


def test_vectors_are_those_of_the_scope_s_space(orchard: KeywordLibrary) -> None:
    """Of unit length; none is read for nothing, and what isn't there is left out."""
    with orchard.database.snapshot() as connection:
        scope = read_scope(connection, "library", as_of=None, session=None)
        near = Neighbourhood(connection, scope)
        ids = [row["id"] for row in connection.execute("SELECT id FROM embedding ORDER BY id")]
        vectors = unit_vectors(near, [*ids, 10**9])
        wanted = half_vector(vectors[ids[0]])
        cosines = similarities(near, wanted, [*ids, 10**9])
        assert similarities(near, wanted, []) == {}
    assert vectors.keys() == cosines.keys() == set(ids)
    assert cosines[ids[0]] == pytest.approx(1, abs=1e-2)
    for number in ids:
        assert cosines[number] == pytest.approx(float(vectors[number] @ vectors[ids[0]]), abs=1e-2)
        assert np.linalg.norm(vectors[number]) == pytest.approx(1, abs=1e-5)
