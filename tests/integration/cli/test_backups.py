"""`backup`: from the command line to a database that shows the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from recant.store import Database
from tests.integration.cli.command_line import Run
from tests.integration.library import Library


def test_there_and_back(
    recant: Run, library: Library, empty_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Made, listed, verified, restored into an empty database; old ones deleted."""
    assert "There is no backup in" in recant("backup", "list").out
    library.publish({"a": "one"})
    assert "holds the log up to position 1" in recant("backup", "create").out
    made = recant("backup", "create", "--json").document
    assert (made["kind"], made["position"], list(made["files"])) == ("logical", 1, ["knowledge.dump"])
    assert recant("backup", "list", "--json").document["backups"][0]["name"] == made["name"]
    assert made["name"] in recant("backup", "list").out
    assert recant("backup", "verify", "latest", "--json").document["name"] == made["name"]
    assert "is whole" in recant("backup", "verify", made["folder"]).out
    assert "last backup" in recant("status").out
    assert recant("backup", "restore", "latest").code == 1
    assert recant("backup", "verify", "nosuch").code == 2
    assert recant("backup", "create", "--kind", "physical").code == 2
    monkeypatch.setenv("RECANT_DSN", empty_database)
    assert recant("backup", "restore", "latest", "--json").document["position"] == 1
    with Database(empty_database) as restored:
        assert Library(restored).view() == {"a": "one"}
    assert recant("verify").code == 0
    assert len(recant("backup", "prune", "--keep", "1", "--json").document["pruned"]) == 1
    assert recant("backup", "prune").out == "There is none too many.\n"
    damaged = tmp_path / "home" / "backups" / made["name"] / "knowledge.dump"
    damaged.write_bytes(b"no dump")
    assert recant("backup", "verify", "latest").code == 1
