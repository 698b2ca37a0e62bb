"""`lineage show`, `lineage failure`, and pictures, `blast-radius` among them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from recant.cli import trees
from recant.cli.output import Output
from recant.lineage import Start
from recant.oplog import Attribution, Selector
from tests.integration.cli.command_line import Run
from tests.integration.library import Library
from tests.integration.lineage.lineage_histories import begin, export, lineage_of, of_dag, publish
from tests.integration.lineage.test_lineage_answers import show

HOSTILE = "<script>alert(1)</script>\"'`]]\n%%{init: {}}%%"


@pytest.fixture
def written(library: Library) -> list[int]:
    """A folder is ingested; two DAGs build on it, the second is quarantined."""
    first = publish(library, {"/srv/docs/a.md": "one"}, reads=["/srv/docs"])
    second = publish(
        library, {"b": "two"}, {"/srv/docs/a.md": "derived"}, by=of_dag("summarise", "s1"), reads=["library"]
    )
    third = publish(library, {"c": "three"}, {"b": "cited"}, by=of_dag("translate", "t1"), reads=["library"])
    library.rollback.quarantine(Selector(operations=(third,)), Attribution("somebody"))
    return [first, second, third]


def test_a_tree_of_what_was_built_on_an_operation(recant: Run, written: list[int]) -> None:
    """In a pipe a line a node, deeper by two spaces; hidden ones say so."""
    first, _, third = written
    lines = recant("lineage", "show", "--operation", str(first)).out.splitlines()
    assert lines[0] == f"Lineage of operation {first}, as of position 4"
    up, down = lines.index("What it was built on, upstream:"), lines.index("What was built on it, downstream:")
    assert any(line.startswith("  read  /srv/docs") for line in lines[up:down])
    below = [line for line in lines[down:] if "ingest" in line]
    assert [line.index("i") for line in (line.replace("derived  ", "").replace("cited  ", "") for line in below)] == [
        0,
        2,
        4,
    ]
    assert "derived  ingest" in below[1]
    assert "in summarise.publish" in below[1]
    assert f"cited  ingest {third}" in below[2]
    assert "QUARANTINED" in below[2]
    assert lines.count("  wrote  collection library") == 1, "a node stands where it is nearest"


def test_what_was_merely_shown_is_possible(recant: Run, library: Library, written: list[int]) -> None:
    """It says so, by operation and by job; `--definite` leaves it out."""
    show(library, "s", written[0], "/srv/docs/a.md")
    reader = publish(library, {"after": "reading"}, by=Attribution("reader", "s"))
    command = ("lineage", "show", "--operation", str(written[0]), "--down")
    (line,) = [line for line in recant(*command).out.splitlines() if f"ingest {reader}" in line]
    assert line.startswith(f"  shown before it wrote  ingest {reader}")
    assert line.endswith("POSSIBLE")
    assert "1 possible" in recant(*command, "--level", "jobs").out
    assert f"ingest {reader}" not in recant(*command, "--definite").out


def test_a_failure_counts_what_was_merely_shown(recant: Run, library: Library) -> None:
    """By itself: it isn't among what was built on the run."""
    bad = publish(library, {"bad": "one"}, by=of_dag("load", "l1"))
    show(library, "s", bad, "bad")
    publish(library, {"after": "reading"}, by=Attribution("reader", "s"))
    told = recant("lineage", "failure", "--dag", "load").out
    assert "Built on it: 0 operations." in told
    assert "Possibly, as sessions were shown it before they wrote: 1 operation (1 published)." in told


def test_up_down_and_depth(recant: Run, written: list[int]) -> None:
    """Only that way, only so far."""
    up = recant("lineage", "show", "--operation", str(written[2]), "--up", "--depth", "1").out
    assert f"ingest {written[1]}" in up
    assert f"ingest {written[0]} " not in up
    assert "downstream:" not in up
    assert "upstream:" not in recant("lineage", "show", "--position", "1", "--down").out


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--dataset", "library"], "wrote  ingest.library  (1 run, last at position 1)"),
        (["--dataset", "/srv/docs", "--level", "runs"], "by alice"),
        (["--document", "/srv/docs/a.md"], "derived  ingest"),
        (["--run", "s1"], "summarise.publish"),
        (["--dag", "summarise"], "summarise.publish.ingest.library  (1 run"),
        (["--task", "summarise.publish", "--level", "runs"], "cited  ingest"),
        (["--operation", "1", "--level", "jobs"], "translate.publish.ingest.library"),
        ([], "/srv/docs"),
    ],
)  # fmt: skip
def test_it_starts_anywhere(recant: Run, written: list[int], flags: list[str], expected: str) -> None:
    """At a dataset, a document, a run, a DAG, a task; or shows everything."""
    assert expected in recant("lineage", "show", *flags).out


def test_as_json_it_is_the_whole_graph(recant: Run, written: list[int]) -> None:
    """With the position that was asked about."""
    found = recant("lineage", "show", "--operation", str(written[0]), "--as-of", "2", "--json").document
    assert (found["position"], found["level"]) == (2, "runs")
    assert [node["operation_id"] for node in found["operations"]] == written[:2]
    assert {edge["relation"] for edge in found["edges"]} == {"read", "wrote", "derived"}


def test_questions_that_cannot_be_answered(recant: Run, written: list[int], tmp_path: Path) -> None:
    """No start for a direction; two starts; an unknown one; a picture as JSON; a form that isn't said; no such folder."""
    for flags in (
        ["--up"], ["--level", "runs"], ["--operation", "1", "--run", "s1"], ["--operation", "999"],
        ["--dataset", "nothing"], ["--json", "--format", "svg"], ["-o", "picture.png"],
        ["-o", tmp_path / "absent" / "x.svg"],
    ):  # fmt: skip
        ended = recant("lineage", "show", *flags)
        assert (ended.code, ended.out if "--json" not in flags else "") == (2, ""), flags


def test_an_empty_log_has_no_lineage(recant: Run, library: Library) -> None:
    """It says so."""
    assert "Nothing was written yet." in recant("lineage", "show").out


def test_a_tree_is_cut_where_it_is_wide_and_says_when_there_is_more(
    recant: Run, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty children of a node; as many operations as --limit says."""
    monkeypatch.setattr(trees, "LONGEST_FAN", 3)
    first = publish(library, {"a": "one"})
    for _ in range(6):
        publish(library, {}, {"a": "affirmed"})
    text = recant("lineage", "show", "--operation", str(first), "--down").out
    assert "… and 4 more like these" in text
    assert "--limit" not in text
    assert "There is more: --limit" in recant("lineage", "show", "--operation", str(first), "--limit", "4").out


def test_how_far_a_failure_reaches(recant: Run, library: Library, written: list[int]) -> None:
    """What was built on it by DAG, what is still seen of it, who reads what it writes."""
    text = recant("lineage", "failure", "--run", "s1").out
    assert "run s1: 1 operation (1 published)" in text
    assert "Built on it: 1 operation (1 hidden)" in text
    assert "translate" in text
    found = recant("lineage", "failure", "--dag", "summarise", "--json").document
    assert found["operations"] == 1
    assert found["records"] == {"document": 1, "chunk": 1}
    failed = begin(library, by=of_dag("load", "broken"))
    library.log.abort(failed, "no", failed=True)
    assert "1 aborted" in recant("lineage", "failure", "--run", "broken").out
    assert recant("lineage", "failure").code == 2
    svg = recant("lineage", "failure", "--task", "summarise.publish", "--format", "svg").out
    assert svg.startswith("<svg")


@pytest.mark.parametrize(
    ("name", "begins"), [("a.mmd", "flowchart"), ("a.dot", "digraph"), ("a.svg", "<svg"), ("a.html", "<!doctype html>")]
)
def test_pictures_go_into_files(
    recant: Run, library: Library, written: list[int], tmp_path: Path, name: str, begins: str
):
    """The ending says the form; names that agents chose stay names; a blast radius is drawn alike."""
    library.log.publish(library.open(agent=HOSTILE))
    publish(library, {"d": "four"}, {"b": "affirmed"}, by=Attribution(HOSTILE))
    for command in (["lineage", "show", "--operation", "1"], ["blast-radius", "--operation", "1"]):
        file = tmp_path / name
        ended = recant(*command, "--output", file)
        assert (ended.code, ended.out) == (0, "")
        assert str(file) in ended.err.replace("\n", "")
        text = file.read_text("utf-8")
        assert text.startswith(begins)
        assert "ingest 1" in text.replace("#32;", " ")
        assert "<script>alert" not in text or name == "a.dot", "in DOT a label is a quoted string"
        assert "%%{init" not in text or name != "a.mmd"
        assert recant(*command, "--format", {"mmd": "mermaid"}.get(name[2:], name[2:])).out == text


def test_a_blast_radius_is_drawn_with_what_is_only_possible(recant: Run, library: Library) -> None:
    """Dashed; what is withdrawn already is pale."""
    from recant.search import Searcher

    first = library.publish({"a": "one"}, agent="alice")
    Searcher(library.database, library.model.vector).search("x", collection="library", session="s", agent="bob")
    library.publish({"b": "two"}, agent="bob", session="s")
    text = recant("blast-radius", "--operation", str(first), "--format", "dot").out
    assert "style=dashed" in text
    assert "bob, possible" in text
    assert recant("blast-radius", "--operation", str(first), "--format", "dot", "--json").code == 2


def test_files_that_hold_it_are_named(recant: Run, library: Library, written: list[int]) -> None:
    """In the tree, in what a failure reaches, and in pictures, with their state."""
    export(library, "/out/all.csv")
    library.rollback.quarantine(Selector(operations=(written[0],)), Attribution("somebody"))
    assert "holds  file /out/all.csv (stale)" in recant("lineage", "show", "--operation", str(written[0])).out
    text = recant("lineage", "failure", "--run", "s1").out
    assert "Files that hold any of it" in text
    assert "/out/all.csv" in text
    assert "/out/all.csv" in recant("lineage", "show", "--operation", str(written[0]), "--format", "svg").out
    assert "Files: /out/all.csv" in recant("blast-radius", "--operation", str(written[0]), "--format", "svg").out


def test_on_a_terminal_the_tree_is_drawn(library: Library, written: list[int]) -> None:
    """With its branches as lines; control characters of names stay out of the terminal."""
    publish(library, {}, {"b": "affirmed"}, by=Attribution("mallory\x1b[2J"))
    stream = io.StringIO()
    output = Output(stream=stream)
    output.console = Console(file=stream, force_terminal=True, color_system=None, width=200, highlight=False)
    trees.show_graph(output, lineage_of(library).downstream(Start(operation=written[0])))
    text = stream.getvalue()
    assert "└── wrote  collection library" in text
    assert f"├── derived  ingest {written[1]}" in text
    assert "│   ├── cited" in text
    assert "\x1b[2J" not in text
    assert "mallory" in text
