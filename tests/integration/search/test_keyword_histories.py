"""Keyword search against plain BM25 over what is seen, and against collections in which what was withdrawn never was."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recant.oplog import Attribution
from recant.settings import read_settings
from recant.storage import Storage
from recant.store import Database
from tests.integration.search.keyword_library import KeywordLibrary, Texts, bm25

WORDS = ["fig", "plum", "pear", "kiwi", "lime", "melon", "mango", "quinc"]
SOURCES = ["north", "south", "east", "west", "centr"]
QUERIES = ["fig", "plum pear", "kiwi kiwi fig", "melon mango quinc lime"]
NUMBERS = itertools.count()
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]

texts = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join), min_size=1, max_size=4)
writes = st.dictionaries(st.sampled_from(SOURCES), st.one_of(st.none(), texts, texts, texts), min_size=1, max_size=4)
steps = st.one_of(
    st.tuples(st.just("publish"), writes, st.booleans()),
    st.tuples(st.just("publish"), writes, st.booleans()),
    st.tuples(st.just("open"), writes, st.booleans()),
    st.tuples(st.just("merge")),
    st.tuples(st.just("rollback"), st.integers(0, 20)),
    st.tuples(st.just("narrow"), st.integers(0, 20)),
    st.tuples(st.just("redo"), st.integers(0, 20)),
    st.tuples(st.just("erase"), st.sampled_from(SOURCES)),
    st.tuples(st.just("tend")),
)


def marked(documents: dict[str, Texts | None], number: int) -> dict[str, Texts | None]:
    """Every text with a word that says which operation's it is: no stop word, and its own stem."""
    mark = "zq" + "".join("bcdfghjkmn"[int(digit)] for digit in str(number))
    return {s: None if t is None else [f"{text} {mark}" for text in t] for s, t in documents.items()}


class History:
    """Takes steps in a collection of its own, and knows what every operation said."""

    def __init__(self, database: Database) -> None:
        number = next(NUMBERS)
        self.prefix = f"{number}/"
        self.library = KeywordLibrary(database, name=f"history-{number}")
        self.start = self.library.log.position()
        with database.transaction() as connection:  # in one order, whatever the history: ties go by record
            named = [self.prefix + source for source in SOURCES]
            self.library.corpus._records(connection, self.library.collection.id, "document", named)
        self.storage = Storage(database, read_settings({}))
        self.texts: dict[tuple[str, str], Texts] = {}
        self.sources: dict[int, list[str]] = {}
        self.open: list[int] = []
        self.published: list[int] = []
        self.controls: list[int] = []

    def take(self, step: tuple[Any, ...]) -> None:
        getattr(self, f"_{step[0]}")(*step[1:])

    def seen(self, **when: Any) -> dict[str, Texts]:
        """What the obvious way sees, each document with all of its chunks."""
        seen = self.library.view(**when)
        return {source: self.texts[source, text] for source, text in seen.items() if source.startswith(self.prefix)}

    def _write(self, operation: int, documents: dict[str, Texts | None], indexed: bool) -> None:
        documents = self.named(documents, len(self.sources))
        self.texts |= {(source, text): texts for source, texts in documents.items() for text in texts or ()}
        self.sources[operation] = sorted(documents)
        self.library.put(operation, documents, indexed=indexed)

    def named(self, documents: dict[str, Texts | None], number: int) -> dict[str, Texts | None]:
        """Of this collection only, and of one operation."""
        return {f"{self.prefix}{source}": texts for source, texts in marked(documents, number).items()}

    def _known(self, documents: dict[str, Texts | None]) -> dict[str, Texts | None]:
        known = {source.removeprefix(self.prefix) for sources in self.sources.values() for source in sources}
        return {source: texts for source, texts in documents.items() if texts is not None or source in known}

    def _publish(self, documents: dict[str, Texts | None], indexed: bool) -> None:
        if documents := self._known(documents):
            operation = self.library.open(last_wins=True)
            self._write(operation, documents, indexed)
            self.library.log.publish(operation)
            self.published.append(operation)

    def _open(self, documents: dict[str, Texts | None], indexed: bool) -> None:
        if documents := self._known(documents):
            self.open.append(self.library.open(session="s", last_wins=True))
            self._write(self.open[-1], documents, indexed)

    def _merge(self) -> None:
        if self.open:
            self.library.log.publish(*self.open)
            self.published += self.open
            self.open = []

    def _rollback(self, number: int) -> None:
        if self.published:
            self.controls.append(self.library.control("rollback", [self.published[number % len(self.published)]]))

    def _narrow(self, number: int) -> None:
        if self.published:
            operation = self.published[number % len(self.published)]
            sources = self.sources[operation]
            record = self.library.record_ids()[sources[number % len(sources)]]
            self.controls.append(self.library.control("rollback", [], pairs=[(operation, record)]))

    def _redo(self, number: int) -> None:
        if self.controls:
            self.library.control("redo", [self.controls[number % len(self.controls)]])

    def _erase(self, source: str) -> None:
        if self.prefix + source in set().union(*self.sources.values()):
            self.storage.erase(
                self.prefix + source, Attribution("tester", message="because"), collection=self.library.name
            )

    def _tend(self) -> None:
        self.library.index.tend(self.library.name)


@settings(max_examples=8, deadline=None, suppress_health_check=SLOW)
@given(history=st.lists(steps, min_size=1, max_size=10))
def test_scores_are_those_of_plain_bm25_over_what_is_seen(database: str, history: list[tuple[Any, ...]]) -> None:
    """After any history, in any layout of segments: now, in a session, and at every earlier position."""
    with Database(database) as opened:
        taken = History(opened)
        for step in history:
            taken.take(step)
        records = taken.library.record_ids()
        moments: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {}), ({"session": "s"}, {"session": "s"})]
        moments += [({"position": p}, {"as_of": p}) for p in range(taken.start, taken.library.log.position() + 1)]
        for when, asked in moments:
            seen = taken.seen(**when)
            for query in QUERIES:
                assert taken.library.found(query, **asked) == bm25(seen, query.split(), records)


@settings(max_examples=8, deadline=None, suppress_health_check=SLOW)
@given(
    history=st.lists(st.tuples(writes, st.booleans(), st.booleans()), min_size=1, max_size=8),
    layouts=st.tuples(st.booleans(), st.booleans()),
)
def test_what_was_withdrawn_leaves_no_trace(
    database: str, history: list[tuple[dict[str, Texts | None], bool, bool]], layouts: tuple[bool, bool]
) -> None:
    """Results after a rollback, scores and highlights included, are those of a collection in which it never was."""
    with Database(database) as opened:
        withdrawn, pure = History(opened), History(opened)
        there = {s for documents, _, goes in history if not goes for s, t in documents.items() if t is not None}
        for number, (documents, indexed, goes) in enumerate(history):
            documents = {s: t for s, t in documents.items() if t is not None or s in there}
            if documents and not goes:
                pure.library.add(pure.named(documents, number), indexed=not indexed)
            if documents:
                withdrawn.published.append(withdrawn.library.add(withdrawn.named(documents, number), indexed=indexed))
                withdrawn.controls += [withdrawn.published[-1]] if goes else []
        if withdrawn.controls:
            withdrawn.library.control("rollback", withdrawn.controls)
        for side, tended in zip((withdrawn, pure), layouts, strict=True):
            if tended:
                side._tend()
        for query in [*QUERIES, '"fig plum"', "pear -fig", "melom"]:
            assert shown(withdrawn, query) == shown(pure, query)


def shown(side: History, query: str) -> Any:
    """What a result shows, in its order."""
    result = side.library.find(query)
    hits = [(h.score, h.source.removeprefix(side.prefix), h.text, h.title, h.highlights) for h in result.hits]
    return hits, result.corrected
