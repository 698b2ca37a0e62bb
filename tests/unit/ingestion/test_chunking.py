"""Chunking: what stays together, what is split and where, and that nothing is lost or too long."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recant.ingestion import Block, Chunk, ParsedDocument, RawDocument, chunk, list_sources, open_documents, parse
from recant.ingestion.splitting import EDGES, Ruler, split

Count = Callable[[str], int]


def count_words(text: str) -> int:
    """A tokenizer that anybody can follow: words, and two special tokens."""
    return len(text.split()) + 2


def count_characters(text: str) -> int:
    return len(text)


def count_unevenly(text: str) -> int:
    """One that finds more in a whole than in its parts."""
    return len(text) // 3 + len(text.split()) ** 2 // 40 + 1


def document(*blocks: Block) -> ParsedDocument:
    return ParsedDocument("s", "o", "markdown", "t", {}, blocks)


def heading(text: str, level: int) -> Block:
    return Block("heading", text, level=level)


def paragraph(text: str) -> Block:
    return Block("paragraph", text)


def words(count: int, name: str = "w") -> str:
    return " ".join(f"{name}{number}" for number in range(count))


def sentences(count: int, length: int = 8, name: str = "w") -> str:
    return " ".join(f"{words(length - 1, f'{name}{number}x')} end." for number in range(count))


def cut(*blocks: Block, count: Count = count_words, max_tokens: int = 60, overlap: int = 0) -> tuple[Chunk, ...]:
    return chunk(document(*blocks), count_tokens=count, max_tokens=max_tokens, overlap_tokens=overlap)


def test_headings_become_parent_headers() -> None:
    """A chunk carries the path of headings above it, outermost first, and is embedded with them."""
    found = cut(
        heading("Guide", 0),
        paragraph("intro"),
        heading("Setup", 2),
        heading("Linux", 3),
        paragraph("apt"),
        heading("Use", 2),
        paragraph("run"),
    )
    paths = [("Guide",), ("Guide", "Setup", "Linux"), ("Guide", "Use")]
    assert [(piece.parent_headers, piece.text) for piece in found] == list(
        zip(paths, ("intro", "apt", "run"), strict=True)
    )
    assert found[1].embedding_text == "Guide > Setup > Linux\napt"
    assert [piece.index for piece in found] == [0, 1, 2]
    assert [piece.token_count for piece in found] == [count_words(piece.embedding_text) for piece in found]


def test_what_stands_under_one_heading_is_packed() -> None:
    """Short blocks of a section share a chunk, whose type is what most of it is."""
    code = Block("code", "pip install thing", language="sh")
    (found,) = cut(heading("Install", 1), paragraph("Do:"), code, paragraph("Done."))
    assert found.text == "Do:\n\npip install thing\n\nDone."
    assert (found.chunk_type, found.attributes) == ("code", {"language": "sh"})


def test_sections_are_not_mixed() -> None:
    """However short they are, texts under different headings are different chunks."""
    assert len(cut(heading("A", 1), paragraph("a"), heading("B", 1), paragraph("b"))) == 2


def test_a_heading_with_nothing_under_it_is_kept_as_text() -> None:
    """An empty section isn't lost: its heading is told in the section around it."""
    found = cut(heading("List", 1), paragraph("of"), heading("one", 2), heading("two", 2))
    assert [(piece.parent_headers, piece.text) for piece in found] == [(("List",), "of\n\none\n\ntwo")]
    (alone,) = cut(heading("Only", 0))
    assert (alone.parent_headers, alone.text) == ((), "Only")


def test_a_long_section_is_split_at_sentences() -> None:
    """A paragraph over the limit is cut between sentences, and each part is as full as it gets."""
    found = cut(heading("A", 1), paragraph(sentences(20)))
    assert all(piece.text.endswith("end.") for piece in found)
    assert all(piece.token_count > 40 for piece in found[:-1])
    assert max(piece.token_count for piece in found) <= 60


def test_consecutive_text_chunks_overlap() -> None:
    """The second of two text chunks in a section begins with the last sentences of the first."""
    first, second, *_ = cut(heading("A", 1), paragraph(sentences(20)), overlap=20)
    last = re.split(r"(?<=\.) ", first.text)[-2:]
    assert second.text.startswith(" ".join(last))
    assert second.token_count <= 60


def test_a_sentence_longer_than_the_overlap_gives_its_last_words() -> None:
    """Where no whole sentence fits, the overlap is words."""
    first, second = cut(paragraph(words(40, "a") + "."), paragraph(words(30, "b") + "."), overlap=5)
    assert first.text.split()[-5:] == second.text.split()[:5]


def test_there_is_no_overlap_between_sections_or_with_code() -> None:
    """Overlap is for running text only."""
    text, code = sentences(6), Block("code", words(40, "c"))
    found = cut(paragraph(text), code, heading("B", 1), paragraph(text), overlap=20)
    assert [piece.text for piece in found] == [text, code.text, text]


@pytest.mark.parametrize("kind", ["code", "table", "list"])
def test_what_fits_a_chunk_of_its_own_is_not_torn(kind: str) -> None:
    """Code, tables and lists that don't fit with their neighbours go whole into the next chunk."""
    block = Block(kind, "\n".join(f"- {words(4, f'x{line}')}" for line in range(10)))
    found = cut(paragraph(sentences(4)), block, paragraph(sentences(4)))
    assert block.text in [piece.text for piece in found]


def test_an_announcement_goes_with_what_it_announces() -> None:
    """A last line that ends with a colon isn't left behind."""
    found = cut(paragraph(sentences(5)), paragraph("Then run this:"), Block("code", words(30, "c")))
    assert [piece.text for piece in found] == [sentences(5), f"Then run this:\n\n{words(30, 'c')}"]


def test_a_long_table_is_split_between_rows_with_its_header() -> None:
    """Each part of a table begins with its header, and no row is torn."""
    rows = [f"| r{number} | {words(4, f'v{number}')} |" for number in range(30)]
    found = cut(Block("table", "\n".join(["| name | value |", *rows]), header_rows=1))
    assert len(found) > 3
    assert [piece.text.split("\n")[0] for piece in found] == ["| name | value |"] * len(found)
    assert [line for piece in found for line in piece.text.split("\n")[1:]] == rows
    assert {piece.chunk_type for piece in found} == {"table"}


def test_a_long_list_is_split_between_items() -> None:
    """A list is cut before an item, never between an item and what is indented under it."""
    items = [f"- {words(5, f'i{number}')}\n  - {words(5, f'j{number}')}" for number in range(20)]
    found = cut(Block("list", "\n".join(items)))
    assert len(found) > 3
    assert all(piece.text.startswith("- i") for piece in found)
    assert "\n".join(piece.text for piece in found) == "\n".join(items)


def test_long_code_is_split_at_blank_lines_before_unindented_ones() -> None:
    """Functions stay whole where they fit, and keep their indentation where they don't."""
    functions = [f"def f{number}():\n    {words(10, f'a{number}')}\n\n    return 1" for number in range(12)]
    found = cut(Block("code", "\n\n".join(functions), language="python"))
    assert all(piece.text.startswith("def ") for piece in found)
    assert "\n\n".join(piece.text for piece in found) == "\n\n".join(functions)
    deep = "\n".join(f"        {words(20, f'b{number}')}" for number in range(10))
    assert all(piece.text.startswith("        b") for piece in cut(Block("code", deep)))


def test_python_definitions_keep_their_own_chunks_and_lines(count_tokens: Count) -> None:
    """A named definition isn't packed with its neighbours; the parts of a long one know their own lines."""
    source = "def small():\n    return 1\n\n\ndef long():\n" + "".join(
        f"    value_{n} = {n} + {n}\n" for n in range(80)
    )
    parsed = parse(RawDocument("a.py", "o", "python", None, source, b"", {}))
    assert isinstance(parsed, ParsedDocument)
    small, *parts = chunk(parsed, count_tokens=count_tokens)
    assert (small.attributes["symbol"], small.attributes["line_start"], small.attributes["line_end"]) == ("small", 1, 2)
    assert len(parts) == 3
    lines = source.split("\n")
    for part in parts:
        start, end = int(str(part.attributes["line_start"])), int(str(part.attributes["line_end"]))
        assert part.text == "\n".join(lines[start - 1 : end])


def test_attributes_of_packed_blocks_are_joined() -> None:
    """A chunk of several blocks spans their lines and pages and has all their links."""
    (found,) = cut(
        Block("paragraph", "a", attributes={"line_start": 1, "line_end": 2, "links": ["x", "y"], "page": 1}),
        Block("paragraph", "b", attributes={"line_start": 4, "line_end": 9, "links": ["y", "z"], "page": 2}),
    )
    assert found.attributes == {"line_start": 1, "line_end": 9, "links": ["x", "y", "z"], "page": 1, "page_end": 2}


def test_long_headings_leave_room_for_the_text() -> None:
    """Headers take a third of a chunk at most; a heading that is cut for it is told once in the text."""
    long = words(50, "h")
    found = cut(heading("Top", 0), heading(long, 1), paragraph(sentences(10)), heading("Next", 2), paragraph("x"))
    assert found[0].parent_headers[0] == "Top"
    assert found[0].parent_headers[1].endswith("…")
    assert found[0].text.startswith(long)
    assert sum(long in piece.text for piece in found) == 1
    assert all(piece.token_count <= 60 for piece in found)


def test_a_deep_path_keeps_its_ends() -> None:
    """Of too many headers the title and the nearest ones stay."""
    path = [heading(words(6, f"h{level}"), level) for level in range(6)]
    found = cut(*path, paragraph("text"))
    assert found[-1].parent_headers[0].startswith("h00")
    assert found[-1].parent_headers[-1].startswith("h50")
    told = " ".join(piece.embedding_text for piece in found)
    assert all(block.text.split()[0] in told for block in path)


def test_a_repeated_heading_is_shown_once() -> None:
    """A heading that says what the one above it says isn't doubled."""
    (found,) = cut(heading("Same", 0), heading("Same", 1), paragraph("text"))
    assert found.parent_headers == ("Same",)


@pytest.mark.parametrize("text", ["x" * 100_000, "漢字" * 2000, "=" * 5000, "é" * 3000, "word " * 20_000])
def test_text_without_edges_is_still_cut(count_tokens: Count, text: str) -> None:
    """A word of a hundred kilobytes is cut between characters, whatever the model makes of it."""
    found = cut(paragraph(text), count=count_tokens, max_tokens=200)
    assert "".join("".join(piece.text for piece in found).split()) == "".join(text.split())
    assert all(piece.token_count <= 200 and len(piece.text) <= 2000 for piece in found)


@pytest.mark.parametrize(("max_tokens", "overlap"), [(23, 0), (60, 21), (60, -1), (0, 0)])
def test_sizes_without_room_for_text_are_refused(max_tokens: int, overlap: int) -> None:
    """Sizes that can't work raise, before anything is cut."""
    with pytest.raises(ValueError, match="max_tokens"):
        cut(paragraph("x"), max_tokens=max_tokens, overlap=overlap)


@pytest.mark.parametrize("kind", ["paragraph", "code", "table", "list", "record"])
def test_a_tokenizer_that_counts_a_whole_higher_than_its_parts_is_obeyed(kind: str) -> None:
    """Where parts that fit don't fit together, they are cut further until what is embedded fits."""

    def grudging(text: str) -> int:
        return len(text.split()) ** 2 // 20

    text = "\n".join(f"{words(9, f'x{line}y')} end." for line in range(30))
    found = cut(heading("A b", 1), Block(kind, text), Block("code", "a b c"), count=grudging, max_tokens=24)
    assert all(piece.token_count == grudging(piece.embedding_text) <= 24 for piece in found)
    assert " ".join(piece.text for piece in found).split() == f"{text} a b c".split()


def test_headers_give_way_where_no_text_fits_beside_them() -> None:
    """A tokenizer for which headers alone fill a chunk gets the text without them."""

    def hostile(text: str) -> int:
        return 100 if "Header" in text and "\n" in text.removesuffix("\n") else len(text)

    found = cut(heading("Header", 1), paragraph("some text"), count=hostile, max_tokens=30)
    assert all(hostile(piece.embedding_text) <= 30 for piece in found)
    assert "sometext" in "".join("".join(piece.text.split()) for piece in found)


texts = st.text(st.sampled_from("abcdefgh  ..\n,é漢-"), min_size=1, max_size=400).filter(lambda text: text.strip())
kinds = st.sampled_from(["heading", "paragraph", "paragraph", "code", "table", "list", "quote", "record"])


@st.composite
def any_block(draw: st.DrawFn) -> Block:
    kind, text = draw(kinds), draw(texts)
    level = draw(st.integers(0, 4)) if kind == "heading" else 0
    header_rows = draw(st.integers(0, 2)) if kind == "table" else 0
    return Block(kind, " ".join(text.split()) if kind == "heading" else text, level=level, header_rows=header_rows)


blocks_lists = st.lists(any_block(), min_size=1, max_size=8)
counters = st.sampled_from([count_words, count_characters, count_unevenly])


@settings(max_examples=300, deadline=None)
@given(blocks_lists, counters, st.integers(24, 120), st.booleans())
def test_nothing_is_lost_and_nothing_too_long(
    blocks: list[Block], count: Count, max_tokens: int, overlapping: bool
) -> None:
    """Whatever the document and the tokenizer, every character is in some chunk and every chunk within the limit."""
    found = cut(*blocks, count=count, max_tokens=max_tokens, overlap=max_tokens // 4 if overlapping else 0)
    assert all(piece.token_count == count(piece.embedding_text) <= max_tokens for piece in found)
    assert all(piece.text.strip() for piece in found)
    told = "".join(piece.embedding_text for piece in found)
    for word in " ".join(block.text for block in blocks).split():
        if count(word) * 3 < max_tokens and len(word) < max_tokens:
            assert word in told, word
    if not overlapping:
        for block in blocks:
            if block.kind not in ("heading", "table"):
                assert "".join(block.text.split()) in "".join("".join(piece.text for piece in found).split())


@settings(max_examples=40, deadline=None)
@given(blocks=blocks_lists)
@example(blocks=[paragraph("aé漢-" * 100), heading("h " * 90, 1), paragraph("x. " * 400)])
def test_nothing_is_lost_as_the_real_model_counts(count_tokens: Count, blocks: list[Block]) -> None:
    """The same, with the embedding model's own tokenizer."""
    found = cut(*blocks, count=count_tokens, max_tokens=48, overlap=12)
    assert all(piece.token_count == count_tokens(piece.embedding_text) <= 48 for piece in found)
    told = "".join(piece.embedding_text for piece in found)
    for word in " ".join(block.text for block in blocks).split():
        if count_tokens(word) < 16:
            assert word in told


@settings(max_examples=30, deadline=None)
@given(blocks_lists)
def test_chunking_is_deterministic(blocks: list[Block]) -> None:
    """The same document gives the same chunks."""
    assert cut(*blocks, overlap=10) == cut(*blocks, overlap=10)


@settings(max_examples=200, deadline=None)
@given(texts, st.sampled_from(sorted(EDGES)), counters, st.integers(1, 30))
def test_the_parts_of_a_split_text_join_to_the_text(text: str, kind: str, count: Count, limit: int) -> None:
    """Splitting only cuts: joined, the parts are the text, and each fits unless it is a single character."""
    ruler = Ruler(count)
    parts = list(split(text, EDGES[kind], limit, ruler))
    assert "".join(part for part, _ in parts) == text
    assert all(size <= limit or len(part) == 1 for part, size in parts)


def test_the_cost_grows_with_the_text_and_not_faster() -> None:
    """Ten times the text has about ten times the characters counted."""
    costs = []
    for size in (200, 2000):
        counted = 0

        def counting(text: str) -> int:
            nonlocal counted
            counted += len(text)
            return count_words(text)

        shuffled = random.Random(7)
        blocks = [
            Block(shuffled.choice(["paragraph", "code", "list"]), sentences(8, name=f"n{n:04}")) for n in range(size)
        ]
        chunk(document(heading("A", 1), *blocks), count_tokens=counting, max_tokens=60, overlap_tokens=10)
        costs.append(counted)
    assert costs[1] < 11 * costs[0]


def test_every_installed_readme_is_chunked_within_the_limit(count_tokens: Count) -> None:
    """The READMEs of whatever is installed here are read without a failure, and at a speed that embedding can't match."""
    items = list_sources(["dist:*"]).items
    raws = [raw for item in items for raw in open_documents(item, max_bytes=10_000_000) if isinstance(raw, RawDocument)]
    documents = [found for raw in raws if isinstance(found := parse(raw), ParsedDocument)]
    began = time.process_time()
    chunks = [piece for found in documents for piece in chunk(found, count_tokens=count_tokens)]
    seconds = time.process_time() - began
    assert len(documents) > 50
    assert not [found.source for found in documents if "parsed_as" in found.attributes]
    assert max(piece.token_count for piece in chunks) <= 200
    assert len(chunks) / seconds > 500
