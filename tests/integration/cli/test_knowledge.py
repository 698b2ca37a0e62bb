"""`ingest` and `search`, with real embeddings."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.integration.cli.command_line import Run

INGEST_KEYS = {
    "operation_id", "position", "documents", "unchanged", "removed", "chunks", "embedded", "reused", "rejected", "seconds",
}  # fmt: skip
HIT_KEYS = {"rank", "score", "chunk_id", "document_id", "source", "text", "operation_id", "quality"}


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with two documents and one that can't be read as text."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    (folder / "cats.md").write_text("# Cats\n\nCats sleep most of the day and hunt mice at night.\n", "utf-8")
    (folder / "ships.md").write_text("# Ships\n\nA ship crosses the ocean under sail.\n", "utf-8")
    (folder / "noise.md").write_bytes(bytes(range(256)) * 20)
    return folder


def test_ingest_as_json(recant: Run, shelf: Path) -> None:
    """The report, with what was left out and why; nothing else on standard output."""
    ended = recant("ingest", shelf, "--json", "--agent", "librarian", "--session", "s", "--run", "r", "-m", "first")
    report = ended.document
    assert ended.code == 0
    assert report.keys() >= INGEST_KEYS
    assert (report["documents"], report["chunks"], report["embedded"]) == (2, 2, 2)
    assert [(Path(r["source"]).name, r["code"]) for r in report["rejected"]] == [("noise.md", "binary")]
    written = recant("log", "--json").document["operations"][0]
    assert (written["agent"], written["session"], written["run_id"], written["message"]) == (
        "librarian",
        "s",
        "r",
        "first",
    )


def test_ingest_as_text(recant: Run, shelf: Path) -> None:
    """What it came to in a sentence, and what was left out in a table."""
    text = recant("ingest", shelf).out
    assert "is published at position 1" in text
    assert "2 documents" in text
    assert "noise.md" in text
    assert "nothing new" not in text


def test_again_costs_nothing_and_says_so(recant: Run, shelf: Path) -> None:
    """Unchanged documents are counted as such, and no embedding is computed."""
    recant("ingest", shelf)
    again = recant("ingest", shelf, "--json").document
    assert (again["documents"], again["unchanged"], again["embedded"]) == (0, 2, 0)


def test_search_finds_by_meaning(recant: Run, shelf: Path) -> None:
    """The hits, best first, with what is promised of each."""
    position = recant("ingest", shelf, "--json").document["position"]
    ended = recant("search", "feline animals", "--json")
    found = ended.document
    assert ended.code == 0
    assert found["position"] == position
    assert [Path(hit["source"]).name for hit in found["hits"]] == ["cats.md", "ships.md"]
    assert found["hits"][0].keys() >= HIT_KEYS
    assert [hit["rank"] for hit in found["hits"]] == [1, 2]
    text = recant("search", "feline animals", "--limit", "1").out
    assert "cats.md" in text
    assert "Cats sleep" in text
    assert "ships.md" not in text


def test_search_finds_by_words(recant: Run, shelf: Path) -> None:
    """Phrases and exclusions count, a slip of a finger is said; upkeep of its index changes nothing."""
    recant("ingest", shelf)

    def found(query: str, mode: str = "keyword") -> list[str]:
        hits = recant("search", "--mode", mode, "--json", "--", query).document["hits"]
        return [Path(hit["source"]).name for hit in hits]

    assert [found("cats"), found("sleeping -cats"), found('"cats sleep"')] == [["cats.md"], [], ["cats.md"]]
    assert found("cats", "hybrid")[0] == "cats.md"
    said = recant("search", "--mode", "keyword", "slepe").out
    assert "Nothing has 'slepe': searched for 'sleep'" in said
    assert "cats.md" in said
    assert recant("tend", "keywords", "--json").document["keywords"][0]["collection"] == "knowledge"
    assert found("cats") == ["cats.md"]
    assert "only says what not to find" in recant("search", "--mode", "keyword", "--", "-cats").err


def test_a_batch_is_a_line_a_query(recant: Run, shelf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One JSON document a line, in the order asked, the same as one by one; blank lines are passed over."""
    recant("ingest", shelf)
    questions = tmp_path / "questions.txt"
    questions.write_text("feline animals\n\nsailing\n", "utf-8")
    lines = [json.loads(line) for line in recant("search", "--batch", questions, "--limit", "1").out.splitlines()]
    assert [(line["query"], Path(line["hits"][0]["source"]).name) for line in lines] == [
        ("feline animals", "cats.md"),
        ("sailing", "ships.md"),
    ]
    assert lines[1]["hits"] == recant("search", "sailing", "--limit", "1", "--json").document["hits"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("sailing\n"))
    assert json.loads(recant("search", "--batch", "-").out)["query"] == "sailing"


def test_search_as_of_filters_and_sessions(recant: Run, shelf: Path) -> None:
    """An earlier position, a condition on metadata, and a session are all asked for by flags."""
    recant("ingest", shelf / "cats.md")
    recant("ingest", shelf / "ships.md")

    def found(*flags: str) -> list[str]:
        hits = recant("search", "anything", "--json", *flags).document["hits"]
        return sorted(Path(hit["source"]).name for hit in hits)

    assert found() == ["cats.md", "ships.md"]
    assert found("--as-of", "1") == ["cats.md"]
    assert found("--as-of", "0") == []
    recant("tag", "add", "only-cats", "--at", "1")
    assert found("--as-of", "only-cats") == ["cats.md"]
    assert (found("--as-of", "0s"), found("--as-of", "1w")) == (["cats.md", "ships.md"], [])
    assert (recant("search", "x", "--as-of", "nosuch").code, recant("search", "x", "--as-of", "-1").code) == (2, 2)
    assert found("--filter", f"source={shelf}/ships.md") == ["ships.md"]
    assert found("--filter", "title=Cats", "--filter", "title=Ships") == ["cats.md", "ships.md"]
    assert found("--session", "nobody") == ["cats.md", "ships.md"]
    assert "Nothing found" in recant("search", "anything", "--filter", "title=Dogs").out
    assert found("--where", 'title in ("Cats", "Ships") and not source contains "ships"') == ["cats.md"]
    assert found("--where", "line_start >= 1", "--where", "agent exists", "--filter", "title=Ships") == ["ships.md"]
    refused = recant("search", "anything", "--where", "title = Cats", "--json")
    assert (refused.code, refused.document["error"]["details"]["position"]) == (2, 9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search", "x", "--collection", "nope"], "nope"),
        (["search", "x", "--mode", "hybrid", "--semantic-weight", "2"], "from 0 to 1"),
        (["search", "   "], ""),
        (["search", "--batch", "/no/such/file"], "No such file"),
        (["ingest", "/tmp", "--collection", "NOT a name"], "NOT a name"),
    ],
)
def test_wrong_questions_are_usage_errors(recant: Run, arguments: list[str], words: str) -> None:
    """Exit code 2 and a line that says what is wrong."""
    ended = recant(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err


def test_a_missing_source_is_rejected_by_name(recant: Run, shelf: Path) -> None:
    """The rest goes on."""
    report = recant("ingest", shelf / "cats.md", shelf / "dogs.md", "--json").document
    assert report["documents"] == 1
    assert [(Path(r["source"]).name, r["code"]) for r in report["rejected"]] == [("dogs.md", "missing")]


def test_many_rejections_are_summed_up(recant: Run, shelf: Path) -> None:
    """The first ones are shown, and where to see the rest."""
    missing = [shelf / f"{number}.md" for number in range(25)]
    text = recant("ingest", shelf / "cats.md", *missing).out
    assert text.count("missing") == 20
    assert "… and 5 more: `recant show 1` lists them." in text


def test_a_batch_must_be_utf_8(recant: Run, shelf: Path, tmp_path: Path) -> None:
    """The file is named, and nothing is made up for what can't be read."""
    recant("ingest", shelf / "cats.md")
    questions = tmp_path / "questions.txt"
    questions.write_bytes(b"\xff\xfe broken")
    ended = recant("search", "--batch", questions)
    assert ended.code == 2
    assert "isn't UTF-8" in ended.err


def test_what_a_session_reads_and_cites_is_shown(recant: Run, shelf: Path, tmp_path: Path) -> None:
    """`show` says what a write was based on, and what its session was shown before; digits are a chunk's id."""
    recant("ingest", shelf)
    (hit,) = recant("search", "feline animals", "--session", "s", "--limit", "1", "--json").document["hits"]
    (tmp_path / "note.md").write_text("# Note\n\nCats, and ships.\n", "utf-8")
    cited = ("--based-on", str(hit["chunk_id"]), "--based-on", shelf / "ships.md")
    made = recant("ingest", tmp_path / "note.md", "--session", "s", *cited, "--json").document["operation_id"]
    found = recant("show", str(made), "--json").document
    assert [(Path(row["source"]).name, row["operation_id"]) for row in found["based_on"]] == [
        ("cats.md", 1),
        ("ships.md", 1),
    ]
    (search,) = found["searches"]
    assert (search["query"], search["agent"], search["shown"], search["position"]) == (
        "feline animals",
        "tester",
        [1],
        1,
    )
    assert "feline animals" in recant("show", str(made)).out


@pytest.mark.parametrize(("named", "words"), [("999", "no chunk 999"), ("dogs.md", "no document 'dogs.md'")])
def test_what_is_not_there_cannot_be_based_on(recant: Run, shelf: Path, named: str, words: str) -> None:
    """Exit code 2, and no operation."""
    ended = recant("ingest", shelf, "--based-on", named)
    assert ended.code == 2
    assert words in ended.err
    assert recant("log", "--json").document["operations"] == []


def test_nothing_that_exists_ends_with_2(recant: Run, tmp_path: Path) -> None:
    """The call was wrong; the operation is aborted and says why."""
    ended = recant("ingest", tmp_path / "nowhere.md", "--json")
    assert (ended.code, ended.document["error"]["type"]) == (2, "BadSource")
    assert "None of these sources exists" in ended.document["error"]["message"]
    (operation,) = recant("log", "--json").document["operations"]
    assert (operation["state"], "None of these" in operation["reason"]) == ("aborted", True)


def test_an_ingest_takes_a_suite(recant: Run, shelf: Path, tmp_path: Path) -> None:
    """A file of expectations; one that isn't there is a usage error."""
    suite = tmp_path / "own.yml"
    suite.write_text(
        "name: own\nexpectations:\n  - {name: titles, expectation: expect_column_values_to_not_be_null, severity: critical, "
        "arguments: {column: title}}\n"
    )
    made = recant("ingest", shelf, "--suite", suite, "--json").document["operation_id"]
    assert [c["suite"] for c in recant("show", str(made), "--json").document["quality_checks"]] == ["own"]
    ended = recant("ingest", shelf, "--suite", tmp_path / "nowhere.yml")
    assert (ended.code, "nowhere.yml can't be read" in ended.err) == (2, True)
