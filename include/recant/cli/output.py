"""What a command says: one JSON document, or text for people; both on standard output. Asides go to standard error.

On a terminal tables are drawn and coloured (unless NO_COLOR is set); in a pipe they are aligned text, a line a row.
What documents and agents wrote is shown without control characters: it can't move the cursor or recolour the screen.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

BROKEN_PIPE = 141
"""128 + SIGPIPE, as any other program in a pipe ends."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
WIDEST_PADDING = 60
"""A cell that is longer moves only the rest of its own line."""
NARROWEST_TABLE = 60
"""On a narrower terminal a table of many columns is one letter a line: rows that wrap are easier to read."""
_COUNT_ORDER = ("documents", "unchanged", "removed", "chunks", "embedded", "reused", "rejected")
_STATE_STYLES = {
    "published": "green",
    "open": "cyan",
    "reverted": "yellow",
    "quarantined": "magenta",
    "aborted": "red",
    "ok": "green",
    "warning": "yellow",
    "failed": "red",
    "running": "green",
    "stopped": "dim",
}


class Output:
    """What one command says. With `as_json` nothing but its `document` goes to standard output."""

    def __init__(self, as_json: bool = False, stream: TextIO | None = None) -> None:
        """`stream` is where text for people goes: standard output by default, standard error for a refusal's report."""
        self.as_json = as_json
        self.stream = stream

    @cached_property
    def console(self) -> Console:
        """The stream for people, with or without colours as it can."""
        from rich.console import Console

        return Console(file=self.stream, highlight=False)

    @cached_property
    def aside(self) -> Console:
        """Standard error."""
        from rich.console import Console

        return Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def document(self, document: Any) -> None:
        """One JSON document; indented on a terminal, one line elsewhere."""
        write(json_text(document, indent=2 if sys.stdout and sys.stdout.isatty() else None) + "\n")

    def print(self, *parts: RenderableType) -> None:
        """Text for people. Rich markup is not read: what is printed may come from anywhere."""
        with self.console.capture() as captured:
            for part in parts:
                self.console.print(printable(part) if isinstance(part, str) else part, markup=False, soft_wrap=True)
        write(captured.get(), self.stream)

    def note(self, text: str, style: str | None = None) -> None:
        """An aside on standard error."""
        self.aside.print(printable(text), style=style, markup=False)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
        """Rows under headings. A heading that ends in `#` is a number's: aligned to the right."""
        cells = [[_cell(value) for value in row] for row in rows]
        if title:
            self.print(_styled(title, "bold"))
        if self.console.is_terminal and self.console.width >= NARROWEST_TABLE:
            with self.console.capture() as captured:
                self.console.print(_drawn(columns, cells))
            write(captured.get(), self.stream)
        else:
            write(aligned(columns, cells), self.stream)


def write(text: str, stream: TextIO | None = None) -> None:
    """Writes and flushes; `?` for what the stream's encoding lacks. A reader that is gone ends the command quietly."""
    target = stream or sys.stdout
    if target is None:  # it was closed before we began (`>&-`)
        return
    encoding = target.encoding or "utf-8"
    try:
        target.write(text.encode(encoding, "replace").decode(encoding))
        target.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), target.fileno())  # the interpreter flushes once more at its end
        raise typer.Exit(BROKEN_PIPE) from None


def json_text(document: Any, indent: int | None = None) -> str:
    """JSON in the encoding of standard output: escapes only where it can't hold the character."""
    readable = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    text = json.dumps(document, ensure_ascii=not readable, indent=indent, default=_encode)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def printable(text: str) -> str:
    """The text without what would steer a terminal: escapes, carriage returns, changes of writing direction."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Headings and rows as text, columns at least two spaces apart, one line a row whatever its length."""
    names = [name.rstrip("#") for name in columns]
    lines = [[" ".join(cell.split()) for cell in row] for row in [names, *rows]]
    widths = [min(max(len(line[i]) for line in lines), WIDEST_PADDING) for i in range(len(columns))]
    justified = (
        "  ".join(
            cell.rjust(width) if name.endswith("#") else cell.ljust(width)
            for name, cell, width in zip(columns, line, widths, strict=True)
        )
        for line in lines
    )
    return "".join(line.rstrip() + "\n" for line in justified)


def local_time(moment: datetime | str | None) -> str:
    """A time in the machine's zone, to the second; empty for none."""
    if moment is None:
        return ""
    value = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def amounts(counts: Mapping[str, Any]) -> str:
    """An operation's counts as one line, in the order in which they come about, zeros left out."""
    known = [*(name for name in _COUNT_ORDER if name in counts), *(name for name in counts if name not in _COUNT_ORDER)]
    return ", ".join(_amount(counts[name], name) for name in known if _is_amount(counts[name]))


def kinds(counts: Mapping[str, int]) -> str:
    """Numbers of records by kind as one line, zeros left out."""
    return ", ".join(_amount(n, f"{kind}s") for kind, n in sorted(counts.items()) if n)


def _amount(number: int, plural: str) -> str:
    return f"{number:,} {plural.removesuffix('s') if number == 1 else plural}"


def _is_amount(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value != 0


def _encode(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    return printable(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))


def _styled(text: str, style: str) -> RenderableType:
    from rich.text import Text

    return Text(printable(text), style=style)


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name.rstrip("#"), justify="right" if name.endswith("#") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STATE_STYLES.get(cell, "")) for cell in row))
    return table
