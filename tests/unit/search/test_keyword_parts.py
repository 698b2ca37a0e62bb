"""What keyword search is made of, without a database: tokens, queries, segments, corrections, fusion, highlights."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recant.search import segments
from recant.search.corrections import corrections, slips
from recant.search.fusion import Fusion
from recant.search.highlights import MAX_SPANS, highlights, initials_of
from recant.search.keyword_reader import Cache
from recant.search.query import MAX_WORDS, parse
from recant.search.segments import Header, Passage, build, by_key, merge, postings, read_terms, tokenise
from recant.search.tokens import (
    LATIN_LANGUAGES,
    LONGEST_TOKEN,
    TOKEN,
    contains_phrase,
    language_of,
    phrase_words,
    split_token,
    term_hash,
    terms,
    token_terms,
    tokens,
    word_terms,
)


@pytest.mark.parametrize(
    ("token", "identifier", "words"),
    [
        ("snake_case", "snake_case", ["snake", "case"]), ("HTTPServer", "httpserver", ["http", "server"]),
        ("numpy.linalg.norm", "numpy.linalg.norm", ["numpy", "linalg", "norm"]), ("README", None, ["readme"]),
        ("foo.bar_baz", "foo.bar_baz", ["foo", "bar", "baz", "bar_baz"]), ("Word", None, ["word"]),
        ("BM25", "bm25", ["bm", "25"]), ("x", None, ["x"]), ("Ünïcode", None, ["ünïcode"]), ("a" * 200, "a" * 200, []),
    ],
)  # fmt: skip
def test_identifiers_are_kept_and_taken_apart(token: str, identifier: str | None, words: list[str]) -> None:
    """Plain words are no identifiers; what is very long has no parts."""
    assert split_token(token) == (identifier, words)


def test_words_are_stemmed_in_their_language() -> None:
    """Inflections of one language meet, equal spellings of two languages don't; numbers and identifiers are of none."""
    assert word_terms("houses", "english") == word_terms("housing", "english") == (term_hash("english", "hous"),)
    assert word_terms("häuser", "german") == word_terms("haus", "german") != word_terms("haus", "english")
    assert word_terms("дома", "english") == word_terms("дом", "german")
    assert word_terms("42", "english") == word_terms("42", "german")
    assert word_terms("the", "english") == ()
    assert token_terms("utf8", "english")[0] == token_terms("utf8", "french")[0]
    assert terms("café", "french") == terms("cafe", "french")


def test_writing_without_spaces_is_cut_into_pairs() -> None:
    """So that any part of two characters is found; Latin letters between are words."""
    assert word_terms("東京都", "english") == word_terms("東京", "english") + word_terms("京都", "english")
    assert term_hash("english", "text") in word_terms("日本語text", "english")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("the cat is on the mat", "english"), ("der Hund ist nicht auf der Straße und er schläft", "german"),
        ("le chat est dans la maison avec une souris", "french"), ("el gato no está en la casa con un perro", "spanish"),
        ("def main(): return 1", "english"), ("", "english"),
    ],
)  # fmt: skip
def test_a_text_s_language_is_told_by_its_stop_words(text: str, language: str) -> None:
    """English where there is little to tell by."""
    assert language_of([text]) == language


@given(st.text(max_size=300))
def test_any_text_has_terms(text: str) -> None:
    """Whatever it is; each is of 62 bits, and a text's terms don't depend on what was read before."""
    found = terms(text, "english")
    assert all(0 <= term < 2**62 for term in found)
    assert terms(text, "english") == found
    assert parse(text, ("english", "german")).plain is not None


def test_signs_of_a_query() -> None:
    """Phrases, exclusions and what is left for an embedding."""
    query = parse('fast "exact phrase" -slow -"not this" well-known', ("english",))
    assert query.plain == "fast exact phrase well-known"
    assert query.phrases == (("exact", "phrase"),)
    assert query.excluded == ((word_terms("slow", "english"),),)
    assert query.excluded_phrases == (("not", "this"),)
    assert [word.text for word in query.words] == ["fast", "exact", "phrase", "well", "known"]
    assert parse("a plain question?", ("english",)).plain == "a plain question?"
    assert len(parse("word " * 500, ("english",)).words) == MAX_WORDS
    assert parse("house", ("english", "german")).words[0].alternatives == (
        *word_terms("house", "english"), *word_terms("house", "german"),
    )  # fmt: skip
    assert [parse("die", ("english", "german")).words[0].common, parse("die", ("english",)).words[0].common] == [
        True,
        False,
    ]


def test_phrases_are_words_in_a_row() -> None:
    """Folded, not stemmed; where there are no spaces, character by character."""
    words = phrase_words("The Quick brown FOX")
    assert contains_phrase(words, ["quick", "brown"])
    assert not contains_phrase(words, ["quick", "fox"])
    assert contains_phrase(words, [])
    assert contains_phrase(phrase_words("私は東京に住む"), phrase_words("東京に"))


documents = st.lists(
    st.lists(st.lists(st.sampled_from("fig plum pear kiwi snake_case".split()), max_size=8).map(" ".join), min_size=1, max_size=5),
    min_size=1, max_size=6,
)  # fmt: skip


@given(documents, st.lists(st.booleans(), min_size=6, max_size=6))
def test_a_segment_says_what_was_put_in(texts: list[list[str]], kept: list[bool]) -> None:
    """Stored and read again, and after a merge that leaves some documents out."""
    segments_before = segments.FREQUENT_CHUNKS, segments.BUCKET_BYTES
    segments.FREQUENT_CHUNKS, segments.BUCKET_BYTES = 3, 64
    try:
        rows = [(7, number, tokenise(None, [Passage((), text) for text in of])) for number, of in enumerate(texts)]
        assert _counts(build(rows)) == _counted(texts)
        stored = _stored(build(rows))
        keep = np.array(kept[: len(texts)])
        merged = merge([stored, stored], [keep, ~keep])
        assert merged is not None
        chosen = [of for of, k in zip(texts, kept, strict=False) if k] + [
            of for of, k in zip(texts, kept, strict=False) if not k
        ]
        assert _counts(merged) == _counted(chosen)
        assert merge([stored], [np.zeros(len(texts), np.bool_)]) is None
    finally:
        segments.FREQUENT_CHUNKS, segments.BUCKET_BYTES = segments_before


def _stored(segment: segments.Segment) -> tuple[Header, segments.Terms]:
    header = segment.header
    again = Header.from_bytes(header.documents_bytes(), header.lengths.astype("<u4").tobytes(), header.languages)
    rows = dict(postings(segment, segment.bucket_bits))
    for term in {*segment.terms.hashes.tolist(), 12345}:
        own = segments.find_in_memory(segment, term)
        bucket = rows.get(segments.bucket_key(term, segment.bucket_bits))
        read = segments.read_frequent(rows[term]) if term in rows else segments.NOWHERE
        if term not in rows and bucket:
            read = segments.find_in_bucket(bucket, term)
        assert [read[0].tolist(), read[1].tolist()] == [own[0].tolist(), own[1].tolist()]
    return again, read_terms(by_key({"key": key, "data": data} for key, data in rows.items()))


def _counts(segment: segments.Segment) -> Counter[tuple[int, int]]:
    of = segment.terms
    return Counter(
        {(h, s): c for h, s, c in zip(of.hashes.tolist(), of.slots.tolist(), of.counts.tolist(), strict=True)}
    )


def _counted(texts: list[list[str]]) -> Counter[tuple[int, int]]:
    chunks = [text for of in texts for text in of]
    return Counter((term, slot) for slot, text in enumerate(chunks) for term in terms(text, "english"))


def test_slips_reach_every_neighbour() -> None:
    """One letter left out, added, changed or swapped; not for short words, and not where nothing is near."""
    assert {"serch", "seearch", "saarch", "saerch", "esarch"} <= set(slips("search"))
    assert {"дерево"} <= set(slips("дерево"[:-1] + "а"))

    def frequencies(words: list[object]) -> list[int]:
        return [{"search": 3, "starch": 9}.get(word.text, 0) for word in words]  # type: ignore[attr-defined]

    best = corrections("sarch", ("english",), frequencies)
    assert best is not None
    assert best.text == "starch"
    assert corrections("serach", ("english",), frequencies).text == "search"  # type: ignore[union-attr]
    assert corrections("fig", ("english",), lambda words: [1] * len(words)) is None
    assert corrections("quicksilver", ("english",), lambda words: [0] * len(words)) is None


def _row(embedding: int) -> dict[str, int]:
    return {"embedding_id": embedding, "chunk_id": embedding}


def test_fusion_by_scores_and_by_ranks() -> None:
    """By the formulas; what one side hasn't found counts nothing there, and a score below zero nothing at all."""
    dense = [(0.8, _row(1)), (0.4, _row(2)), (-0.5, _row(3))]
    words = [(10.0, _row(2)), (5.0, _row(4))]
    assert [(row["chunk_id"], round(score, 6)) for score, row in Fusion(semantic_weight=0.5).fuse(dense, words, 3)] == [
        (2, 0.75), (1, 0.5), (4, 0.25),
    ]  # fmt: skip
    by_rank = Fusion("rrf", 0.25).fuse(dense, words, 1)
    assert by_rank[0][1]["chunk_id"] == 2
    assert by_rank[0][0] == pytest.approx(0.25 / 62 + 0.75 / 61)
    assert Fusion().fuse([], [], 5) == []


def test_highlights_are_bounded() -> None:
    """Many words of one text, or none."""
    assert highlights("fig " * 500, frozenset(terms("figs", "english")), "english", None)[-1] == (
        4 * MAX_SPANS - 4,
        4 * MAX_SPANS - 1,
    )
    assert highlights("fig", frozenset(), "english", None) == ()


def test_long_tokens_are_not_remembered() -> None:
    """Encoded data would fill the memory."""
    assert terms("x" * (LONGEST_TOKEN + 1), "english") == terms("X" * (LONGEST_TOKEN + 1), "english")


def test_a_cache_keeps_what_was_used_last() -> None:
    """Up to its size; something too large stays until the next comes."""
    cache: Cache[str, bytes] = Cache(10, len)
    cache.put("a", b"1234")
    cache.put("b", b"1234")
    assert cache.get("a") == b"1234"
    cache.put("c", b"1234")
    assert [cache.get(key) for key in "abc"] == [b"1234", None, b"1234"]
    cache.put("d", b"x" * 50)
    assert [cache.get(key) is None for key in "acd"] == [True, True, False]


texts_of_words = st.lists(st.from_regex(r"[A-Za-zäéøßç_.0-9]{1,9}", fullmatch=True), max_size=12).map(" ".join)


@given(texts_of_words, texts_of_words, st.sampled_from(LATIN_LANGUAGES))
def test_initials_leave_out_nothing_that_is_highlighted(text: str, query: str, language: str) -> None:
    """In no language a plain word has the terms of one that begins otherwise; where a stemmer cuts beginnings, all are asked."""
    words = [word.text for word in parse(query, (language,)).words]
    looked_up = frozenset(term for word in parse(query, (language,)).words for term in word.alternatives)
    every = highlights(f"{text} {query}", looked_up, language, None)
    assert highlights(f"{text} {query}", looked_up, language, initials_of(words, language)) == every
    found = [
        (m.start(), m.end()) for m in TOKEN.finditer(f"{text} {query}") if looked_up & set(token_terms(m[0], language))
    ]
    assert list(every) == found[:MAX_SPANS]


@given(st.text(alphabet="ab._ -\n1A.é", max_size=30))
def test_ascii_is_cut_as_everything_is(text: str) -> None:
    """By a quicker way."""
    assert tokens(text) == TOKEN.findall(text)
