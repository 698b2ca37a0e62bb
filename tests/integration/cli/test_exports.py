"""`export to|list|verify|refresh`."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.integration.cli.command_line import Run
from tests.integration.library import Library

HERE = ("--collection", "library")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "export"


def test_what_is_seen_is_written_and_listed(recant: Run, library: Library, folder: Path) -> None:
    """As people read it, and as programs do."""
    assert "No export yet" in recant("export", "list").out
    library.publish({"a": "=one"})
    ended = recant("export", "to", folder, *HERE, "-m", "for the audit", "--agent", "nora")
    assert "1 documents, 1 chunks in 2 files" in ended.out
    with (folder / "chunks.csv").open(newline="", encoding="utf-8") as file:
        assert [row["text"] for row in csv.DictReader(file)] == ["'=one"]
    assert str(folder) in recant("export", "list").out
    (export,) = recant("export", "list", "--json").document["exports"]
    assert (export["state"], export["format"], export["agent"]) == ("current", "csv", "nora")
    assert library.log.get(export["operation_id"]).message == "for the audit"


def test_every_flag_says_what_goes_in(recant: Run, library: Library, folder: Path) -> None:
    """Tables, columns, filters, writers, position, packing, parts."""
    library.publish({"a": "one", "b": "two"})
    library.publish({"c": "three"}, agent="bob")
    narrowed = (
        "--filter",
        "source=a",
        "--filter",
        "source=c",
        "--where",
        'source != "b"',
        "--written-by",
        "alice",
        "--as-of",
        "1",
    )
    shaped = (
        "--table",
        "chunks",
        "--columns",
        "chunks=source,text",
        "--rows-per-file",
        "1",
        "--keep-formulas",
        "--null",
        "-",
    )
    report = recant("export", "to", folder, *HERE, *narrowed, *shaped, "--compression", "gzip", "--json").document
    assert (report["rows"], report["position"], report["format"]) == ({"chunks": 1}, 1, "csv+gzip")
    assert sorted(path.name for path in folder.iterdir()) == ["chunks-00001.csv.gz", "manifest.json"]
    every = recant(
        "export", "to", folder, "--all-collections", "--table", "all", "--format", "parquet", "--vectors", "--json"
    )
    assert every.document["format"] == "parquet+zstd"
    assert {"searches", "checks", "operations"} <= every.document["rows"].keys()


def test_what_does_not_fit_together_is_a_usage_error(recant: Run, library: Library, folder: Path) -> None:
    """And nothing is written."""
    library.publish({"a": "one"})
    for words in (
        ["--all-collections", *HERE], [*HERE, "--columns", "chunks"], [*HERE, "--columns", "chunks=age"],
        [*HERE, "--table", "people"], [*HERE, "--filter", "x"], [*HERE, "--as-of", "nosuch"], ["--collection", "nosuch"],
    ):  # fmt: skip
        assert recant("export", "to", folder, *words).code == 2
    assert not folder.exists()


def test_verify_ends_with_1_when_something_is_wrong(recant: Run, library: Library, folder: Path) -> None:
    """And names it."""
    library.publish({"a": "one"})
    recant("export", "to", folder, *HERE)
    fine = recant("export", "verify", folder / "manifest.json")
    assert (fine.code, fine.out) == (0, "2 files: as the manifest says.\n")
    (folder / "chunks.csv").write_text("")
    wrong = recant("export", "verify", folder)
    assert (wrong.code, "chunks.csv: has 0 bytes" in wrong.out) == (1, True)
    as_json = recant("export", "verify", folder, "--json")
    assert (as_json.code, as_json.document["ok"], len(as_json.document["problems"])) == (1, False, 1)


def test_refresh_makes_again_what_a_rollback_made_wrong(recant: Run, library: Library, folder: Path) -> None:
    """And says what it came to; what fails ends with 1."""
    bad = library.publish({"a": "one"})
    library.publish({"b": "two"})
    recant("export", "to", folder, *HERE)
    assert recant("export", "refresh").out == "Every export holds what it should.\n"
    recant("rollback", "--operation", str(bad), "--yes")
    assert "would be made again" in recant("export", "refresh", "--stale", "--dry-run").out
    (done,) = recant("export", "refresh", "--stale", "--json").document["refreshed"]
    assert (done["reason"], done["report"]["rows"]["chunks"]) == ("stale", 1)
    recant("redo", "--json", str(max(o.operation_id for o in library.log.find() if o.kind == "rollback")))
    (folder / "mine").write_text("")
    failed = recant("export", "refresh")
    assert (failed.code, "mine" in failed.out) == (1, True)
    (folder / "mine").unlink()
    assert "made again as seen at position" in recant("export", "refresh").out
