"""`evaluate`, with real embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.cli.command_line import Run


@pytest.fixture
def queries(recant: Run, tmp_path: Path) -> Path:
    """A folder that is ingested, and queries about it."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    (folder / "cats.md").write_text("# Cats\n\nCats sleep most of the day and hunt mice at night.\n", "utf-8")
    (folder / "ships.md").write_text("# Ships\n\nA ship crosses the ocean under sail.\n", "utf-8")
    assert recant("ingest", folder).code == 0
    rows = [
        {"query": "animals that hunt at night", "expected": ["cats.md"]},
        {"query": "sailing", "expected": "ships.md"},
    ]
    place = tmp_path / "queries.jsonl"
    place.write_text("\n".join(map(json.dumps, rows)))
    return place


def test_evaluate(recant: Run, queries: Path) -> None:
    """Measures as JSON and as a table; kept, and listed; 1 below a bound, after saying so."""
    found = recant("evaluate", queries, "--keep", "--json")
    (report,) = found.document["evaluations"]
    assert (found.code, report["measures"]["ndcg"], report["mode"], report["queries"]) == (0, 1.0, "hybrid", 2)
    assert [one["id"] for one in report["per_query"]] == ["1", "2"]
    shown = recant("evaluate", queries, "-k", 5)
    assert "nDCG@5" in shown.out
    assert "2 queries of queries.jsonl" in shown.out
    (kept,) = recant("evaluate", "--history", "--json").document["history"]
    assert kept["evaluation_id"] == report["evaluation_id"]
    assert "queries.jsonl" in recant("evaluate", "--history").out
    under = recant("evaluate", queries, "--where", 'title = "Cats"', "--fail-under", 0.9)
    assert (under.code, "0.5" in under.err) == (1, True)
    assert "found by no query" in under.out


def test_before_and_after(recant: Run, queries: Path, tmp_path: Path) -> None:
    """What a bad ingest did: the queries that lost, what is shown instead, and the operation."""
    recant("evaluate", queries, "--keep", "-k", 1)
    spam = tmp_path / "spam"
    spam.mkdir()
    (spam / "spam.md").write_text("# Sailing\n\nSailing, sailing, sailing.\n", "utf-8")
    recant("ingest", spam, "--agent", "spammer")
    text = recant("evaluate", queries, "--compare", 1, "-k", 1).out
    assert "1 queries lost" in text
    assert "spammer" in text
    (comparison,) = recant("evaluate", queries, "--compare", 1, "--as-of", 2, "-k", 1, "--json").document["comparisons"]
    assert [change["text"] for change in comparison["lost"]] == ["sailing"]
    assert comparison["since"][0]["agent"] == "spammer"
    dropped = recant("evaluate", queries, "--keep", "-k", 1).out
    assert "nDCG is 0.5000 lower than it was" in dropped
    assert "spammer" in dropped


def test_history_starts_empty(recant: Run, queries: Path) -> None:
    """And says how to begin one."""
    assert "--keep" in recant("evaluate", "--history").out
    for words in ([], [queries, "--history"], [queries, "--compare", 1, "--keep"]):
        assert recant("evaluate", *words).code == 2
