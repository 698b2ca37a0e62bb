"""Views of the keyword index made of the ones before them, and searches that trust what was seen last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recant.errors import PastHorizon, UsageError
from recant.oplog import Attribution
from recant.search import keyword_reader
from recant.search.keyword_reader import KeywordReader
from recant.search.keyword_view import View
from recant.search.scope import read_scope
from recant.search.searcher import Searcher
from recant.settings import read_settings
from recant.storage import Storage
from recant.store import Connection, Database
from tests.integration.search.keyword_library import KeywordLibrary
from tests.integration.search.test_keyword_histories import SLOW, History, steps

QUERY = "fig plum"


@pytest.fixture
def library(database: str) -> Iterator[KeywordLibrary]:
    with Database(database) as opened:
        yield KeywordLibrary(opened)


def view_of(reader: KeywordReader, connection: Connection, name: str) -> View:
    return reader.view(connection, read_scope(connection, name, as_of=None, session=None))


def seen(view: View) -> dict[str, Any]:
    """All that a view says; by document, since segments in memory have other keys in each process."""
    chunks = {
        (int(operation), int(record), place): (float(length), part.key > 0 and part.key)
        for part in view.parts
        for operation, record, start, end in zip(
            part.header.operations, part.header.records, part.header.starts, part.header.starts[1:], strict=False
        )
        for place, length in enumerate(part.lengths[start:end])
        if length < float("inf")
    }
    totals = sum(part.seen_chunks for part in view.parts), sum(part.seen_terms for part in view.parts)
    return {
        "chunks": chunks, "count": view.chunks, "average": view.average_length, "languages": view.languages,
        "totals": totals, "heads": list(zip(view.heads.records.tolist(), view.heads.operations.tolist(), strict=True)),
        "shortest": sorted(part.shortest for part in view.parts if part.key > 0),
    }  # fmt: skip


@settings(max_examples=10, deadline=None, suppress_health_check=SLOW)
@given(history=st.lists(steps, min_size=2, max_size=14), most=st.sampled_from([0, 2, 1_000]))
def test_a_view_made_of_the_one_before_is_that_made_of_nothing(
    database: str, history: list[tuple[Any, ...]], most: int
) -> None:
    """After each step of any history: publishes, verdicts, merges, erasures; also where too much has changed for it."""
    before = keyword_reader.LEAST_CHANGES
    keyword_reader.LEAST_CHANGES = most
    try:
        with Database(database) as opened:
            taken, reader = History(opened), KeywordReader()
            for step in history:
                taken.take(step)
                with opened.snapshot() as connection:
                    kept = view_of(reader, connection, taken.library.name)
                    anew = view_of(KeywordReader(), connection, taken.library.name)
                assert seen(kept) == seen(anew)
                for part in kept.parts:
                    assert part.seen is None or (part.lengths < float("inf")).tolist() == part.seen.tolist()
    finally:
        keyword_reader.LEAST_CHANGES = before


@pytest.fixture
def shelf(library: KeywordLibrary) -> KeywordLibrary:
    """Eight documents, of an operation each; what is seen of them is remembered."""
    for number in range(8):
        library.add({f"d{number}": [f"fig {'plum ' * number}leaf", "pear tree"]})
    library.found(QUERY)
    library.found(QUERY)
    return library


def snapshots(shelf: KeywordLibrary, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes each snapshot that a search takes."""
    taken: list[str] = []
    original = Searcher._snapshot

    def noted(self: Searcher, *given: Any) -> Any:
        taken.append(given[0])
        return original(self, *given)

    monkeypatch.setattr(Searcher, "_snapshot", noted)
    return taken


def test_a_search_needs_no_snapshot_while_nothing_happens(
    shelf: KeywordLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement tells that all is as it was; also as of a position, in a session, by a filter, and for no hits."""
    taken = snapshots(shelf, monkeypatch)
    answer, position = shelf.found(QUERY), shelf.log.position()
    assert [shelf.found(QUERY), shelf.found("nothing has thiswordatall")] == [answer, []]
    assert taken == []
    for options in ({"as_of": position - 3}, {"session": "s"}):
        assert shelf.found(QUERY, **options) == shelf.found(QUERY, **options)
    assert len(taken) == 2
    assert [source for source, *_ in shelf.found(QUERY, filters={"source": "d3"})] == ["d3"]
    assert len(taken) == 2


@pytest.mark.parametrize("what", ["publish", "rollback", "narrow", "merge", "open"])
def test_what_happened_since_is_noticed(shelf: KeywordLibrary, what: str) -> None:
    """The answer is that of a process that has seen nothing before."""
    operation = shelf.log.position()
    asked: dict[str, Any] = {"session": "s"} if what == "open" else {}
    before = shelf.found(QUERY, **asked), shelf.found(QUERY, **asked)
    if what == "publish":
        shelf.add({"d8": ["fig plum plum"]})
    elif what == "rollback":
        shelf.control("rollback", [operation])
    elif what == "narrow":
        shelf.control("rollback", [], pairs=[(operation, shelf.record_ids()["d7"])])
    elif what == "merge":
        assert shelf.index.tend("library")[0].merged
    else:
        shelf.put(shelf.open(session="s", last_wins=True), {"d8": ["fig plum plum"]}, indexed=True)
    after = shelf.found(QUERY, **asked)
    assert after == KeywordLibrary(shelf.database).found(QUERY, **asked)
    assert (after == before[0] == before[1]) == (what == "merge")


def test_more_than_one_look_takes_a_snapshot(shelf: KeywordLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal texts, of which one is shown, and a phrase may need more candidates than one statement has read."""
    taken = snapshots(shelf, monkeypatch)
    shelf.add({f"same{n}": ["fig fig plum"] for n in range(40)})
    assert shelf.find(QUERY, limit=3).hits[0].text
    taken.clear()
    assert len({hit.text for hit in shelf.find(QUERY, limit=3).hits}) == 3
    assert taken == ["library"]
    with pytest.raises(UsageError, match="only says what not to find"):
        shelf.found("-fig")


def test_a_position_that_was_reclaimed_meanwhile_is_refused_as_ever(shelf: KeywordLibrary) -> None:
    """However often it was answered before; one that isn't there yet, too."""
    shelf.add({"d0": ["fig"]})
    position = shelf.log.position()
    first = shelf.found(QUERY, as_of=2)
    assert shelf.found(QUERY, as_of=2) == first
    Storage(shelf.database, read_settings({})).reclaim(Attribution("tester", message="old"), horizon=position)
    for asked, error in ((2, PastHorizon), (position + 99, UsageError)):
        with pytest.raises(error):
            shelf.found(QUERY, as_of=asked)
