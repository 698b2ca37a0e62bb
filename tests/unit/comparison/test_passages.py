"""Lines of a document from its chunks: each sentence once, wherever the chunker cut."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from recant.comparison import Passage, document_lines
from recant.comparison.passages import overlap
from recant.ingestion import Block, ParsedDocument, chunk


def sentence(number: int, length: int) -> str:
    return " ".join([f"word{number}x{n}" for n in range(length)]) + "."


def cut(*blocks: Block, max_tokens: int, overlap_tokens: int) -> list[Passage]:
    """The passages that an ingest would store; a word is a token."""
    parsed = ParsedDocument("s", "o", "markdown", "t", {}, blocks)
    chunks = chunk(
        parsed, count_tokens=lambda text: len(text.split()) + 2, max_tokens=max_tokens, overlap_tokens=overlap_tokens
    )
    return [Passage(c.text, c.chunk_type, c.parent_headers) for c in chunks]


PARAGRAPHS = st.lists(st.lists(st.integers(3, 12), min_size=1, max_size=12), min_size=1, max_size=6)


@given(paragraphs=PARAGRAPHS, max_tokens=st.integers(40, 120), overlap_tokens=st.integers(13, 26))
@settings(max_examples=150, deadline=None)
def test_a_sentence_stands_there_once_wherever_it_was_cut(
    paragraphs: list[list[int]], max_tokens: int, overlap_tokens: int
) -> None:
    """Chunks overlap, and paragraphs go on over several; the lines are those of the document, whatever the sizes."""
    numbered = iter(range(10_000))
    texts = [[sentence(next(numbered), length) for length in lengths] for lengths in paragraphs]
    blocks = [Block("heading", "Coffee", level=1), *(Block("paragraph", " ".join(text)) for text in texts)]
    found = document_lines(cut(*blocks, max_tokens=max_tokens, overlap_tokens=min(overlap_tokens, max_tokens // 3)))
    assert [line for line in found if line] == ["# Coffee", *(one for text in texts for one in text)]


def test_prose_is_a_sentence_a_line_and_paragraphs_stand_apart() -> None:
    """So a changed word changes one line."""
    assert document_lines([Passage("One is here. Two is! Is three? Yes\n\nNext e.g. this.")]) == [
        "One is here.",
        "Two is!",
        "Is three?",
        "Yes",
        "",
        "Next e.g.",
        "this.",
    ]


def test_headings_stand_where_they_change() -> None:
    """With the path that leads to them; going back to no heading at all leaves a blank line."""
    passages = [
        Passage("A.", "text", ("Guide",)),
        Passage("B.", "text", ("Guide",)),
        Passage("C.", "text", ("Guide", "Care")),
        Passage("D.", "text", ()),
    ]
    assert document_lines(passages) == ["# Guide", "", "A.", "", "B.", "", "# Guide > Care", "", "C.", "", "D."]


def test_code_and_tables_are_kept_line_by_line() -> None:
    """Nothing of them is taken for an overlap, and their sentences aren't cut."""
    code = [Passage("x = 1. + 2\n}", "code"), Passage("}\n\nreturn. x", "code")]
    assert document_lines(code) == ["x = 1. + 2", "}", "", "}", "", "return. x"]
    assert overlap(Passage("a | b"), Passage("b c", "table")) == (0, False)


def test_only_whole_words_are_taken_for_an_overlap() -> None:
    """A chunk that happens to begin with letters that the one before ended with keeps them."""
    assert overlap(Passage("a bobcat."), Passage("cat. Another.")) == (0, False)
    assert overlap(Passage("It was a cat."), Passage("It was a cat. Another.")) == (14, True)
    assert overlap(Passage("It was a cat."), Passage("It was a cat.\n\nAnother.")) == (15, False)


def test_of_nothing_there_are_no_lines() -> None:
    """A document without chunks, or none at all."""
    assert document_lines([]) == []
    assert document_lines([Passage("")]) == []
