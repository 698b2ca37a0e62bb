"""How long work is told."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from recant.cli import progress as progress_module
from recant.cli.output import Output
from recant.cli.progress import counted, told


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.fixture(autouse=True)
def capable_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever runs the tests, the terminals in them can move the cursor."""
    monkeypatch.setenv("TERM", "xterm-256color")


def on_a_terminal() -> tuple[Output, Terminal]:
    """An output whose asides go to a terminal of 80 columns."""
    output, terminal = Output(), Terminal()
    output.__dict__["aside"] = Console(file=terminal, force_terminal=True, width=80, soft_wrap=True)
    return output, terminal


def test_in_a_pipe_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, and not more often than every few seconds."""
    with counted(Output()) as progress:
        progress("documents", 1, 3)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_LINES", 0.0)
    with counted(Output()) as progress:
        progress("documents", 1200, 3000)
        progress("rows", 7, None)
    assert capsys.readouterr() == ("", "documents: 1,200 of 3,000\nrows: 7\n")


def test_on_a_terminal_bars_that_leave_nothing_behind() -> None:
    """One for each kind of work, gone at the end."""
    output, terminal = on_a_terminal()
    with counted(output) as progress:
        progress("documents", 1, 2)
        progress("chunks", 5, None)
        progress("chunks", 7, 7)
        progress("documents", 2, 2)
    shown = terminal.getvalue()
    assert "documents" in shown
    assert "2/2" in shown
    assert "7/7" in shown
    assert shown.rstrip().endswith("\x1b[2K")


def test_steps_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A line each with the seconds since the start, on standard error, in a pipe and on a terminal."""
    with told(Output(), "Starting") as progress:
        progress("PostgreSQL listens")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.split() == ["0.0", "s", "PostgreSQL", "listens"]
    output, terminal = on_a_terminal()
    with told(output, "Starting") as progress:
        progress("PostgreSQL listens")
    assert "PostgreSQL listens" in terminal.getvalue()
    assert "Starting …" in terminal.getvalue()
