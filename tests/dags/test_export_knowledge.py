"""export_knowledge and refresh_exports: files of what is seen, made by a form and kept right."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import recant
from recant import Selector
from tests.integration.library import Library

pytestmark = pytest.mark.airflow


@pytest.fixture
def library(kb: recant.KnowledgeBase) -> Library:
    """In the database that the tasks work on."""
    library = Library(kb.database)
    library.publish({"a": "one"})
    return library


def texts(folder: Path) -> list[str]:
    with (folder / "chunks.csv").open(newline="", encoding="utf-8") as file:
        return [row["text"] for row in csv.DictReader(file)]


def test_an_export_is_written_by_a_form_and_refreshed_after_a_rollback(run_dag, kb, library: Library, tmp_path: Path):
    """As an operation of the DAG's run; then, with no folder named, what became stale is made again."""
    bad = library.publish({"b": "bad"})
    target = tmp_path / "export"
    conf = {"target": str(target), "collection": "library", "agent": "clerk", "message": "for the audit"}
    run = run_dag("export_knowledge", conf)
    assert (run.state, run.state_of("refresh")) == ("success", "skipped")
    report = run.xcom("export")
    assert (report["rows"], texts(target)) == ({"documents": 2, "chunks": 2}, ["one", "bad"])
    operation = kb.operations.get(report["operation_id"])
    assert (operation.kind, operation.agent, operation.message) == ("export", "clerk", "for the audit")
    assert (operation.run_id, operation.context["task_id"]) == (run.run_id, "export")
    kb.rollback(Selector(operations=(bad,)))
    nightly = run_dag("export_knowledge", {})
    assert (nightly.state, nightly.state_of("export")) == ("success", "skipped")
    (refreshed,) = nightly.xcom("refresh")
    assert (refreshed["reason"], refreshed["report"]["rows"]["chunks"], texts(target)) == ("stale", 1, ["one"])


def test_every_field_of_the_form_says_what_goes_in(run_dag, library: Library, tmp_path: Path):
    """Tables, columns, filters, writers, position, format, parts."""
    library.publish({"b": "two"}, agent="bob")
    library.publish({"c": "three"}, agent="bob")
    shaped = {"tables": ["chunks"], "columns": {"chunks": ["text"]}, "rows_per_file": 1, "protect_formulas": False}
    narrowed = {
        "filters": {"source": ["a", "b", "c"]},
        "written_by": ["bob", ""],
        "as_of": "2",
        "collection": "*",
        "where": 'source != "a"',
    }
    run = run_dag("export_knowledge", {"target": str(tmp_path / "x"), **shaped, **narrowed, "compression": "gzip"})
    assert run.xcom("export")["rows"] == {"chunks": 1}
    manifest = json.loads((tmp_path / "x" / "manifest.json").read_bytes())
    assert [file["path"] for file in manifest["tables"][0]["files"]] == ["chunks-00001.csv.gz"]
    run = run_dag("export_knowledge", {"target": str(tmp_path / "y"), "collection": "library", "format": "parquet"})
    assert run.xcom("export")["format"] == "parquet+zstd"


def test_what_follows_is_made_again_after_a_publish(run_dag, kb, library: Library, tmp_path: Path):
    """By the DAG that listens to the asset; one that can't be made fails the task, and the others are made."""
    good, broken = tmp_path / "good", tmp_path / "broken"
    for target in (broken, good):
        run_dag("export_knowledge", {"target": str(target), "collection": "library", "follow": True})
    library.publish({"b": "two"})
    (broken / "mine.txt").write_text("")
    run = run_dag("refresh_exports", {})
    assert (run.state, run.xcom("refresh", "failed"), texts(good)) == ("failed", [str(broken)], ["one", "two"])
    (broken / "mine.txt").unlink()
    run = run_dag("refresh_exports", {})
    assert (run.state, [one["reason"] for one in run.xcom("refresh")], texts(broken)) == (
        "success",
        ["behind"],
        ["one", "two"],
    )
    assert run_dag("refresh_exports", {}).xcom("refresh") == []


def test_each_operation_that_is_published_has_a_refreshing_run(api, known_dags):
    """The scheduler makes a run for each partition of the asset."""
    from airflow.models.asset import AssetPartitionDagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    api.patch("/api/v2/dags/refresh_exports", json={"is_paused": False}).raise_for_status()
    (asset,) = api.get("/api/v2/assets", params={"name_pattern": "published_knowledge"}).json()["assets"]
    event = {"asset_id": asset["id"], "partition_key": "4711", "extra": {"operation_id": 4711}}
    api.post("/api/v2/assets/events", json=event).raise_for_status()
    api.patch("/api/v2/dags/refresh_exports", json={"is_paused": True}).raise_for_status()
    with create_session() as session:
        waiting = select(AssetPartitionDagRun).where(AssetPartitionDagRun.target_dag_id == "refresh_exports")
        assert "4711" in [row.partition_key for row in session.scalars(waiting)]
