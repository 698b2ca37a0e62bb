"""Search hits for people: rank, score, where it comes from, and the beginning of what it says."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from recant.cli.output import Output, printable

if TYPE_CHECKING:
    from rich.text import Text

    from recant.search import Hit, SearchResult

SNIPPET_LINES = 3
PLAIN_WIDTH = 100


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
    body = textwrap.indent(snippet(hit.text, width - 5), " " * 5)
    return head.append(f"\n{body}\n", style="")
