"""`diff`."""

from __future__ import annotations

import pytest

from tests.integration.cli.command_line import Run
from tests.integration.library import Library


@pytest.fixture
def two(library: Library) -> tuple[int, int]:
    """Two operations on the default collection: the second changes, adds and removes."""
    library.name = "knowledge"
    first = library.publish({"a": "One. Two.", "b": "Gone."})
    return first, library.publish({"a": "One. Zwei.", "b": None, "c": "New\x1b[31m."})


def test_a_diff_is_shown_as_text(recant: Run, two: tuple[int, int]) -> None:
    """Counts by kind, then a unified diff for each document; nobody's text steers the terminal."""
    ended = recant("diff", "1", "2")
    assert ended.code == 0
    first, second = two
    assert ended.out.splitlines()[:3] == [
        "knowledge, position 1 → 2",
        "records   added  removed  changed",
        "document      1        1        1",
    ]
    assert f"--- a\toperation {first}\n+++ a\toperation {second}\n@@ -1,2 +1,2 @@\n One.\n-Two.\n+Zwei.\n" in ended.out
    assert "--- /dev/null\n+++ c" in ended.out
    assert "+New\N{REPLACEMENT CHARACTER}[31m." in ended.out


def test_a_diff_is_a_document(recant: Run, two: tuple[int, int]) -> None:
    """One JSON document, with `--stat` without the documents."""
    found = recant("diff", "1", "--json").document
    assert (found["collection"], found["before"], found["after"], found["operation_id"]) == ("knowledge", 1, 2, None)
    assert found["counts"] == {"document": {"added": 1, "removed": 1, "changed": 1}}
    assert [(d["source"], d["change"]) for d in found["documents"]] == [
        ("a", "changed"),
        ("b", "removed"),
        ("c", "added"),
    ]
    assert found["documents"][0]["diff"].endswith("\n One.\n-Two.\n+Zwei.\n")
    assert recant("diff", "1", "--json", "--stat").document == {n: v for n, v in found.items() if n != "documents"}
    assert "@@" not in recant("diff", "1", "--stat").out
    assert recant("diff", "2", "--json").document["documents"] == []
    assert recant("diff", "2").out == "knowledge, position 2 → 2: nothing differs\n"


def test_what_an_operation_changed(recant: Run, library: Library, two: tuple[int, int]) -> None:
    """Without it and with it, at its position; one document alone where asked for."""
    library.publish({"c": "Later."})
    found = recant("diff", "--operation", two[1], "--source", "c", "--json").document
    assert (found["before"], found["after"], found["operation_id"], found["source"]) == (1, 2, two[1], "c")
    assert [d["change"] for d in found["documents"]] == ["added"]
    assert f"knowledge, operation {two[1]}, position 1 → 2" in recant("diff", f"--operation={two[1]}", "--stat").out


def test_times_are_moments_too(recant: Run, two: tuple[int, int]) -> None:
    """The last position by then; without a zone it is UTC, and that is said."""
    ended = recant("diff", "2020-01-01", "0s", "--json")
    assert (ended.document["before"], ended.document["after"]) == (0, 2)
    assert "(UTC)" in ended.err


def test_tags_are_moments_too(recant: Run, two: tuple[int, int]) -> None:
    """A tag stands for its position."""
    assert recant("tag", "add", "first", "--at", "1").code == 0
    assert recant("diff", "first", "--json").document["before"] == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "either one or two moments, or an operation"),
        (["1", "--operation", "1"], "either one or two moments, or an operation"),
        (["yesterday"], "neither a position, nor a tag"),
        (["0", "77"], "not in the log"),
        (["--operation", "99"], "no operation 99"),
        (["0", "--collection", "elsewhere"], "elsewhere"),
    ],
)
def test_what_is_wrong_is_said(recant: Run, two: tuple[int, int], arguments: list[str], complaint: str) -> None:
    """With exit code 2."""
    ended = recant("diff", *arguments)
    assert ended.code == 2
    assert complaint in ended.err
