"""`search` with duplicates, diversity and context, and `weights`, with real embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.cli.command_line import Run

NOTICE = "Permission is granted to anybody who obtains a copy of this handbook to read it aloud on any ship at sea."


@pytest.fixture
def shelf(recant: Run, tmp_path: Path) -> Path:
    """Two handbooks with the same notice, of three sections each."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name, thing in (("cats", "cat hunts mice at night"), ("ships", "ship crosses the ocean under sail")):
        sections = [
            f"## Notice\n\n{NOTICE}\n",
            f"## Life\n\nA {thing}.\n",
            f"## Work\n\nNo {thing.split()[0]} rests.\n",
        ]
        (folder / f"{name}.md").write_text("# Handbook\n\n" + "\n".join(sections), "utf-8")
    assert recant("ingest", folder).code == 0
    return folder


def test_a_text_of_two_documents_is_shown_once(recant: Run, shelf: Path) -> None:
    """With both, in JSON and for people; as boilerplate not at all."""
    query = ("search", "permission to read a copy aloud", "-n", 3)
    plain = [hit["source"] for hit in recant(*query, "--json", "--mode", "keyword").document["hits"]]
    folded = recant(*query, "--fold", "--json").document["hits"][0]
    named = {Path(folded["source"]).name, *(Path(also["source"]).name for also in folded["also_in"])}
    assert named == {"cats.md", "ships.md"}
    assert "also in" in recant(*query, "--fold").out
    left = recant(*query, "--boilerplate-from", 2, "--json", "--mode", "keyword").document["hits"]
    assert len(plain) >= 1
    assert all(NOTICE not in hit["text"] for hit in left)


def test_what_stands_around_a_hit_is_shown(recant: Run, shelf: Path) -> None:
    """Before and after it, in the document's order."""
    found = recant("search", "crosses the ocean", "-n", 1, "--mode", "hybrid", "--context", 1, "--json").document
    (hit,) = found["hits"]
    assert [chunk["distance"] for chunk in hit["context"]] == [-1, 1]
    assert NOTICE in hit["context"][0]["text"]
    text = recant("search", "crosses the ocean", "-n", 1, "--context", 1).out
    assert text.index("Permission") < text.index("crosses the ocean") < text.index("rests")
    section = recant("search", "crosses the ocean", "-n", 1, "--section", "parent", "--diversity", 0.5, "--json")
    assert len(section.document["hits"][0]["context"]) == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--diversity", 2), "from 0 to 1"),
        (("--context", 50), "0 to 20"),
        (("--boilerplate-from", 1), "2 to 1,000"),
        (("--semantic-weight", -1), "from 0 to 1"),
        (("--rerank",), "RECANT_RERANKER"),
    ],
)
def test_what_can_t_be_asked_for_is_said(recant: Run, database: str, flags: tuple[object, ...], said: str) -> None:
    """With what can be."""
    ended = recant("search", "anything", *map(str, flags))
    assert ended.code != 0
    assert said in " ".join(ended.err.split())


def test_a_reranker_that_is_not_there_is_said(recant: Run, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its folder, when it is first needed; searches that don't ask for it go on."""
    monkeypatch.setenv("RECANT_RERANKER", str(shelf / "nowhere"))
    assert recant("search", "sail").code == 0
    ended = recant("search", "sail", "--rerank")
    assert ended.code != 0
    assert "nowhere" in ended.err


def test_weights(recant: Run, shelf: Path, tmp_path: Path) -> None:
    """Set, shown, found, taken away; a rollback of the operation gives back what held before."""
    assert "Nothing is set" in recant("weights", "show").out
    change = recant("weights", "set", "--semantic-weight", 0.2, "--json").document
    assert f"operation {change['operation_id']}" in recant("weights", "show").out
    assert recant("weights", "show", "--json").document["semantic_weight"] == 0.2
    assert "set" in recant("weights", "set", "--fusion", "rrf").out
    assert recant("weights", "unset", "--json").document["removed"]
    assert recant("weights", "unset").code != 0
    assert recant("weights", "set").code != 0
    rows = [{"query": f"{word} {n}", "expected": ["ships.md"]} for n in range(10) for word in ("ship", "sail")]
    queries = tmp_path / "queries.jsonl"
    queries.write_text("\n".join(map(json.dumps, rows)))
    told = recant("weights", "tune", queries, "--apply").out
    assert "On the 10 queries held out" in told
    assert "nothing was set" in told
    found = recant("weights", "tune", queries, "--json").document
    assert (found["applied"], found["chosen_on"], len(found["tried"])) == (None, 10, 18)


def test_weights_that_are_better_are_set(recant: Run, shelf: Path, tmp_path: Path) -> None:
    """Where the queries held out tell so."""
    for n in range(32):
        (shelf / f"x{n}.md").write_text(
            f"# Part\n\nThe part E{1000 + n} is made of brass and sold by weight.\n", "utf-8"
        )
    recant("ingest", shelf)
    recant("weights", "set", "--semantic-weight", 1)
    rows = [{"query": f"E{1000 + n}", "expected": [f"x{n}.md"]} for n in range(32)]
    queries = tmp_path / "queries.jsonl"
    queries.write_text("\n".join(map(json.dumps, rows)))
    found = recant("weights", "tune", queries, "--apply", "--json").document
    assert found["is_better"]
    assert found["applied"]["operation_id"] > 0
    assert recant("log", "--json").document["operations"][0]["message"] == "tuned on queries.jsonl"
    assert recant("evaluate", queries, "--mode", "hybrid", "--semantic-weight", 1, "--keep").code != 0
