"""Search hits for people: rank, score, where it comes from, and the beginning of what it says."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from recant.cli.output import Output, printable

if TYPE_CHECKING:
    from rich.text import Text

    from recant.search import Hit, SearchResult, Surrounding

SNIPPET_LINES = 3
PLAIN_WIDTH = 100
LEAD_CHARACTERS = 60
"""Shown before the first word that was looked for, where a snippet begins further down."""


def show_hits(output: Output, result: SearchResult) -> None:
    """A few lines a hit."""
    if not result.hits:
        output.print(f"Nothing found in {result.collection} at position {result.position}.")
        return
    width = min(output.console.width, 120) if output.console.is_terminal else PLAIN_WIDTH
    output.print(*(_hit(hit, width) for hit in result.hits))


def snippet(text: str, width: int, lines: int = SNIPPET_LINES) -> str:
    """The beginning of a text, on so many lines of so many characters."""
    flat = " ".join(printable(text).split())
    return "\n".join(textwrap.wrap(flat, width, max_lines=lines, placeholder=" …"))


def place(hit: Hit) -> str:
    """Title and headings, outermost first, each once; without what the source says already."""
    steps = dict.fromkeys(step for step in (hit.title, *hit.parent_headers) if step)
    return " > ".join(step for step in steps if not hit.source.endswith(step))


def _hit(hit: Hit, width: int) -> Text:
    from rich.text import Text

    head = Text.assemble(
        (f"{hit.rank:3}  ", "bold"), (f"{hit.score:.4f}  ", "cyan"), (printable(hit.source), "green"),
        (f"  {printable(place(hit))}".rstrip(), "dim"),
    )  # fmt: skip
    body = Text(textwrap.indent(snippet(excerpt(hit, width - 5), width - 5), " " * 5))
    words = sorted({re.escape(hit.text[first:last]) for first, last in hit.highlights}, key=len, reverse=True)
    if words:
        body.highlight_regex(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", "bold yellow")
    head = head.append("\n")
    for chunk in (one for one in hit.context if one.distance < 0):
        head.append_text(_around(chunk, width))
    head = head.append_text(body).append("\n")
    for chunk in (one for one in hit.context if one.distance > 0):
        head.append_text(_around(chunk, width))
    if hit.also_in:
        sources = ", ".join(also.source for also in hit.also_in)
        head.append(f"{textwrap.indent(snippet(f'also in {sources}', width - 5), ' ' * 5)}\n", "green")
    return head


def _around(chunk: Surrounding, width: int) -> Text:
    from rich.text import Text

    lines = textwrap.indent(snippet(chunk.text, width - 9), " " * 7 + "| ", lambda line: True)
    return Text(f"{lines}\n", "dim")


def excerpt(hit: Hit, width: int) -> str:
    """The text, from a little before the first word that was looked for where the beginning doesn't show one."""
    first = hit.highlights[0][0] if hit.highlights else 0
    if first < width * (SNIPPET_LINES - 1):
        return hit.text
    start = hit.text.find(" ", first - LEAD_CHARACTERS, first)
    return f"… {hit.text[start + 1 if start >= 0 else first :]}"
