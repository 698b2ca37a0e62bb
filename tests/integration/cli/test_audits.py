"""`audit history`, `show`, `docs`, `check-suite`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.command_line import Run
from tests.integration.library import Library

HERE = ("--collection", "library")
STRICT = "name: strict\nextends: recant_default\nexpectations:\n  - {name: text_is_not_repeated, severity: critical}\n"


def test_audits_are_kept_and_compared(recant: Run, library: Library) -> None:
    """The history with its trend, one audit with rows by id, and where its page is; `--no-keep` leaves no trace."""
    library.publish({"a": "The same sentence.", "b": "The same sentence."})
    assert recant("audit", *HERE, "--no-keep").code == 0
    assert "no audit yet" in recant("audit", "history", *HERE).out
    assert recant("audit", "show", *HERE).code == 2
    first = recant("audit", *HERE, "--json").document
    assert Path(first["data_docs"]).is_file()
    library.publish({"c": "The same sentence."})
    shown = recant("audit", *HERE, "--pages", "0")
    assert "text_is_not_repeated" in shown.out
    assert "Data Docs" not in shown.out
    history = recant("audit", "history", *HERE).out
    assert "▄█" in history or "▅█" in history
    assert "+1" in history
    told = recant("audit", "history", "--all", "--json").document["audits"]
    assert [entry["documents"] for entry in told] == [3, 2]
    one = recant("audit", "show", first["audit_id"])
    assert "text_is_not_repeated" in one.out
    assert "library" in one.out
    last = recant("audit", "show", *HERE, "--json").document
    assert {row["source"] for row in last["failing_rows"]["text_is_not_repeated"]} == {"b", "c"}
    assert last["data_docs"] is None
    docs = recant("audit", "docs", "--json").document
    assert (docs["exists"], Path(docs["index"]).is_file()) == (True, True)
    assert docs["index"] in recant("audit", "docs").out.replace("\n", "")


def test_what_was_hidden_is_put_down_with_the_audit(recant: Run, library: Library, home: Path) -> None:
    """The collection's own suite makes it critical; the quarantine is one operation, and the history names it."""
    (home / "suites").mkdir(parents=True)
    (home / "suites" / "library.yml").write_text(STRICT)
    library.publish({"a": "The same sentence.", "b": "The same sentence."}, agent="one")
    library.publish({"c": "The same sentence."}, agent="two")
    ended = recant("audit", *HERE, "--quarantine", "--json")
    assert (ended.code, ended.document["suite"], len(ended.document["quarantines"])) == (1, "strict", 1)
    assert library.view().keys() == {"a"}
    entry = recant("audit", "show", *HERE, "--json").document
    assert entry["quarantines"] == ended.document["quarantines"]
    assert f"operation {entry['quarantines'][0]}" in recant("audit", "show", *HERE).out
    assert recant("redo", entry["quarantines"][0], "--policy", "force").code == 0
    assert library.view().keys() == {"a", "b", "c"}


def test_suites_are_checked_without_data(recant: Run, home: Path, tmp_path: Path) -> None:
    """A file, or every file of the folder: what each says, and what is wrong with it."""
    assert "built-in" in recant("audit", "check-suite").out
    (home / "suites").mkdir(parents=True)
    good = home / "suites" / "press.yml"
    good.write_text(STRICT)
    checked = recant("audit", "check-suite", good)
    assert (checked.code, "text_is_not_repeated" in checked.out) == (0, True)
    bad = tmp_path / "bad.yml"
    bad.write_text("name: bad\nextends: recant_default\nexpectations: [{name: title_presnt, severity: info}]\n")
    wrong = recant("audit", "check-suite", bad)
    assert (wrong.code, "did you mean title_present" in wrong.err) == (1, True)
    told = recant("audit", "check-suite", "--json").document
    assert [(one["collection"], one["ok"]) for one in told["suites"]] == [("press", True)]
    assert told["suites"][0]["expectations"][0]["arguments"] == {"column": "chunk_index"}


@pytest.fixture
def home(recant: Run) -> Path:
    """The installation's folder, as the commands see it."""
    return Path(recant("audit", "docs", "--json").document["index"]).parents[2]
