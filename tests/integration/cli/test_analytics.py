"""`analytics list|report|sql`."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.integration.cli.command_line import Run
from tests.integration.library import Library


@pytest.fixture
def folder(recant: Run, library: Library, tmp_path: Path) -> Path:
    """A Parquet export of every table."""
    library.publish({"a": "one", "b": "two"})
    library.publish({"c": "three"}, agent="bob")
    target = tmp_path / "export"
    recant("export", "to", target, "--collection", "library", "--table", "all", "--format", "parquet")
    return target


def test_the_newest_export_is_asked_unless_one_is_named(recant: Run, folder: Path) -> None:
    """By default the one in the catalogue."""
    listed = recant("analytics", "list", "--json").document
    assert (listed["export"], listed["position"]) == (str(folder), 2)
    assert {"growth", "agents"} <= {report["name"] for report in listed["reports"]}
    assert "For `analytics sql`: documents, chunks" in recant("analytics", "list", "--export", folder).out
    assert recant("analytics", "list", "--export", folder.parent).code == 2


def test_a_report_is_shown_or_written(recant: Run, folder: Path, tmp_path: Path) -> None:
    """As a table, JSON, a page, a plot, CSV."""
    assert "Operations by agent (position 2)" in recant("analytics", "report", "agents").out
    (report,) = recant("analytics", "report", "agents", "--json").document["reports"]
    assert [row[0] for row in report["rows"]] == ["alice", "bob"]
    for name, begins in (("x.html", b"<!doctype html>"), ("x.png", b"\x89PNG"), ("x.json", b"{"), ("x.csv", b"agent,")):
        assert "Written to" in recant("analytics", "report", "agents", "--output", tmp_path / name).out
        assert (tmp_path / name).read_bytes().startswith(begins)
    assert recant("analytics", "report", "all", "--output", tmp_path / "all.html").code == 0
    assert (tmp_path / "all.html").read_text().count("<h2") == 12
    assert len(json.loads((tmp_path / "x.json").read_text())["reports"]) == 1
    with (tmp_path / "x.csv").open(newline="") as file:
        assert [row["agent"] for row in csv.DictReader(file)] == ["alice", "bob"]


def test_what_can_not_be_written_or_asked_is_a_usage_error(recant: Run, folder: Path, tmp_path: Path) -> None:
    """And says why."""
    for words in (
        ["report", "nosuch"], ["report", "growth", "--output", str(tmp_path / "x.pdf")],
        ["report", "all", "--output", str(tmp_path / "x.png")], ["sql", "DROP VIEW growth"],
    ):  # fmt: skip
        assert recant("analytics", *words).code == 2
    assert not (tmp_path / "x.pdf").exists()


def test_sql_is_answered(recant: Run, folder: Path) -> None:
    """With a remark where there are more rows."""
    asked = recant("analytics", "sql", "SELECT source FROM chunks ORDER BY source", "--limit", "2")
    assert (asked.out.split(), "more than 2 rows" in asked.err) == (["source", "a", "b"], True)
    answer = recant("analytics", "sql", "SELECT count(*) AS n FROM documents", "--json").document
    assert answer == {"columns": ["n"], "rows": [[3]], "more": False}
