"""`block add`, `block list`, `block lift`, and `rollback --block`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.integration.cli.command_line import Run
from tests.integration.library import Library


def test_rollback_block_is_shown_before_and_after(recant: Run, library: Library) -> None:
    """In the plan, in the report, and in the list; a redo of the rollback takes it off the list."""
    library.publish({"a": "good"}, agent="alice")
    library.publish({"a": "bad", "b": "bad too"}, agent="rogue")
    planned = recant("rollback", "--agent", "rogue", "--block", "--dry-run")
    assert "2 contents and the source b" in planned.out
    ended = recant("rollback", "--agent", "rogue", "--block", "--yes", "--as", "nora", "-m", "INC-7")
    assert ended.code == 0
    assert "Blocked: 2 contents and the source b." in ended.out
    blocks = recant("block", "list", "--json").document["blocks"]
    assert [(b["source"], b["seen_as"], b["agent"], b["reason"], b["state"]) for b in blocks] == [
        (None, "a", "nora", "INC-7", "in effect"),
        (None, "b", "nora", "INC-7", "in effect"),
        ("b", None, "nora", "INC-7", "in effect"),
    ]
    text = recant("block", "list").out
    assert "INC-7" in text
    recant("redo", str(blocks[0]["control_id"]))
    assert "Nothing is blocked." in recant("block", "list").out
    assert "rollback redone" in recant("block", "list", "--all").out


def test_a_rollback_of_nothing_blocks_nothing(recant: Run, library: Library) -> None:
    """It says so, and how to block without one."""
    library.publish({"a": "bad"}, agent="rogue")
    recant("rollback", "--agent", "rogue", "--yes")
    ended = recant("rollback", "--agent", "rogue", "--yes", "--block")
    assert ended.code == 0
    assert "Nothing was blocked either" in ended.out
    assert recant("block", "list", "--json").document == {"blocks": []}


def test_blocks_are_added_by_file_hash_and_source(recant: Run, tmp_path: Path, library: Library) -> None:
    """A file is blocked by what it holds, a path is made absolute, any other name is taken as it is."""
    file = tmp_path / "bad.md"
    file.write_text("# Bad\n\nIt is bad.\n")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    added = recant("block", "add", "--file", file, "--json", "-m", "wrong").document["blocks"]
    assert [(b["source_hash"], b["source"], b["collection"], b["agent"]) for b in added] == [
        (digest, None, None, "tester")
    ]
    by_hash = recant("block", "add", "--hash", digest, "-m", "wrong", "--json").document["blocks"]
    assert by_hash[0]["block_id"] == added[0]["block_id"]
    records = tmp_path / "records.jsonl"
    records.write_text('{"text": "one"}\n{"text": "two"}\n')
    library.publish({"a": "one"})
    given = ("block", "add", "--file", records, "--collection", "library", "-m", "no", "--json")
    assert [b["collection"] for b in recant(*given).document["blocks"]] == ["library", "library"]
    named = recant("block", "add", "--source", "moon", "-m", "no", "--json").document["blocks"]
    assert named[0]["source"] == "moon"
    at_address = recant("block", "add", "--source", "HTTP://me:pw@Example.org/a#b", "-m", "no", "--json").document[
        "blocks"
    ]
    assert at_address[0]["source"] == "http://example.org/a"


def test_a_path_that_is_there_is_made_absolute(recant: Run, tmp_path: Path, library: Library, monkeypatch) -> None:
    """As an ingest would name it."""
    (tmp_path / "bad.md").write_text("bad")
    monkeypatch.chdir(tmp_path)
    added = recant("block", "add", "--source", "bad.md", "-m", "no", "--json").document["blocks"]
    assert added[0]["source"] == str(tmp_path / "bad.md")


def test_blocks_are_lifted_by_id_or_by_their_rollback(recant: Run, library: Library) -> None:
    """With a reason, which stays on the list."""
    library.publish({"a": "bad", "b": "bad too"}, agent="rogue")
    done = recant("rollback", "--agent", "rogue", "--block", "--yes", "--json").document
    lifted = recant("block", "lift", "1", "-m", "a drill", "--as", "bob", "--json").document["blocks"]
    assert [(b["block_id"], b["state"], b["lifted_by"], b["lift_reason"]) for b in lifted] == [
        (1, "lifted", "bob", "a drill")
    ]
    rest = recant("block", "lift", "--rollback", done["rollback_operation_id"].__str__(), "-m", "all", "--json")
    assert [b["block_id"] for b in rest.document["blocks"]] == [2, 3, 4]
    assert "lifted by bob: a drill" in recant("block", "list", "--all").out
    assert recant("block", "list", "--json").document == {"blocks": []}


def test_what_block_cannot_do_ends_with_2(recant: Run, library: Library, tmp_path: Path) -> None:
    """And says what to do."""
    library.publish({"a": "one"})
    assert "what to block" in recant("block", "add", "-m", "why").err
    assert "will ask" in recant("block", "add", "--source", "a").err
    both = recant("block", "add", "--file", tmp_path, "--hash", "ab", "-m", "why")
    assert (both.code, "either" in both.err) == (2, True)
    assert recant("block", "add", "--file", tmp_path, "-m", "why").code == 2
    assert "64 hexadecimal" in recant("block", "add", "--hash", "ab", "-m", "why").err
    assert "Say which" in recant("block", "lift", "-m", "why").err
    assert "no block 3" in recant("block", "lift", "3", "-m", "why").err
    assert "No block in effect" in recant("block", "lift", "--rollback", "1", "-m", "why").err
    assert "part of it" in recant("rollback", "--plan", "0199f0c1-0000-0000-0000-000000000000", "--block", "--yes").err
