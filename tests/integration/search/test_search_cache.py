"""What is remembered is never older than the log."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest

from recant.search.cache import MOST_HITS, Recent, SearchCache
from tests.integration.search.search_library import Library, Part, Vector, sign_vector

RANDOM = np.random.default_rng(1)
HERE = sign_vector(RANDOM)


@pytest.fixture
def cache(library: Library) -> SearchCache:
    """For ten answers."""
    library.queries = {"here": HERE, "there": sign_vector(RANDOM)}
    return SearchCache(library.database, 10)


def ask(cache: SearchCache, library: Library, query: str = "here", **asked: Any) -> Any:
    given = {"collection": "knowledge", "limit": 10, "session": None, "filters": None, "agent": "me"} | asked
    return cache.search(library.searcher.search, query, **given)  # type: ignore[arg-type]


def texts(result: Any) -> list[str]:
    return [hit.text for hit in result.hits]


def test_the_same_question_is_answered_once(cache: SearchCache, library: Library) -> None:
    """The same answer, seconds apart; what the caller does to it stays with the caller."""
    library.publish({"a.md": [Part("a", HERE)]}, attributes={"tags": ["x"]})
    first = ask(cache, library)
    first.hits[0].attributes["tags"].append("mine")
    first.hits.clear()
    again = ask(cache, library, agent="somebody else")
    assert cache.results.hits == 1
    assert (texts(again), again.hits[0].attributes) == (["a"], {"tags": ["x"]})
    assert again.to_dict() | {"seconds": 0} == ask(cache, library).to_dict() | {"seconds": 0}


def test_other_questions_are_others(cache: SearchCache, library: Library) -> None:
    """Query, limit, position, mode and filters; filters that mean the same are the same."""
    library.publish({"a.md": [Part("a", HERE)], "b.md": [Part("b", HERE)]}, attributes={"n": 1})
    library.publish({"a.md": [Part("c", HERE)]})
    for asked in (
        {},
        {"query": "there"},
        {"limit": 1},
        {"as_of": 1},
        {"as_of": 2},
        {"filters": {"n": 1}},
        {"filters": {"n": True}},
    ):
        fresh = library.searcher.search(**({"query": "here", "collection": "knowledge"} | asked))
        assert texts(ask(cache, library, **asked)) == texts(fresh)
    assert (cache.results.hits, len(cache.results)) == (0, 7)
    ask(cache, library, filters="n = 1")
    assert cache.results.hits == 1


def test_whatever_changes_what_is_seen_is_seen(cache: SearchCache, library: Library) -> None:
    """A publish, a rollback, its redo, and a tombstone: the answer is the new one at once, and the old one again when it is true."""
    library.publish({"a.md": [Part("one", HERE)]})
    assert texts(ask(cache, library)) == ["one"]
    second = library.publish({"a.md": [Part("two", HERE)]})
    assert texts(ask(cache, library)) == ["two"]
    rollback = library.control("rollback", {second: False})
    assert texts(ask(cache, library)) == ["one"]
    library.control("redo", {rollback: False})
    assert texts(ask(cache, library)) == ["two"]
    library.publish({"a.md": None})
    assert texts(ask(cache, library)) == []
    assert cache.results.hits == 0


def test_a_session_is_never_answered_from_memory(cache: SearchCache, library: Library) -> None:
    """It sees what is open, and what it is shown is recorded each time."""
    library.publish({"a.md": [Part("one", HERE)]})
    assert texts(ask(cache, library)) == ["one"]
    operation = library.open(session="s")
    for text in ("draft", "better draft"):
        library.write(operation, {f"{text}.md": [Part(text, HERE)]})
        assert text in texts(ask(cache, library, session="s"))
    assert texts(ask(cache, library)) == ["one"]
    with library.database.transaction() as connection:
        row = connection.execute("SELECT count(*) AS n FROM session_search").fetchone()
    assert row is not None
    assert row["n"] == 2


def test_no_answer_is_older_than_the_question(cache: SearchCache, library: Library) -> None:
    """While one thread publishes and takes back, what four others are told is what was seen at the position it names, and
    that is no earlier than the log stood when they asked.
    """
    library.publish({"a.md": [Part("0", HERE)]})
    told: list[tuple[int, int, list[str]]] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def look() -> None:
        try:
            while not stop.is_set():
                before = library.log.position()
                result = ask(cache, library)
                told.append((before, result.position, texts(result)))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 25):
            operation = library.publish({"a.md": [Part(f"{number}", HERE)]})
            if number % 3 == 0:
                library.control("rollback", {operation: False})
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert all(position >= before for before, position, _ in told)
    seen = {position: texts(library.search(HERE, as_of=position)) for position in {position for _, position, _ in told}}
    assert [found for _, position, found in told] == [seen[position] for _, position, _ in told]


def test_it_is_bounded(cache: SearchCache, library: Library) -> None:
    """By number; what was asked for longest ago goes first; large answers and long questions aren't kept."""
    library.publish({"a.md": [Part(f"a {i}", sign_vector(RANDOM)) for i in range(MOST_HITS + 1)]})
    for limit in range(1, 21):
        ask(cache, library, limit=limit)
    assert len(cache.results) == 10
    ask(cache, library, limit=11)
    assert cache.results.hits == 1
    ask(cache, library, limit=5)
    assert cache.results.hits == 1
    before = list(cache.results._values)
    assert len(ask(cache, library, limit=200).hits) == MOST_HITS + 1
    library.queries["x" * 3000] = HERE
    ask(cache, library, "x" * 3000)
    assert list(cache.results._values) == before


def test_of_nothing_nothing_is_kept(library: Library) -> None:
    """A size of 0 turns it off."""
    library.queries["here"] = HERE
    library.publish({"a.md": [Part("a", HERE)]})
    cache = SearchCache(library.database, 0)
    assert texts(ask(cache, library)) == texts(ask(cache, library)) == ["a"]
    assert len(cache.results) == 0


def test_a_text_is_embedded_once() -> None:
    """Its vector can't be changed; beyond the bound the oldest is forgotten; without a size, each time anew."""
    counted: Counter[str] = Counter()

    def embed(text: str) -> Vector:
        counted[text] += 1
        return np.full(3, len(text), dtype=np.float32)

    remembered = SearchCache(None, 1).embedding(embed)  # type: ignore[arg-type]
    assert remembered("a") is remembered("a")
    with pytest.raises(ValueError, match="read-only"):
        remembered("a")[0] = 5
    for text in "bcde":
        remembered(text)
    remembered("a")
    assert counted["a"] == 2
    bare = SearchCache(None, 0).embedding(embed)  # type: ignore[arg-type]
    bare("z"), bare("z")
    assert counted["z"] == 2
    assert Recent[int](1).get("nothing") is None
