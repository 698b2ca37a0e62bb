"""What commands print."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recant.cli.output import Output, aligned, amounts, json_text, local_time, printable


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_a_table_in_a_pipe_is_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a row, columns two spaces apart, numbers to the right, no escape sequences."""
    Output().table(["op#", "state", "message"], [[7, "published", "a\nb"], [1234, "open", None]])
    assert capsys.readouterr().out == "   op  state      message\n    7  published  a b\n1,234  open\n"


def test_a_table_on_a_terminal_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """States are coloured, unless NO_COLOR is set."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = Terminal(), Terminal()
    Output(stream=coloured).table(["state"], [["published"]])
    monkeypatch.setenv("NO_COLOR", "1")
    Output(stream=plain).table(["state"], [["published"]])
    assert "\x1b[32mpublished" in coloured.getvalue()
    assert "\x1b[32m" not in plain.getvalue()
    assert "published" in plain.getvalue()


def test_a_long_row_is_not_cut_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """What a later program reads is whole, however long."""
    Output().table(["source"], [["x" * 5000]])
    assert "x" * 5000 in capsys.readouterr().out


@given(st.text())
def test_what_documents_say_cannot_steer_the_terminal(text: str) -> None:
    """No escape, carriage return, or change of writing direction comes through; line ends and tabs do."""
    shown = printable(text)
    assert not set(shown) & {"\x1b", "\r", "\x07", "\x9b", "\u202e", "\u2066"}
    assert shown.count("\n") == text.count("\n")
    shown.encode()


def test_markup_in_documents_is_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets are printed as they are."""
    output = Output()
    output.print("[red]not markup[/red] [/]")
    output.table(["a"], [["[bold]x[/bold]"]])
    assert capsys.readouterr().out == "[red]not markup[/red] [/]\na\n[bold]x[/bold]\n"


def test_a_document_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe a JSON document is one line; times are in ISO 8601."""
    Output(as_json=True).document({"at": datetime(2026, 1, 2, tzinfo=UTC), "text": "zwölf\nBoxkämpfer"})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"at": "2026-01-02T00:00:00+00:00", "text": "zwölf\nBoxkämpfer"}


def test_what_json_lacks_is_written_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Our own types as their dict, bytes as hex, the rest as its text."""

    class Ours:
        def to_dict(self) -> dict[str, int]:
            return {"a": 1}

    Output().document({"ours": Ours(), "bytes": b"\x01", "path": PurePosixPath("/x")})
    assert json.loads(capsys.readouterr().out) == {"ours": {"a": 1}, "bytes": "01", "path": "/x"}


def test_a_document_on_a_terminal_is_indented(monkeypatch: pytest.MonkeyPatch) -> None:
    """For reading."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    Output(as_json=True).document({"a": 1})
    assert terminal.getvalue() == '{\n  "a": 1\n}\n'


@given(text=st.text(st.characters(exclude_categories=[])))
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_json_fits_the_stream_it_goes_to(encoding: str, text: str) -> None:
    """Whatever the encoding of standard output, and even for undecodable file names, what is written is that JSON."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    before, sys.stdout = sys.stdout, stream
    try:
        written = json_text({"text": text}).encode(encoding)
    finally:
        sys.stdout = before
    assert json.loads(written)["text"] == text


def test_amounts_leave_zeros_out() -> None:
    """Counts are told as amounts; what is zero or no number is not."""
    assert amounts({"documents": 1200, "removed": 0, "origins": ["a"], "chunks": 3}) == "1,200 documents, 3 chunks"
    assert amounts({"documents": 1, "unchanged": 1}) == "1 document, 1 unchanged"


def test_no_time_is_no_text() -> None:
    """An operation that isn't published has no time of publishing."""
    assert local_time(None) == ""
    assert local_time("2026-01-02T03:04:05+00:00") == local_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


@given(st.lists(st.tuples(st.text(), st.text())))
def test_a_row_is_a_line(rows: list[tuple[str, str]]) -> None:
    """However many line ends a cell holds, there is one line a row."""
    text = aligned(["a", "b#"], rows)
    assert text.count("\n") == len(rows) + 1


def test_one_long_cell_does_not_push_the_other_rows_apart() -> None:
    """A path of thousands of characters moves the rest of its own line only."""
    first, second = aligned(["source", "why"], [["x" * 3000, "empty"], ["a.md", "missing"]]).splitlines()[1:]
    assert first == "x" * 3000 + "  empty"
    assert len(second) < 100


def test_a_narrow_terminal_gets_rows_instead_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine columns on forty would be one letter wide each."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    Output(stream=terminal).table(["agent"] * 9, [["librarian"] * 9])
    assert "  ".join(["librarian"] * 9) in terminal.getvalue()


def test_a_closed_standard_output_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """`recant … >&-` leaves Python without a stream: there is nobody to tell."""
    monkeypatch.setattr(sys, "stdout", None)
    Output(as_json=True).document({"a": 1})
