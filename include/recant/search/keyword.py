"""Keyword search in one scope: the query's words looked up, scored, and settled against filters, phrases and quality."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recant.errors import UsageError
from recant.search.bm25 import Mask, Ranked, WeighedTerm, rank_chunks
from recant.search.corrections import corrections
from recant.search.highlights import Span, highlights, initials_of
from recant.search.keyword_reader import KeywordReader, filtered_masks
from recant.search.keyword_view import View
from recant.search.nearest import Neighbourhood, documents_joined
from recant.search.prompt import Last, Moved
from recant.search.query import Query, Word, parse
from recant.search.ranking import NEUTRAL_QUALITY, quality_multiplier
from recant.search.scope import Scope
from recant.search.segments import Posting
from recant.search.tokens import Hash, terms
from recant.store import Connection, Row, load

FIRST_CANDIDATES = 6
"""Looked at beyond those that are wanted."""
LAZY_CANDIDATES = 1_024
"""So many are held against a filter one by one; where that isn't enough, all that pass it are looked up."""
GROWTH = 4
_SQL = load(__package__, "keyword.sql")
_SEARCH_SQL = load(__package__, "search.sql")


@dataclass(frozen=True, slots=True)
class Found:
    """The best chunks by keyword."""

    rows: list[tuple[float, Row]]
    """Scores and what hits show, best first, one for each embedding."""
    query: Query
    looked_up: frozenset[Hash]
    """The terms, for highlights."""
    corrected: dict[str, str]
    """Words that no chunk has, and what was looked for instead."""
    weighed: Sequence[WeighedTerm] = ()
    """The words with where they occur."""


@dataclass(slots=True)
class KeywordSearch:
    """Keyword searches in one scope and one snapshot, with one set of filters."""

    around: Neighbourhood
    """The connection, the scope, and what filters leave."""
    reader: KeywordReader
    last: Last | None = None
    """Instead of a snapshot: what was seen last, and may be seen no more."""
    _view: View | None = None

    @property
    def connection(self) -> Connection:
        """That of the snapshot that answers."""
        return self.around.connection

    @property
    def scope(self) -> Scope:
        """Where the words are looked for."""
        return self.around.scope

    @property
    def view(self) -> View:
        """What the scope sees."""
        if self._view is None and self.last is not None:
            self._view = self.last.view
        if self._view is None:
            self._view = self.reader.view(self.connection, self.scope)
        return self._view

    def excludes(self, query: Query, row: Row) -> bool:
        """Whether a chunk that was found otherwise is none for this query."""
        if query.reads_text and not query.admits(fields_of(row)):
            return True
        if not query.excluded:
            return False
        language = self.view.language_of(row["operation_id"], row["document_id"])
        has = {term for text in fields_of(row) for term in terms(text, language)}
        return any(all(not has.isdisjoint(alternatives) for alternatives in group) for group in query.excluded)

    def spans(self, rows: Sequence[tuple[float, Row]], found: Found) -> list[tuple[Span, ...]]:
        """Where in each hit's text the words stand."""
        spoken = [self.view.language_of(row["operation_id"], row["document_id"]) for _, row in rows]
        initials = {of: initials_of([word.text for word in found.query.words], of) for of in set(spoken)}
        return [
            highlights(row["text"], found.looked_up, language, initials[language])
            for language, (_, row) in zip(spoken, rows, strict=True)
        ]

    def search(self, text: str, limit: int, *, shown: bool = True) -> Found:
        """The best `limit` chunks that have any of the words, all of the phrases, and nothing that is excluded.

        Rows may be without what a hit shows where that isn't asked for (`complete`).
        Raises UsageError when there is only what is excluded.
        """
        query = parse(text, self.view.languages)
        if not query.words and (query.excluded or query.excluded_phrases):
            raise UsageError(f"{text!r} only says what not to find: add a word to look for")
        found = self._postings(query)
        query, corrected = self._corrected(query, found)
        weighed = [WeighedTerm(self._frequency(word, found), self._by_part(word, found)) for word in query.words]
        allowed = self._allowed(query, found)
        rows = self._settled(query, weighed, allowed, limit, shown or query.reads_text)
        looked_up = frozenset(term for word in query.words for term in word.alternatives)
        return Found(rows, query, looked_up, corrected, weighed)

    def _postings(self, query: Query) -> dict[Hash, list[Posting]]:
        wanted = [term for word in query.words for term in word.alternatives]
        wanted += [term for group in query.excluded for alternatives in group for term in alternatives]
        return self.reader.postings(self.connection, self.view, wanted)

    def _corrected(self, query: Query, found: dict[Hash, list[Posting]]) -> tuple[Query, dict[str, str]]:
        """Words outside of phrases that no chunk has are looked for as the likeliest word that one has."""
        phrased = {word for phrase in query.phrases for word in phrase}
        corrected = {}
        words = list(query.words)
        for place, word in enumerate(words):
            if word.common or word.text in phrased or self._frequency(word, found):
                continue
            better = corrections(word.text, self.view.languages, lambda many: self._frequencies(many, found))
            if better is not None:
                corrected[word.text] = better.text
                words[place] = better
        return (replace(query, words=tuple(words)) if corrected else query), corrected

    def _frequencies(self, words: Sequence[Word], found: dict[Hash, list[Posting]]) -> list[int]:
        unknown = {term for word in words for term in word.alternatives} - found.keys()
        found |= self.reader.postings(self.connection, self.view, unknown)
        return [self._frequency(word, found) for word in words]

    def _frequency(self, word: Word, found: dict[Hash, list[Posting]]) -> int:
        return sum(self.view.frequency(term, found[term]) for term in word.alternatives)

    def _by_part(self, word: Word, found: dict[Hash, list[Posting]]) -> list[list[Posting]]:
        return [[found[term][number] for term in word.alternatives] for number in range(len(self.view.parts))]

    def _allowed(self, query: Query, found: dict[Hash, list[Posting]]) -> list[Mask | None]:
        """Without what is excluded, and with all words of the phrases, as far as terms tell."""
        parts = self.view.parts
        allowed: list[Mask | None] = [None] * len(parts)
        phrased = {word for phrase in query.phrases for word in phrase}
        needed = [word.alternatives for word in query.words if word.text in phrased and not word.common]
        for number, part in enumerate(parts):
            size = part.header.chunks
            for alternatives in needed:
                allowed[number] = _both(allowed[number], _having(size, alternatives, found, number))
            for group in query.excluded:
                having: Mask | None = None
                for alternatives in group:
                    having = _both(having, _having(size, alternatives, found, number))
                if having is not None:
                    allowed[number] = _both(allowed[number], ~having)
        return allowed

    def _settled(
        self, query: Query, weighed: Sequence[WeighedTerm], allowed: list[Mask | None], limit: int, shown: bool
    ) -> list[tuple[float, Row]]:
        """More and more candidates, until none that is left out could be among the best."""
        count, filtered, view = limit + FIRST_CANDIDATES, not self.around.filters, self.view
        while True:
            if count > LAZY_CANDIDATES and not filtered:
                if self.last is not None:
                    raise Moved
                masks = filtered_masks(self.around, self.view)
                allowed, filtered = [_both(mask, new) for mask, new in zip(allowed, masks, strict=True)], True
            ranked = rank_chunks(view.parts, view.chunks, view.average_length, weighed, allowed, count)
            best = _distinct(self._candidates(query, ranked, shown))
            if ranked.complete or self._is_settled(best, ranked, limit):
                return best[:limit]
            count *= GROWTH

    def _candidates(self, query: Query, ranked: Ranked, shown: bool) -> Iterator[tuple[float, Row]]:
        chunks = (ranked.operations.tolist(), ranked.records.tolist(), ranked.places.tolist())
        for row in self._rows(*chunks, filters=self.around.filters, shown=shown):
            if query.reads_text and not query.admits(fields_of(row)):
                continue
            quality = row["quality"] if self.scope.has_quality else None
            yield float(ranked.scores[row["number"] - 1]) * quality_multiplier(quality), row

    def complete(self, rows: Sequence[tuple[float, Row]]) -> list[tuple[float, Row]]:
        """The same with what hits show, where that is missing."""
        bare = [row for _, row in rows if "text" not in row]
        chunks = ([row[name] for row in bare] for name in ("operation_id", "document_id", "index"))
        full = {row["chunk_id"]: row for row in self._rows(*chunks, filters="", shown=True)} if bare else {}
        return [(score, full.get(row["chunk_id"], row)) for score, row in rows]

    def _rows(
        self, operations: list[int], records: list[int], places: list[int], *, filters: str, shown: bool
    ) -> Iterable[Row]:
        given: dict[str, Any] = {"operations": operations, "records": records, "places": places}
        quality = _SEARCH_SQL[f"quality_{self.scope.quality}"]
        statement = _SQL["read_candidates"].format(
            filters=filters,
            quality=quality,
            place=self.scope.in_space("place"),
            documents=documents_joined(filters),
            shown=_SQL["shown"] if shown else "",
            shown_from="\n" + _SQL["shown_from"] if shown else "",
        )
        given = self.around.parameters | given
        if self.last is not None:
            return self.last.rows(self.connection, statement, given)
        return self.connection.cursor(binary=True).execute(statement, given, prepare=True)

    def _is_settled(self, best: Sequence[tuple[float, Row]], ranked: Ranked, limit: int) -> bool:
        highest = max(self.scope.highest_quality, NEUTRAL_QUALITY) if self.scope.has_quality else None
        most = float(ranked.scores[-1]) * quality_multiplier(highest)
        if len(best) < limit:
            return False
        return best[limit - 1][0] > most or (not self.scope.has_quality and best[limit - 1][0] >= most)


def fields_of(row: Row) -> list[str]:
    """The texts of a chunk that phrases are looked for in."""
    return [row["title"] or "", *row["parent_headers"], row["text"]]


def _distinct(candidates: Iterator[tuple[float, Row]]) -> list[tuple[float, Row]]:
    """Best first, of chunks with the same text and headings the best one. Sorting is stable: ties stay as they were."""
    best: dict[int, tuple[float, Row]] = {}
    for score, row in sorted(candidates, key=lambda pair: -pair[0]):
        best.setdefault(row["embedding_id"], (score, row))
    return list(best.values())


def _having(size: int, alternatives: Sequence[Hash], found: dict[Hash, list[Posting]], number: int) -> Mask:
    mask = np.zeros(size, np.bool_)
    for term in alternatives:
        mask[found[term][number][0]] = True
    return mask


def _both(mask: Mask | None, other: Mask) -> Mask:
    return other if mask is None else mask & other
