"""`recant reembed`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.cli.command_line import Run
from tests.shorter_model import shorter_model


@pytest.fixture
def queries(recant: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two documents, queries about them, and another model that is listed."""
    monkeypatch.setenv("RECANT_MODELS", str(shorter_model(tmp_path / "models", dimensions=64)))
    folder = tmp_path / "shelf"
    folder.mkdir()
    (folder / "cats.md").write_text("# Cats\n\nCats sleep most of the day and hunt mice at night.\n", "utf-8")
    (folder / "ships.md").write_text("# Ships\n\nA ship crosses the ocean under sail.\n", "utf-8")
    assert recant("ingest", folder).code == 0
    rows = [
        {"query": "animals that hunt at night", "expected": "cats.md"},
        {"query": "sailing", "expected": "ships.md"},
    ]
    place = tmp_path / "queries.jsonl"
    place.write_text("\n".join(map(json.dumps, rows)))
    return place


def test_a_model_is_built_compared_changed_over_to_and_given_up(recant: Run, queries: Path) -> None:
    """Each step says what it did, as text and as a document."""
    built = recant("reembed", "build", "minilm-6-64")
    assert "2 texts have vectors of minilm-6-64 (64 dimensions); 2 were computed now" in built.out
    assert recant("reembed", "build", "minilm-6-64", "--json").document["embedded"] == 0
    assert "0 queries lost" in recant("reembed", "compare", "minilm-6-64", queries).out
    (compared,) = recant("reembed", "compare", "minilm-6-64", queries, "--json").document["comparisons"]
    assert compared["after"]["measures"]["ndcg"] == 1.0
    assert "built" in recant("reembed", "status").out
    switched = recant("reembed", "switch", "minilm-6-64", "--queries", queries, "-m", "shorter")
    assert "is searched by minilm-6-64 (64 dimensions)" in switched.out
    assert "nDCG 1.0000 → 1.0000" in switched.out
    assert recant("search", "sailing", "-n", 1, "--json").document["hits"][0]["source"].endswith("ships.md")
    assert "64" in recant("collections").out
    refused = recant("reembed", "drop", "all-MiniLM-L6-v2")
    assert (refused.code, "soak goes on" in refused.err) == (1, True)
    assert "is embedded with minilm-6-64 only" in recant("reembed", "settle").out
    assert recant("reembed", "fill", "--json").document["embedded"] == 0
    states = [space["state"] for space in recant("reembed", "status", "--json").document["spaces"]]
    assert states == ["in use", "kept"]
    assert recant("rollback", "--kind", "reembed", "--yes").code == 0
    assert recant("reembed", "drop", "minilm-6-64", "--json").code == 1, "positions that can be asked about used it"
    again = recant("reembed", "switch", "minilm-6-64", "--soak", "0s", "--json")
    assert again.document["embedded"] == 0
    assert recant("reembed", "settle", "--json").code == 2


def test_a_candidate_is_dropped(recant: Run, queries: Path) -> None:
    """What was built and not taken."""
    recant("reembed", "build", "minilm-6-64")
    assert "2 vectors were deleted." in recant("reembed", "drop", "minilm-6-64").out
