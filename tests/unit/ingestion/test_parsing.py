"""Parsing: Python, PDF and plain text, and what is made of titles, kinds and summaries."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen import canvas

from recant.ingestion import Block, ParsedDocument, RawDocument, Rejected, parse
from recant.ingestion.readers.pdf import _when

Parse = Callable[..., ParsedDocument]


Open = Callable[..., list[RawDocument | Rejected]]


def shape(document: ParsedDocument) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in document.blocks]


def raw_of(content: str | bytes, kind: str, source: str = "/a", **attributes: str) -> RawDocument:
    return RawDocument(source, "/", kind, None, content, b"", {**attributes})


def text_of(content: str, kind: str) -> ParsedDocument:
    document = parse(raw_of(content, kind))
    assert isinstance(document, ParsedDocument)
    return document


PYTHON = '''#!/usr/bin/env python
"""Does things.

And more.
"""

import os

LIMIT = 3


# About f.
@cache
def f(x):
    """Doc of f."""
    return x


class Thing:
    """A thing."""

    size = 1

    def grow(self):
        self.size += 1

    @property
    async def shrink(self): ...


print(f(1))
'''


def test_python_is_cut_by_definition(parsed: Parse) -> None:
    """Module docstring, functions, class head and methods are blocks with their names and lines."""
    document = parsed("thing.py", PYTHON)
    code = [
        (block.attributes["symbol"], block.attributes["line_start"], block.attributes["line_end"])
        for block in document.blocks
        if block.kind == "code"
    ]
    assert code == [
        ("<module>", 7, 9),
        ("f", 12, 16),
        ("Thing", 19, 22),
        ("Thing.grow", 24, 25),
        ("Thing.shrink", 27, 28),
        ("<module>", 31, 31),
    ]
    lines = PYTHON.split("\n")
    for block in document.blocks:
        if block.kind == "code":
            start, end = int(str(block.attributes["line_start"])), int(str(block.attributes["line_end"]))
            assert block.text == "\n".join(lines[start - 1 : end])
    headings = [(block.level, block.text) for block in document.blocks if block.kind == "heading"]
    assert headings == [(0, "thing.py"), (1, "f"), (1, "Thing")]
    assert (document.title, document.attributes["doc_type"]) == ("thing.py", "code")
    assert document.attributes["summary"] == "Does things."


@pytest.mark.parametrize("content", ["def broken(:\n  pass", "x = " + "(" * 3000 + ")" * 3000, "print 'two'"])
def test_what_is_no_python_is_read_as_text(parsed: Parse, content: str) -> None:
    """A file that can't be compiled keeps its text."""
    document = parsed("a.py", content)
    assert [block.kind for block in document.blocks if block.kind != "heading"] == ["paragraph"]


def test_python_is_read_without_a_warning(parsed: Parse) -> None:
    """Old escapes in somebody's code are not our users' warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parsed("a.py", "x = '\\d'\nassert (1, 'x')\n")


def pdf(*pages: str, **about: str) -> bytes:
    buffer = io.BytesIO()
    paper = canvas.Canvas(buffer)
    for name, value in about.items():
        getattr(paper, f"set{name.capitalize()}")(value)
    for page in pages:
        text = paper.beginText(50, 800)
        text.textLines(page)
        paper.drawText(text)
        paper.showPage()
    paper.save()
    return buffer.getvalue()


def test_a_pdf_is_read_page_by_page(parsed: Parse) -> None:
    """Paragraphs know their page; title, author and dates come from the file's own data; hyphens are joined."""
    document = parsed("a.pdf", pdf("The first exam-\nple page.", "The second.", title="A paper", author="Ada"))
    assert shape(document) == [
        ("heading", "A paper"),
        ("paragraph", "The first example page."),
        ("paragraph", "The second."),
    ]
    assert [block.attributes for block in document.blocks[1:]] == [{"page": 1}, {"page": 2}]
    assert (document.title, document.attributes["author"]) == ("A paper", "Ada")
    assert "created_at" in document.attributes


def locked(data: bytes, password: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(password, algorithm="AES-256")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"no pdf at all", "broken_pdf"),
        (pdf("words")[:200], "broken_pdf"),
        (b"%PDF-1.7\n" + b"\xff\x00garbage" * 100, "broken_pdf"),
        (pdf(""), "empty"),
        (locked(pdf("words"), "secret"), "encrypted"),
    ],
)
def test_a_pdf_that_gives_no_text_is_rejected(opened: Open, content: bytes, code: str) -> None:
    """Broken, locked and scanned files are left out, each for its own reason."""
    (raw,) = opened("a.pdf", content)
    assert isinstance(raw, RawDocument)
    found = parse(raw)
    assert isinstance(found, Rejected)
    assert found.code == code
    assert found.source == raw.source


def test_a_pdf_locked_without_a_password_is_read(parsed: Parse) -> None:
    """A file that anybody may open is opened."""
    assert ("paragraph", "words") in shape(parsed("a.pdf", locked(pdf("words"), "")))


def test_plain_text_is_cut_at_blank_lines(parsed: Parse) -> None:
    """Lines stay together until a blank one, or a new page, ends the paragraph."""
    document = parsed("a.txt", "one\ntwo\n \n\t\nthree\ffour\n")
    assert [block.text for block in document.blocks] == ["one\ntwo", "three", "four"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.md", "<!-- nothing -->\n"), ("a.html", "<p></p>"), ("a.rst", ".. comment\n"), ("a.py", ";")],
)
def test_a_document_without_words_is_rejected_or_told(opened: Open, name: str, content: str) -> None:
    """Markup alone is no document; a text that can't be parsed is still text."""
    (raw,) = opened(name, content)
    assert isinstance(raw, RawDocument)
    found = parse(raw)
    if name == "a.py":
        assert isinstance(found, ParsedDocument)
    else:
        assert isinstance(found, Rejected)
        assert found.code == "empty"


@pytest.mark.parametrize(
    ("source", "kind", "doc_type"),
    [
        ("/p/README.md", "markdown", "readme"),
        ("/p/docs/decisions/0001-x.md", "markdown", "decision"),
        ("/p/docs/adr/0001-x.md", "markdown", "decision"),
        ("/p/docs/how-to/x.md", "markdown", "guide"),
        ("/p/docs/tutorial/x.md", "markdown", "tutorial"),
        ("/p/docs/reference/x.rst", "rst", "reference"),
        ("/p/CHANGELOG.md", "markdown", "changelog"),
        ("/p/x.py", "python", "code"),
        ("/p/x.csv#2", "record", "record"),
        ("/p/x.txt", "text", "document"),
    ],
)
def test_the_kind_of_document_is_told_by_its_place(source: str, kind: str, doc_type: str) -> None:
    """Format, file name and folder say what kind of document it is, unless it says so itself."""
    found = parse(raw_of("words", kind, source))
    assert isinstance(found, ParsedDocument)
    assert found.attributes["doc_type"] == doc_type
    told = parse(raw_of("words", kind, source, doc_type="own"))
    assert isinstance(told, ParsedDocument)
    assert told.attributes["doc_type"] == "own"


def test_what_the_record_says_wins_over_the_text() -> None:
    """Metadata given with a document beats what the text claims of itself."""
    found = parse(raw_of("---\nclassification: public\nowner: me\n---\nx", "markdown", classification="secret"))
    assert isinstance(found, ParsedDocument)
    assert (found.attributes["classification"], found.attributes["owner"]) == ("secret", "me")


def test_a_summary_is_cut_at_a_word(parsed: Parse) -> None:
    """Without one of its own a document's summary is its first paragraph, 300 characters at most."""
    summary = str(parsed("a.md", "# T\n\n" + "longish words " * 50).attributes["summary"])
    assert len(summary) <= 300
    assert summary.endswith("words…") or summary.endswith("longish…")
    assert parsed("a.txt", "short\none").attributes["summary"] == "short one"


def test_a_title_is_the_outermost_heading_once(parsed: Parse) -> None:
    """A title that the first heading repeats isn't doubled, any other stands above it, a file's name doesn't."""
    assert [block.level for block in parsed("a.md", "# Only\n\nx").blocks] == [0, 0]
    given = RawDocument("dist:my-pkg", "dist:*", "markdown", "my-pkg", "# My_Pkg: it works\n\nx", b"", {})
    found = parse(given)
    assert isinstance(found, ParsedDocument)
    assert (found.title, [block.text for block in found.blocks]) == ("my-pkg", ["My_Pkg: it works", "x"])
    other = parse(RawDocument("dist:my-pkg", "dist:*", "markdown", "my-pkg", "# Install\n\nx", b"", {}))
    assert isinstance(other, ParsedDocument)
    assert [(block.level, block.text) for block in other.blocks] == [(0, "my-pkg"), (1, "Install"), (0, "x")]
    plain = parsed("notes.txt", "x")
    assert (plain.title, shape(plain)) == ("notes.txt", [("paragraph", "x")])


def test_nothing_unstorable_comes_out_of_a_parser() -> None:
    """NUL and lone surrogates that a format smuggles in are mended and noted."""
    found = text_of("words &#0; and &#xD800;", "html")
    assert "\0" not in found.blocks[0].text
    found.blocks[0].text.encode()
    block = text_of("a\0b", "text").blocks[0]
    assert block == Block("paragraph", "ab")


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.sampled_from("ab #*_`[]()<>|-=.:\n\t\\~&;!/'\"1+é漢"), max_size=200),
    st.sampled_from(["markdown", "rst", "html", "python", "text", "json", "record"]),
)
def test_no_text_makes_a_parser_fail(content: str, kind: str) -> None:
    """Any text at all is parsed, or rejected as empty, in any format."""
    found = parse(raw_of(content, kind))
    if isinstance(found, Rejected):
        assert found.code == "empty"
    else:
        assert all(block.text.strip() for block in found.blocks)
        assert "parsed_as" not in found.attributes


@pytest.mark.parametrize(
    ("stamp", "iso"),
    [
        ("D:20260131120000+01'00'", "2026-01-31T12:00:00+01:00"),
        ("D:20260131120000Z", "2026-01-31T12:00:00+00:00"),
        ("D:20260131", "2026-01-31"),
        ("yesterday", None),
        (None, None),
    ],
)
def test_the_dates_of_a_pdf_become_iso_8601(stamp: str | None, iso: str | None) -> None:
    """PDF has a form of its own for dates; what isn't of that form is no date."""
    assert _when(stamp) == iso


def test_a_pdf_without_data_about_itself_is_named_by_its_file(parsed: Parse) -> None:
    """Title and author are optional."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("words"))))
    writer.metadata = None
    buffer = io.BytesIO()
    writer.write(buffer)
    assert parsed("a.pdf", buffer.getvalue()).title == "a.pdf"
