"""archive_knowledge: makes an archive, and writes those again that a rollback or an erasure has reached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recant import Selector
from recant.archive import open_archive
from recant.oplog import Attribution
from recant.store import Database
from tests.integration.library import Library

pytestmark = pytest.mark.airflow


@pytest.fixture
def library(installation: str) -> Iterator[Library]:
    """A document in two versions, and one that is wrong, in the database that the tasks work on."""
    with Database(installation) as db:
        library = Library(db)
        library.publish({"a": "one"})
        library.publish({"a": "two"})
        library.publish({"wrong": "a lie"}, agent="mallory")
        yield library


def texts(path: Path) -> list[str]:
    with open_archive(path) as file:
        return sorted(file.texts("chunks", "text", 0, file.rows["chunks"]))


def test_one_is_made_and_kept_up(run_dag, library: Library, kb, tmp_path: Path):
    """Triggered with a path; after a rollback the scheduled run writes it again, and then leaves it alone."""
    path = tmp_path / "a.h5"
    run = run_dag(
        "archive_knowledge", {"path": str(path), "collection": "library", "agent": "archivist", "message": "monthly"}
    )
    assert (run.state, run.xcom("rewrite_archives")) == ("success", [])
    operation = library.log.get(run.xcom("create_archive")["operation_id"])
    assert (operation.kind, operation.agent, operation.message) == ("archive", "archivist", "monthly")
    assert (operation.run_id, operation.context["task_id"]) == (run.run_id, "create_archive")
    assert texts(path) == ["a lie", "two"]
    kb.rollback(Selector(agents=("mallory",)))
    scheduled = run_dag("archive_knowledge", {})
    assert (scheduled.state, scheduled.state_of("create_archive")) == ("success", "skipped")
    (again,) = scheduled.xcom("rewrite_archives")
    assert (again["path"], texts(path)) == (str(path), ["two"])
    kb.storage.erase("a", Attribution("nora", message="asked for"), collection="library")
    left = run_dag("archive_knowledge", {"rewrite": ["stale"]})
    assert (left.xcom("rewrite_archives"), texts(path)) == ([], ["two"])


def test_a_history(run_dag, library: Library, tmp_path: Path):
    """Of a range, compressed otherwise; what can't be fails at once and leaves no file."""
    path = tmp_path / "h.h5"
    given = {"path": str(path), "collection": "library", "holds": "history", "first_position": 2, "compression": "lzf"}
    assert run_dag("archive_knowledge", given).state == "success"
    assert texts(path) == ["a lie", "two"]
    failed = run_dag("archive_knowledge", given | {"path": str(tmp_path / "no" / "h.h5")})
    assert (failed.state, failed.tries["create_archive", -1]) == ("failed", 1)


def test_the_restore_operator(run_dag, library: Library, kb, tmp_path: Path):
    """In a DAG of one's own: what an archive holds is written back."""
    from recant_airflow.operators.archives import KnowledgeBaseRestoreArchiveOperator

    kb.archives.create(tmp_path / "a.h5", Attribution("nora"), collection="library")
    library.publish({"a": None})

    def with_restore(dag) -> None:
        given = {"path": str(tmp_path / "a.h5"), "sources": ["a"], "agent": "nora", "owner": "recant"}
        KnowledgeBaseRestoreArchiveOperator(task_id="restore", dag=dag, **given)

    run = run_dag("archive_knowledge", {}, with_restore)
    assert (run.state, run.xcom("restore")["documents"]) == ("success", 1)
    assert library.view() == {"a": "two", "wrong": "a lie"}
    assert library.log.get(run.xcom("restore")["operation_id"]).run_id == run.run_id
