"""Artifacts: files outside the database whose state follows from the log."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recant
from recant import Selector
from recant.artifacts import ArtifactFile
from recant.errors import OperationClosed, RecantError, StaleBatch, UnknownCollection, UsageError
from recant.oplog import Attribution
from recant.settings import read_settings
from tests.integration.library import Library


@pytest.fixture
def kb(database: str, tmp_path) -> Iterator[recant.KnowledgeBase]:
    found = replace(read_settings({"RECANT_AGENT": "keeper"}), home=tmp_path, dsn=database)
    with recant.connect(settings=found) as opened:
        yield opened


@pytest.fixture
def library(kb: recant.KnowledgeBase) -> Library:
    return Library(kb.database)


def made(kb: recant.KnowledgeBase, path: str = "/tmp/x.h5", *, publish: bool = True, **given: object) -> int:
    """An export of what is seen at this moment, without a file."""
    operation_id = kb.operations.open("export", Attribution("keeper"))
    batch_id, position = kb.operations.begin_batch(operation_id, "file"), kb.position()
    artifact_id = kb.artifacts.record(batch_id, **{**described(path, position), **given})
    kb.operations.finish_batch(batch_id, {"rows": 1})
    if publish:
        kb.operations.publish(operation_id)
    return artifact_id


def described(path: str, position: int) -> dict[str, object]:
    digest = hashlib.sha256(path.encode()).hexdigest()
    return {
        "kind": "export",
        "path": Path(path),
        "format": "csv",
        "position": position,
        "read_position": position,
        "sha256": digest,
        "size_bytes": 7,
        "files": [ArtifactFile("documents.csv", digest, 7, 1)],
    }


def undo(kb: recant.KnowledgeBase, operation_id: int, **options: object) -> int:
    report = kb.rollback(Selector(operations=(operation_id,)), policy="force", **options)
    assert report.rollback_operation_id
    return report.rollback_operation_id


def test_an_artifact_is_there_once_its_operation_is_published(kb, library):
    """With all that was said of it, and its file's digest."""
    library.publish({"a": "one"})
    hidden = made(kb, publish=False)
    with pytest.raises(UsageError, match="no artifact"):
        kb.artifacts.get(hidden)
    found = kb.artifacts.get(made(kb, "/tmp/y.csv", scope={"with": ["chunks"]}))
    assert (found.kind, found.path, found.format, found.position, found.state) == (
        "export",
        "/tmp/y.csv",
        "csv",
        1,
        "current",
    )
    assert (found.scope, found.files[0].rows, found.agent) == ({"with": ["chunks"]}, 1, "keeper")
    assert found.sha256 == hashlib.sha256(b"/tmp/y.csv").hexdigest()
    assert found.to_dict()["files"][0]["path"] == "documents.csv"
    assert kb.artifacts.find(path="/tmp/y.csv", kind="export", states=["current"]) == [found]


def test_a_rollback_makes_it_stale_and_a_redo_current(kb, library):
    """And the reasons name what is hidden, and by which operation."""
    one, _ = library.publish({"a": "one"}), library.publish({"b": "two"})
    artifact_id = made(kb)
    taken_back = undo(kb, one)
    assert kb.artifacts.get(artifact_id).state == "stale"
    (reason,) = kb.artifacts.reasons(artifact_id)
    assert (reason.reason, reason.operation_id, reason.record_id, reason.control_id) == (
        "hidden",
        one,
        None,
        taken_back,
    )
    kb.redo(taken_back)
    assert kb.artifacts.get(artifact_id).state == "current"
    assert kb.artifacts.reasons(artifact_id) == []


def test_what_came_later_makes_nothing_stale(kb, library):
    """It was never in the file, whether it stays or goes."""
    library.publish({"a": "one"})
    artifact_id = made(kb)
    undo(kb, library.publish({"b": "two"}))
    assert kb.artifacts.get(artifact_id).state == "current"


def test_a_narrowed_rollback_makes_it_stale(kb, library):
    """By one document of an operation."""
    one = library.publish({"a": "one", "b": "two"})
    artifact_id = made(kb)
    kb.rollback(Selector(sources=("a",)))
    (reason,) = kb.artifacts.reasons(artifact_id)
    assert (reason.reason, reason.operation_id) == ("hidden", one)
    assert reason.record_id is not None


def test_other_collections_do_not_matter(kb, library):
    """A file of one collection holds nothing of another."""
    library.publish({"a": "one"})
    other = Library(kb.database, name="other")
    elsewhere = other.publish({"x": "far"})
    own, everything = made(kb, collection="library"), made(kb, "/tmp/all.csv")
    undo(kb, elsewhere)
    assert [kb.artifacts.get(number).state for number in (own, everything)] == ["current", "stale"]


def test_an_earlier_state_asked_for_later(kb, library):
    """What was withdrawn before it was read was known; what is withdrawn afterwards is not."""
    one, two = library.publish({"a": "one"}), library.publish({"b": "two"})
    undo(kb, one)
    artifact_id = made(kb, position=2, read_position=3)
    assert kb.artifacts.get(artifact_id).state == "current"
    undo(kb, two)
    assert [reason.operation_id for reason in kb.artifacts.reasons(artifact_id)] == [two]


def test_an_erased_document_is_told(kb, library):
    """A file that may hold it is `erased`, whatever else it is; one made since is not."""
    one = library.publish({"a": "one"})
    artifact_id = made(kb)
    undo(kb, one)
    kb.storage.erase("a", Attribution("dpo", message="asked for"), collection="library")
    assert kb.artifacts.get(artifact_id).state == "erased"
    assert {reason.reason for reason in kb.artifacts.reasons(artifact_id)} == {"hidden", "erased"}
    assert kb.artifacts.get(made(kb, "/tmp/later.csv")).state == "current"


def test_made_again_at_its_path(kb, library):
    """The later one stands for the path; the earlier one is replaced."""
    one = library.publish({"a": "one"})
    first = made(kb)
    undo(kb, one)
    second = made(kb)
    assert [kb.artifacts.get(number).state for number in (first, second)] == ["replaced", "current"]
    assert [found.artifact_id for found in kb.artifacts.find()] == [second]
    assert [found.artifact_id for found in kb.artifacts.find(states=None)] == [second, first]


def test_its_own_operation_taken_back(kb, library):
    """An export can be rolled back like any operation: its file is `withdrawn`."""
    library.publish({"a": "one"})
    artifact_id = made(kb)
    undo(kb, kb.artifacts.get(artifact_id).operation_id)
    assert kb.artifacts.get(artifact_id).state == "withdrawn"


def test_removed(kb, library):
    """Once, by somebody."""
    artifact_id = made(kb)
    assert kb.artifacts.remove(artifact_id, by="ada")
    assert not kb.artifacts.remove(artifact_id, by="eve")
    found = kb.artifacts.get(artifact_id)
    assert (found.state, found.removed_by) == ("removed", "ada")
    assert kb.artifacts.find() == []


def test_a_retried_batch_forgets_its_earlier_file(kb, library):
    """And what is recorded late, or for an operation that is over, is refused."""
    operation_id = kb.operations.open("archive", Attribution("keeper"))
    early = kb.operations.begin_batch(operation_id, "file")
    kb.artifacts.record(early, **described("/tmp/a.h5", 0))
    late = kb.operations.begin_batch(operation_id, "file")
    with pytest.raises(RecantError):
        kb.artifacts.record(early, **described("/tmp/a.h5", 0))
    kb.artifacts.record(late, **described("/tmp/b.h5", 0))
    kb.operations.finish_batch(late, {})
    kb.operations.publish(operation_id)
    assert [found.path for found in kb.artifacts.find()] == ["/tmp/b.h5"]
    with pytest.raises((OperationClosed, StaleBatch)):
        kb.artifacts.record(late, **described("/tmp/c.h5", 0))


def test_the_blast_radius_names_it(kb, library):
    """It is listed with the rollback's plan, and stands in nobody's way."""
    one, _ = library.publish({"a": "one"}), library.publish({"b": "two"})
    artifact_id = made(kb)
    plan = kb.plan_rollback(Selector(operations=(one,)))
    (named,) = plan.blast_radius["artifacts"]
    assert (named["artifact_id"], named["path"], named["state"]) == (artifact_id, "/tmp/x.h5", "current")
    assert plan.policy == "refuse"
    kb.rollback(Selector(operations=(one,)))
    assert kb.artifacts.get(artifact_id).state == "stale"


def test_a_collection_that_is_not_there(kb):
    """It is no file of all collections."""
    with pytest.raises(UnknownCollection, match="nowhere"):
        made(kb, collection="nowhere")


def test_unknown_state(kb):
    """A state that there isn't is an error that names those that there are."""
    with pytest.raises(UsageError, match="current"):
        kb.artifacts.find(states=["fresh"])


SEEN_THEN_AND_NOW = """
SELECT coalesce(bool_or(o_was <> o_now OR (o_was AND r_was) <> (o_now AND r_now)), false) AS differs FROM (
  SELECT (SELECT s.visible FROM visibility_history s WHERE s.operation_id = o.id AND s.from_position <= %(position)s
          ORDER BY s.from_position DESC LIMIT 1) AS o_was,
         coalesce((SELECT s.visible FROM record_visibility_history s WHERE s.operation_id = o.id AND s.record_id = v.record_id
                   AND s.from_position <= %(position)s ORDER BY s.from_position DESC LIMIT 1), true) AS r_was,
         o.visible AS o_now,
         NOT EXISTS (SELECT FROM withheld w WHERE w.operation_id = o.id AND w.record_id = v.record_id) AS r_now
  FROM version v JOIN operation o ON o.id = v.operation_id JOIN collection k ON k.id = o.collection_id
  WHERE o.position <= %(position)s AND k.name = %(collection)s) x
"""

steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from("abc"), st.integers(0, 9)),
        st.tuples(st.just("undo"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("narrow"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("redo"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("make"), st.just(0), st.just(0)),
    ),
    min_size=4,
    max_size=14,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_stale_says_what_the_content_says(kb, steps):
    """A file whose content would be another today is stale; one that is current would be made the same again."""
    library = Library(
        kb.database, name=f"random-{hashlib.sha256(repr(steps).encode()).hexdigest()[:12]}-{kb.position()}"
    )
    assert library.collection.id
    files: list[tuple[int, int, dict[str, str]]] = []
    for number, step in enumerate(steps):
        with contextlib.suppress(RecantError):
            _do(kb, library, number, step, files)
        for artifact_id, position, content in files:
            state = kb.artifacts.get(artifact_id).state
            assert state in ("current", "stale")
            if state == "current":
                assert _content(kb, library, position) == content
            assert (state == "stale") == _differs(kb, library, position)


def _do(kb, library, number, step, files) -> None:
    verb, what, word = step
    written = [o.operation_id for o in kb.operations.find(Selector(collections=(library.name,), kinds=("ingest",)))]
    undone = [o.operation_id for o in kb.operations.find(Selector(kinds=("rollback",)), limit=10)]
    if verb == "publish":
        library.publish({what: f"{word}"})
    elif verb == "narrow":
        kb.rollback(Selector(sources=(what,), collections=(library.name,)), policy="force")
    elif verb == "undo" and written:
        kb.rollback(Selector(operations=(written[what % len(written)],)), policy="force")
    elif verb == "redo" and undone:
        kb.redo(undone[what % len(undone)])
    elif verb == "make":
        position = kb.position()
        artifact_id = made(kb, f"/tmp/{library.name}-{number}.csv", collection=library.name)
        files.append((artifact_id, position, _content(kb, library, position)))


def _content(kb, library, position: int) -> dict[str, str]:
    """What would be written today of the operations up to a position."""
    with kb.database.transaction() as connection:
        rows = connection.execute(
            """SELECT DISTINCT ON (r.key) r.key, c.text FROM seen_version v JOIN record r ON r.id = v.record_id
               JOIN operation o ON o.id = v.operation_id JOIN collection k ON k.id = r.collection_id
               LEFT JOIN chunk c ON c.version_id = v.version_id
               WHERE o.position <= %s AND k.name = %s ORDER BY r.key, v.version_id DESC""",
            [position, library.name],
        ).fetchall()
    return {row["key"]: row["text"] for row in rows}


def _differs(kb, library, position: int) -> bool:
    with kb.database.transaction() as connection:
        row = connection.execute(SEEN_THEN_AND_NOW, {"position": position, "collection": library.name}).fetchone()
    return bool(row and row["differs"])


def looked_at(kb: recant.KnowledgeBase, operation_id: int) -> int:
    """Rows of files and of the log's history that asking who holds an operation's work reads, by the server's own count."""
    read = (
        "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint AS read FROM pg_stat_xact_user_tables "
        "WHERE relname IN ('artifact', 'visibility_history', 'operation')"
    )
    with kb.database.transaction() as connection:
        connection.execute("SET LOCAL enable_seqscan = off")  # which is right for few rows, and reads all of them
        counted = []
        for statement, given in (
            (read, None),
            ("SELECT count(*) FROM artifacts_holding(%s)", [[operation_id]]),
            (read, None),
        ):
            row = connection.execute(statement, given).fetchone()
            assert row
            counted.append(row.get("read", 0))
    return int(counted[2] or 0) - int(counted[0] or 0)


def test_files_that_were_replaced_cost_no_plan_anything(kb, library):
    """A year of nightly exports to one path is as one: the others are left out before their state is asked."""
    operation_id = library.publish({"a": "one"})
    for _ in range(41):
        made(kb)
    library.publish({"b": "two"})
    assert [a.state for a in kb.artifacts.find(states=None)] == ["current"] + ["replaced"] * 40
    with kb.database.connection() as connection:
        connection.execute("RESET ROLE")
        connection.execute("ANALYZE recant.artifact, recant.operation, recant.visibility_history")
    assert 0 < looked_at(kb, operation_id) < 30, "fewer rows than there are files"


def test_a_file_published_before_an_earlier_one_replaces_it(kb, library):
    """Whichever comes first: at a path stands the one that was made last."""
    library.publish({"a": "one"})
    slow = kb.operations.open("export", Attribution("keeper"))
    batch_id = kb.operations.begin_batch(slow, "file")
    earlier = kb.artifacts.record(batch_id, **described("/tmp/x.h5", kb.position()))
    kb.operations.finish_batch(batch_id, {})
    later = made(kb)
    kb.operations.publish(slow)
    assert {a.artifact_id: a.state for a in kb.artifacts.find(states=None)} == {later: "current", earlier: "replaced"}


def test_verify_holds_files_against_their_checksums(kb: recant.KnowledgeBase, tmp_path: Path) -> None:
    """A changed byte fails it, by name; a file that isn't here, as on another machine, is told and is no failure."""
    single, folder = tmp_path / "one.csv", tmp_path / "many"
    folder.mkdir()
    for path in (single, folder / "a.csv", folder / "b.csv"):
        path.write_bytes(b"id,text\n")
    sha256 = hashlib.sha256(b"id,text\n").hexdigest()
    several = [ArtifactFile(name, sha256, 8, 0) for name in ("a.csv", "b.csv")]
    for path, files in ((single, []), (folder, several)):
        operation_id = kb.operations.open("export", Attribution("keeper"))
        batch_id = kb.operations.begin_batch(operation_id, "file")
        given = {"format": "csv", "position": 0, "read_position": 0, "sha256": sha256, "size_bytes": 8, "files": files}
        kb.artifacts.record(batch_id, "export", path, **given)
        kb.operations.finish_batch(batch_id, {})
        kb.operations.publish(operation_id)

    def files_check() -> tuple[bool, str]:
        (check,) = [c for c in kb.verify().checks if c.name == "artifacts"]
        return check.ok, check.detail

    assert files_check() == (True, "every file is as it was recorded")
    (folder / "b.csv").write_bytes(b"id,texd\n")
    single.unlink()
    assert files_check() == (False, f"not what was recorded: {folder / 'b.csv'}; not on this machine: {single}")
