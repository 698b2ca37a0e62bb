"""Keyword and hybrid search: words, identifiers, phrases, exclusions, languages, slips of a finger, filters, and who is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recant.errors import UsageError
from recant.search import Fusion
from recant.store import Database
from tests.integration.search.keyword_library import KeywordLibrary


@pytest.fixture
def library(database: str) -> Iterator[KeywordLibrary]:
    with Database(database) as opened:
        yield KeywordLibrary(opened)


@pytest.fixture
def code(library: KeywordLibrary) -> KeywordLibrary:
    """Some sentences about code, and a little of three other languages."""
    library.add(
        {
            "snake": ["call parse_document before anything else"],
            "camel": ["an HTTPServer listens for ever"],
            "dotted": ["numpy.linalg.norm gives the length of a vector"],
            "prose": ["Documents are parsed by the server", "a fresh fig tastes best"],
            "german": ["Die Häuser der Stadt sind alt und sie stehen nicht mehr lange an der Straße"],
            "french": ["Les maisons de la ville sont vieilles et elles ne sont plus dans la rue des fleurs"],
            "japanese": ["東京都に住んでいる人々の数"],
        }
    )
    return library


def sources(library: KeywordLibrary, query: str, **options: object) -> list[str]:
    return [hit.source for hit in library.find(query, **options).hits]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("parse_document", ["snake", "prose"]), ("document", ["prose", "snake"]), ("HTTPServer", ["camel", "prose"]),
        ("httpserver", ["camel"]), ("http", ["camel"]), ("numpy.linalg.norm", ["dotted"]), ("linalg", ["dotted"]),
        ("parsing", ["prose", "snake"]), ("figs", ["prose"]), ("Haus Straßen", ["german"]), ("Häusern", ["german"]),
        ("maison", ["french"]), ("東京", ["japanese"]), ("the of", []), ("nowhere_to_be_found", []),
    ],
)  # fmt: skip
def test_words_and_identifiers_are_found_whole_and_in_parts(code: KeywordLibrary, query: str, found: list[str]) -> None:
    """In any inflection of their language, and the whole of an identifier before its parts."""
    assert sources(code, query)[: len(found)] == found
    assert bool(sources(code, query)) == bool(found)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('"length of a vector"', ["dotted"]), ('"vector of a length"', []), ('"fresh fig" tastes', ["prose"]),
        ("server -listens", ["prose"]), ('server -"parsed by"', ["camel"]), ("norm -numpy.linalg.norm", []),
        ("norm -numpy.linalg.other", ["dotted"]), ("ville maisons -fleur", []), ('"住んでいる人"', ["japanese"]),
        ('document "the server"', ["prose"]), ('"" fig', ["prose"]),
    ],
)  # fmt: skip
def test_phrases_are_needed_and_exclusions_kept_out(code: KeywordLibrary, query: str, found: list[str]) -> None:
    """A phrase stands word for word in each hit; a hit has nothing that is excluded, in any inflection."""
    assert sources(code, query) == found
    assert {hit.source for hit in code.find(query, mode="hybrid", limit=3).hits} >= set(found)


def test_phrases_and_exclusions_hold_for_what_is_near_in_meaning_too(code: KeywordLibrary) -> None:
    """A hybrid hit has every phrase and nothing excluded, whichever side found it."""
    assert sources(code, '"length of a vector" anything', mode="hybrid") == ["dotted"]
    assert "camel" not in sources(code, "server -listens", mode="hybrid")
    assert "prose" in sources(code, "server -listens", mode="hybrid")


def test_a_word_that_nothing_has_is_taken_for_its_neighbour(code: KeywordLibrary) -> None:
    """The result says so; a word that something has is never replaced, and neither is one of a phrase."""
    result = code.find("documnet")
    assert {hit.source for hit in result.hits} == {"snake", "prose"}
    assert result.corrected == {"documnet": "document"}
    assert result.to_dict()["corrected"] == {"documnet": "document"}
    assert code.find("document").corrected == {}
    assert sources(code, '"documnet"') == []


def test_highlights_are_where_the_words_stand(code: KeywordLibrary) -> None:
    """As first and last character of each token that has one of the words, in keyword and hybrid mode."""
    for mode in ("keyword", "hybrid"):
        (hit,) = [hit for hit in code.find("parsing servers", mode=mode).hits if hit.text.startswith("Documents")]
        assert [hit.text[first:last] for first, last in hit.highlights] == ["parsed", "server"]
    assert code.find("server", mode="semantic").hits[0].highlights == ()


def test_titles_and_headings_count(library: KeywordLibrary) -> None:
    """A chunk is found by its document's title and by the headings above it."""
    library.add({"one": ["nothing special"]}, title="Gardening", parent_headers=("Orchards", "Pruning"))
    for query in ("garden", "orchard", "pruning", '"orchards"'):
        assert sources(library, query) == ["one"]


def test_the_same_text_takes_one_place(library: KeywordLibrary) -> None:
    """Boilerplate in many documents is shown once, and as many others as were asked for are found beyond it."""
    library.add({f"d{i}": ["fig fig fig"] for i in range(40)} | {"x": ["fig leaf"], "y": ["fig tree"]})
    assert sources(library, "fig", limit=3) == ["d0", "x", "y"]
    assert sorted(sources(library, "fig", mode="hybrid", limit=3)) == ["d0", "x", "y"]


def test_filters_leave_what_passes_in_the_order_that_it_has(library: KeywordLibrary) -> None:
    """Whether few or many pass, and whether they are among the first or far down."""
    library.add({f"{i:04}": [f"fig {'fig ' * (i % 7)}number{i}"] for i in range(950)})
    library.add({"rare": ["fig number3000"]}, format="markdown")
    for mode in ("keyword", "hybrid"):
        assert sources(library, "fig", mode=mode, filters={"format": "markdown"}) == ["rare"]
    everything = library.found("fig", limit=1000)
    wanted = [source for source, _, _ in everything if source in ("0001", "0700", "0701")]
    assert sources(library, "fig", filters={"source": ["0701", "0001", "0700"]}) == wanted
    assert len(library.find("fig", limit=5, filters={"format": "text"}).hits) == 5


def test_quality_weighs_keyword_scores(library: KeywordLibrary) -> None:
    """As it does for meaning: a chunk that readers speak against sinks, even if others are only found further down."""
    library.add(
        {f"d{i:02}": ["fig fig", "pear"] for i in range(1)} | {f"e{i:02}": [f"fig e{i} leaf"] for i in range(30)}
    )
    with library.database.transaction() as connection:
        connection.execute("RESET ROLE")
        connection.execute(
            "INSERT INTO chunk_quality (chunk_id, score, true_position) SELECT id, CASE WHEN text = 'fig fig' THEN 0 ELSE 100 END, 1 "
            "FROM chunk WHERE text IN ('fig fig', 'fig e29 leaf')"
        )
    assert sources(library, "fig", limit=1) == ["e29"]
    (worst,) = [hit for hit in library.find("fig").hits if hit.source == "d00"]
    assert worst.quality == 0
    assert worst.rank == 31


def test_fusion_is_by_scores_or_by_ranks(code: KeywordLibrary) -> None:
    """With no weight for meaning a hybrid search ranks as the words do, with all of it as meaning does."""
    by_words, by_meaning = sources(code, "server parsed"), sources(code, "server parsed", mode="semantic")
    for method in ("max", "rrf"):
        words = sources(code, "server parsed", mode="hybrid", fusion=Fusion(method, 0.0))
        meaning = sources(code, "server parsed", mode="hybrid", fusion=Fusion(method, 1.0))
        assert words[: len(by_words)] == by_words
        assert meaning[:3] == by_meaning[:3]
    best = code.find("server parsed", mode="hybrid").hits[0]
    assert best.source == "prose"
    assert 0 < best.score <= 1


@pytest.mark.parametrize(
    "call",
    [
        lambda library: library.find("fig", mode="telepathy"),
        lambda library: library.find("  "),
        lambda library: library.find("-fig"),
        lambda library: library.find("fig", fusion=Fusion("median")),
        lambda library: library.find("fig", fusion=Fusion("max", 1.5)),
        lambda library: library.searcher.search(
            None, vector=library.model.vector("fig"), collection="library", mode="keyword"
        ),
    ],
)
def test_what_can_t_be_answered_is_refused(library: KeywordLibrary, call: object) -> None:
    """With a word on what is wrong."""
    library.add({"a": ["fig"]})
    with pytest.raises(UsageError):
        call(library)


def test_an_empty_collection_answers_nothing(library: KeywordLibrary) -> None:
    """In every mode."""
    library.add({"a": ["fig"]})
    library.add({"a": None})
    for mode in ("keyword", "hybrid", "semantic"):
        assert sources(library, "fig", mode=mode) == []


def test_a_session_s_keyword_searches_are_on_record(library: KeywordLibrary) -> None:
    """What it was shown, in each mode, one by one and in batches, before it is returned; and it sees its own open writes."""
    library.add({"a": ["fig tree"]})
    own = library.open(session="s")
    library.put(own, {"b": ["fig leaf"]}, indexed=True)
    assert sorted(sources(library, "fig", session="s")) == ["a", "b"]
    assert sources(library, "fig") == ["a"]
    options = {"collection": "library", "session": "s"}
    batch = list(library.searcher.search_batch(["fig", "leaf -tree"], mode="hybrid", **options))
    assert [hit.source for hit in batch[1].hits] == ["b"]
    with library.database.transaction() as connection:
        rows = connection.execute("SELECT query FROM session_search ORDER BY id").fetchall()
    assert [row["query"] for row in rows] == ["fig", "fig", "leaf -tree"]


def test_a_batch_s_results_are_those_of_single_searches(code: KeywordLibrary) -> None:
    """All of one snapshot."""
    queries = ["server", '"fresh fig"', "documnet"]
    batch = [
        result.to_dict()["hits"] for result in code.searcher.search_batch(queries, collection="library", mode="keyword")
    ]
    assert batch == [code.find(query, limit=10).to_dict()["hits"] for query in queries]
