"""A diff for people: counts, then each document's lines, coloured on a terminal and untouched in a pipe."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

from recant.cli.comparison import _show
from recant.cli.output import Output
from recant.comparison import DocumentDiff

TEXT = DocumentDiff(
    "a", "changed", 1, 2, {}, ("--- a\toperation 1", "+++ a\toperation 2", "@@ -1 +1 @@", "-one\ttab", "+two")
)
TITLE = DocumentDiff("b", "changed", 1, 2, {"title": ("Old \x1b[31m", "New")}, ())


class Found:
    """What a comparison answers with."""

    def to_dict(self) -> dict[str, Any]:
        counts = {"document": {"added": 0, "removed": 0, "changed": 2}}
        return {"collection": "c", "before": 1, "after": 2000, "operation_id": None, "source": None, "counts": counts}

    def documents(self) -> Iterator[DocumentDiff]:
        yield TEXT
        yield TITLE


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_on_a_terminal_lines_are_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Added green, removed red; what only the description says is told, without control characters of its own."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    _show(Output(stream=terminal), Found(), stat=False)  # type: ignore[arg-type]
    shown = terminal.getvalue()
    assert "c, position 1 → 2,000" in shown
    assert "\x1b[32m+two" in shown
    assert "\x1b[31m-one" in shown
    assert "b: changed, the same text" in shown
    assert "title: " in shown
    assert "Old \x1b[31m" not in shown


def test_in_a_pipe_lines_are_as_they_are() -> None:
    """Tabs stay, nothing is cut or coloured; `--stat` leaves the documents out."""
    pipe, counts = io.StringIO(), io.StringIO()
    _show(Output(stream=pipe), Found(), stat=False)  # type: ignore[arg-type]
    _show(Output(stream=counts), Found(), stat=True)  # type: ignore[arg-type]
    assert pipe.getvalue().startswith(counts.getvalue())
    assert "\n".join(["", *TEXT.lines, "", "b: changed, the same text", ""]) in pipe.getvalue()
    assert "--- a" not in counts.getvalue()
