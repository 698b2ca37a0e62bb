"""Markdown, reStructuredText and HTML: the blocks that are found in them, and what is left out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recant.ingestion import ParsedDocument, RawDocument, Rejected

Parse = Callable[..., ParsedDocument]


Open = Callable[..., list[RawDocument | Rejected]]


def shape(document: ParsedDocument) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in document.blocks]


MARKDOWN = """---
title: The guide
tags: [one, two]
date: 2026-01-31
description: What it says.
custom: {a: 1}
---
# Guide

[![build](https://img.shields.io/x.svg)](https://ci.example.org)

See the [docs](https://docs.example.org/x "title") and **all** `code`,
![a diagram](d.png) too.

## Steps

1. First
   ```bash
   make all
   ```
2. Second
   - inner

```python title="x"
def f():

    return 1
```

| a | b |
|---|---|
| 1 | [x](https://x.org) |

> [!NOTE]
> Take care.

<details><summary>More</summary>

Hidden *words*.

</details>
<!-- silent -->
"""


def test_markdown_becomes_blocks_of_plain_text(parsed: Parse) -> None:
    """Headings, paragraphs, lists, code, tables and quotes come out whole, without marks, badges and comments."""
    document = parsed("a.md", MARKDOWN)
    assert shape(document) == [
        ("heading", "Guide"),
        ("paragraph", "See the docs and all `code`, a diagram too."),
        ("heading", "Steps"),
        ("list", "1. First\n   make all\n2. Second\n   - inner"),
        ("code", "def f():\n\n    return 1"),
        ("table", "| a | b |\n| 1 | x |"),
        ("quote", "Note: Take care."),
        ("paragraph", "More"),
        ("paragraph", "Hidden words."),
    ]
    blocks = document.blocks
    assert [block.level for block in blocks[:3:2]] == [0, 2]
    assert blocks[1].attributes == {"line_start": 12, "line_end": 13, "links": ["https://docs.example.org/x"]}
    assert (blocks[4].language, blocks[5].header_rows) == ("python", 1)


def test_front_matter_becomes_title_and_attributes(parsed: Parse) -> None:
    """Known names and their synonyms become the document's attributes, free ones stay."""
    document = parsed("a.md", MARKDOWN)
    assert document.title == "The guide"
    expected = {"topics": ["one", "two"], "created_at": "2026-01-31", "summary": "What it says.", "custom": {"a": 1}}
    assert expected.items() <= document.attributes.items()
    assert "updated_at" in document.attributes


@pytest.mark.parametrize(
    "front",
    [
        "a: [1",
        "- a\n- b",
        "just words",
        "a: &x [1]\nb: *x",
        "a: 2026-99-99",
        "a: " + "[" * 5000,
        "a: " + "[" * 400,
        "a: " + "x" * 70_000,
    ],
)
def test_front_matter_that_cannot_be_read_stays_in_the_text(parsed: Parse, front: str) -> None:
    """Broken front matter, or one with aliases (which can stand for gigabytes), is kept as code."""
    document = parsed("a.md", f"---\n{front}\n---\n# Title\n\nWords.\n")
    assert ("code", front) in shape(document)
    assert ("paragraph", "Words.") in shape(document)


def test_markdown_nested_beyond_measure_is_read_as_text(parsed: Parse) -> None:
    """Where markdown-it would drop what is nested too deeply, the text is kept as it stands."""
    document = parsed("a.md", ">" * 500 + " deep words\n")
    assert "deep words" in document.blocks[-1].text
    assert document.attributes["parsed_as"] == "text"


RST = """
Guide
=====

.. image:: https://img.shields.io/x.svg
   :target: https://x.org

Text with :class:`~pkg.Thing`, :ref:`the chapter <chapter>`, ``literal``, |gone|, `docs <https://docs.example.org>`_
and a `missing`_ one. Escaped\\ text.

.. versionadded:: 1.2
   New words.

.. tabs::

   .. tab:: Linux

      Use *apt*.

.. code-block:: python
   :emphasize-lines: 1

   x = 1

.. code-block:: toml
   :unknown-option: 1

   key = "value"

.. note:: Mind this.

.. raw:: html

   <b>bold words</b>

.. include:: /etc/passwd

.. toctree::

   other

Terms
-----

term : kind
   What it is.

:field: its value

-o FILE  the output

=====  =====
Head   Other
=====  =====
1      2
=====  =====

.. list-table::
   :header-rows: 1

   * - A
     - B
   * - 1
     - 2

Then::

   literal block

>>> 1 + 1
2

| line one
| line two

Footnote [1]_.

.. [1] The note.

.. unknown-thing:: an argument

.. |sub| replace:: never shown
"""


def test_restructuredtext_becomes_blocks_of_plain_text(parsed: Parse) -> None:
    """Directives and roles of docutils and of Sphinx keep their text, and nothing else comes along."""
    document = parsed("a.rst", RST)
    assert shape(document) == [
        ("heading", "Guide"),
        (
            "paragraph",
            "Text with pkg.Thing, the chapter, `literal`, gone, docs and a missing one. Escapedtext.",
        ),
        ("paragraph", "Added in version 1.2"),
        ("paragraph", "New words."),
        ("paragraph", "Linux"),
        ("paragraph", "Use apt."),
        ("code", "x = 1"),
        ("code", 'key = "value"'),
        ("paragraph", "Note: Mind this."),
        ("paragraph", "bold words"),
        ("heading", "Terms"),
        ("list", "term : kind: What it is."),
        ("list", "field: its value"),
        ("list", "-o FILE: the output"),
        ("table", "| Head | Other |\n| 1 | 2 |"),
        ("table", "| A | B |\n| 1 | 2 |"),
        ("paragraph", "Then:"),
        ("code", "literal block"),
        ("code", ">>> 1 + 1\n2"),
        ("paragraph", "line one\nline two"),
        ("paragraph", "Footnote [1]."),
        ("paragraph", "[1] The note."),
        ("paragraph", "an argument"),
    ]
    languages = [block.language for block in document.blocks if block.kind == "code"]
    assert languages == ["python", "toml", None, "pycon"]


def test_restructuredtext_is_quiet_and_reads_nothing_from_outside(
    parsed: Parse, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is included, no configuration read, no warning printed, whatever the document says."""
    (tmp_path / "secret.txt").write_text("the secret")
    (tmp_path / "docutils.conf").write_text("[general]\nhalt_level: 1\n[parsers]\nfile_insertion_enabled: yes\n")
    monkeypatch.chdir(tmp_path)
    hostile = f"""
.. include:: {tmp_path}/secret.txt

.. csv-table::
   :file: {tmp_path}/secret.txt

.. raw:: html
   :file: {tmp_path}/secret.txt

Title
==
*open `broken :role:`x` |y|

+--+
|a
+--+

Words.
"""
    document = parsed("a.rst", hostile)
    everything = " ".join(block.text for block in document.blocks)
    assert "the secret" not in everything
    assert "Words." in everything
    assert capfd.readouterr() == ("", "")


def test_a_documents_own_roles_are_gone_with_it(parsed: Parse) -> None:
    """A role that one document defines isn't known to the next one."""
    text = ":custom:`text <target>`\n"
    before = shape(parsed("a.rst", text))
    parsed("b.rst", f".. role:: custom\n\n{text}")
    assert shape(parsed("c.rst", text)) == before == [("paragraph", "text")]


HTML = """<!doctype html><html lang="de"><head><title>The page</title><meta name="author" content="Ada">
<meta property="article:published_time" content="2026-01-31T10:00:00Z"><style>p {}</style></head><body>
<nav>Menu</nav><header>Banner</header><main><h1>Page<a href="#x">¶</a></h1>
<p>Some <b>bold</b> and <a href="https://x.org/">linked</a><br>words<script>bad()</script>.</p>loose text
<div><div>in divs</div></div><ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul>
<ol><li>first</li></ol><pre class="highlight"><code class="language-sh">ls  -l
cd</code></pre>
<table><caption>Numbers</caption><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2<br>3</td></tr></table>
<table><tr><td><p>layout</p></td></tr></table><blockquote><p>quoted</p></blockquote>
<p hidden>gone</p><img src="d.png" alt="a diagram"><!-- comment --></main><footer>Imprint</footer></body></html>"""


def test_html_gives_its_main_content(parsed: Parse) -> None:
    """The page's frame, scripts and styles are left out; the structure of the main content is kept."""
    document = parsed("a.html", HTML)
    assert shape(document) == [
        ("heading", "Page"),
        ("paragraph", "Some bold and linked\nwords."),
        ("paragraph", "loose text"),
        ("paragraph", "in divs"),
        ("list", "- one\n  - inner\n- two"),
        ("list", "1. first"),
        ("code", "ls  -l\ncd"),
        ("paragraph", "Numbers"),
        ("table", "| a | b |\n| 1 | 2 3 |"),
        ("paragraph", "layout"),
        ("quote", "quoted"),
        ("paragraph", "a diagram"),
    ]
    assert document.title == "The page"
    expected = {"author": "Ada", "language": "de", "created_at": "2026-01-31T10:00:00Z"}
    assert expected.items() <= document.attributes.items()
    assert document.blocks[6].language == "sh"
    assert document.blocks[1].attributes == {"links": ["https://x.org/"]}
    assert document.blocks[8].header_rows == 1


def test_html_without_a_main_element_loses_only_its_frame(parsed: Parse) -> None:
    """Where nothing is marked as main, a single article or else the body is read."""
    assert shape(parsed("a.html", "<body><nav>x</nav><article>words</article>frame</body>")) == [("paragraph", "words")]
    assert shape(parsed("a.html", "<p>one<p>two")) == [("paragraph", "one"), ("paragraph", "two")]
    assert shape(parsed("a.html", "bare words")) == [("paragraph", "bare words")]


def test_html_nested_beyond_measure_keeps_its_text(parsed: Parse) -> None:
    """A page of thousands of nested elements is still read, without a crash."""
    document = parsed("a.html", "<div>" * 5000 + "deep words" + "</div>" * 5000 + "<p>after</p>")
    assert "deep words" in " ".join(block.text for block in document.blocks)


def test_markdown_lists_hold_whatever_is_in_their_items(parsed: Parse) -> None:
    """Tables, quotes and HTML inside an item stay with the item; blank items and tables go."""
    content = "- one\n\n  | a | b |\n  |---|---|\n  | 1 | 2 |\n\n  <p>html <b>words</b></p>\n-\n- > quoted<br>words\n"
    document = parsed("a.md", content + "\nbreak  \nhere\n\n|  |  |\n|--|--|\n")
    assert shape(document) == [
        ("list", "- one\n  | a | b |\n  | 1 | 2 |\n  html words\n- quoted\n  words"),
        ("paragraph", "break\nhere"),
    ]


def test_restructuredtext_asides_keep_their_titles_and_parts(parsed: Parse) -> None:
    """Topics, sidebars, titled tables, notes that begin with a list, and what docutils refuses, keep all their text."""
    content = """
.. topic:: Aside

   Words of it.

.. admonition:: Own title

   More words.

.. warning::

   - a list

.. table:: Numbers

   ===  ===
   a    b
   ===  ===
   1    2
   ===  ===

| outer
|   inner

A paragraph.

   A quotation.

   - with a list

.. seealso:: Elsewhere

.. container:: classes

   Contained.

.. image:: d.png
   :alt: a diagram

=====
broken
"""
    texts = [text for _, text in shape(parsed("a.rst", content))]
    expected = [
        "Aside",
        "Words of it.",
        "Own title",
        "More words.",
        "Warning:",
        "- a list",
        "Numbers",
        "| a | b |\n| 1 | 2 |",
    ]
    assert texts[: len(expected)] == expected
    rest = [
        "outer\ninner",
        "A paragraph.",
        "A quotation.",
        "- with a list",
        "See also:",
        "Elsewhere",
        "Contained.",
        "a diagram",
    ]
    told = "\n".join(texts[len(expected) :])
    assert all(part in told for part in rest)
    assert "broken" in told


def grown(levels: int) -> str:
    """Substitutions of which each stands for ten of the next."""
    names = (f".. |a{n}| replace:: " + f"|a{n + 1}| " * 10 for n in range(levels))
    return "\n".join([*names, f".. |a{levels}| replace:: x", "", "|a0|"])


HOSTILE = {
    "substitutions that grow": grown(6),
    "a long substitution, often": ".. |a| replace:: " + "x" * 20_000 + "\n\n" + "|a| " * 2_000,
    "starts without an end": "*a " * 20_000,
    "quotes without an end": "`a " * 20_000,
    "a wide table": "+" + "-+" * 20_000 + "\n|" + "a|" * 20_000 + "\n+" + "-+" * 20_000,
    "classes for nothing": ".. class:: a\n\n" * 20_000,
    "literal blocks without one": "a::\n\n" * 40_000,
    "quoted literal blocks": "a::\n\n> b\n\n" * 20_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_restructuredtext_is_read_as_plain_text(text: str, parsed: Callable[..., ParsedDocument]) -> None:
    """Docutils would need minutes for some of these, or for ever for 440 bytes; all of the words are there."""
    began = time.thread_time()
    document = parsed("hostile.rst", text)
    assert time.thread_time() - began < 30
    assert document.attributes["parsed_as"] == "text"
    assert len("".join("".join(block.text.split()) for block in document.blocks)) >= len("".join(text.split())) * 0.9


def test_a_word_of_thousands_of_letters_costs_its_paragraph_the_markup_only(
    parsed: Callable[..., ParsedDocument],
) -> None:
    """As an image that is written out as base64 does; the sections around it are read as ever."""
    word = "YTpi:" * 4_000
    document = parsed("image.rst", f"Images\n======\n\n*One*: {word}\n\nMore\n----\n\n*Two* of ``them``.\n")
    texts = [block.text for block in document.blocks]
    assert texts == ["Images", f"*One*: {word}", "More", "Two of `them`."]
    assert "parsed_as" not in document.attributes


def test_a_long_honest_restructuredtext_is_not_taken_for_hostile(parsed: Callable[..., ParsedDocument]) -> None:
    """A thousand sections with markup, links, roles that docutils doesn't know, and lists."""
    section = "Part {n}\n---------\n\nThe *quick* :func:`brown.fox` jumps over ``it`` at https://example.org/{n}.\n\n- one\n- two\n\n"
    section += ".. note:: It does.\n\n.. versionadded:: 1.{n}\n   It did.\n\n"
    document = parsed("long.rst", "".join(section.replace("{n}", str(n)) for n in range(1_000)))
    assert "parsed_as" not in document.attributes
    assert sum(block.kind == "heading" for block in document.blocks) >= 1_000
