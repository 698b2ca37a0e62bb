"""How other systems fail when something is taken back, each as a test that Recant doesn't."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recant.errors import HasDependents, PastHorizon, PlanStale, WriteConflict
from recant.ingestion.pipeline import Ingestion
from recant.ingestion.request import IngestRequest
from recant.oplog import Attribution, Selector
from recant.rollback import RollbackReport, verify_log
from recant.settings import read_settings
from recant.storage import Storage
from tests.integration.library import Library

BY = Attribution("warden", message="as told")


@pytest.fixture
def ingestion(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Ingestion:
    """Real files, real embeddings, into the library's database."""
    home = tmp_path_factory.mktemp("home")
    (home / "run").mkdir()
    return Ingestion(library.database, replace(read_settings({}), home=home, embedder="local"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two short documents."""
    place = tmp_path / "docs"
    place.mkdir()
    (place / "tides.md").write_text("The tide turns twice a day, everywhere.\n")
    (place / "moon.md").write_text("The moon shows one face, always the same.\n")
    return place


def ingest(ingestion: Ingestion, folder: Path, collection: str = "docs") -> int:
    return ingestion.run(IngestRequest((str(folder),), collection), Attribution("alice")).operation_id


def take_back(library: Library, *operations: int, policy: str = "refuse") -> RollbackReport:
    plan = library.rollback.plan(Selector(operations=operations), policy=policy, agent="warden")
    report = library.rollback.run(plan, BY)
    assert report.certificate is not None
    assert report.certificate.verified
    return report


def by_name(library: Library, position: int | None = None) -> dict[str, str]:
    return {Path(key).name: text for key, text in library.view(position).items()}


def test_undone_input_is_ingested_again(library: Library, ingestion: Ingestion, folder: Path):
    """Elsewhere the undo leaves the "already seen" marker behind, and the next run skips what is no longer there."""
    first = ingest(ingestion, folder)
    before = by_name(library)
    take_back(library, first)
    assert by_name(library) == {}
    again = ingestion.run(IngestRequest((str(folder),), "docs"), Attribution("alice"))
    assert (again.documents, again.unchanged, again.embedded) == (2, 0, 0)
    assert by_name(library) == before


def test_what_an_undone_run_had_marked_as_seen_is_not_unchanged(library: Library, ingestion: Ingestion, folder: Path):
    """The run after a changed document's run is undone writes the change again; the other document is left alone."""
    ingest(ingestion, folder)
    (folder / "tides.md").write_text("The tide turns four times a day, says a rumour.\n")
    take_back(library, ingest(ingestion, folder))
    assert by_name(library)["tides.md"].startswith("The tide turns twice")
    again = ingestion.run(IngestRequest((str(folder),), "docs"), Attribution("alice"))
    assert (again.documents, again.unchanged) == (1, 1)
    assert by_name(library)["tides.md"].startswith("The tide turns four times")


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_a_deleted_fact_does_not_survive_in_what_was_derived_from_it(library: Library, hops: int):
    """Elsewhere the summary of a deleted document goes on answering. Here it stands in the way, or goes along."""
    fact = library.publish({"fact": "The moon is made of cheese"})
    above = "fact"
    for hop in range(hops):
        summary = library.open("summariser")
        library.write(summary, {f"summary {hop}": "Cheese, moon"})
        library.build_on(summary, above, "derived", f"summary {hop}")
        library.log.publish(summary)
        above = f"summary {hop}"
    with pytest.raises(HasDependents):
        take_back(library, fact)
    assert len(take_back(library, fact, policy="cascade").withdrawn) == hops + 1
    assert library.view() == {}


def test_what_a_bad_run_retired_comes_back(library: Library, ingestion: Ingestion, folder: Path):
    """Elsewhere the documents that a bad listing let vanish stay deleted when the run is taken back."""
    ingest(ingestion, folder)
    before = by_name(library)
    kept = (folder / "moon.md").rename(folder.parent / "moon.md")
    bad = ingest(ingestion, folder)
    assert set(by_name(library)) == {"tides.md"}
    take_back(library, bad)
    assert by_name(library) == before
    kept.rename(folder / "moon.md")
    after = ingestion.run(IngestRequest((str(folder),), "docs"), Attribution("alice"))
    assert (after.documents, after.unchanged) == (0, 2)


@pytest.mark.parametrize("step", ["embed", "gate", "publish"])
def test_a_failed_ingest_leaves_the_old_version(
    library: Library, ingestion: Ingestion, folder: Path, step: str, monkeypatch: pytest.MonkeyPatch
):
    """Elsewhere the old chunks are deleted before the new ones are embedded; when that fails, neither is there."""
    ingest(ingestion, folder)
    before = by_name(library)
    (folder / "tides.md").write_text("The tide turns at other hours now.\n")

    def fail(*args: object, **named: object) -> None:
        raise RuntimeError("the machine is on fire")

    target = {
        "embed": (type(ingestion.embedder), "embed"),
        "gate": (Ingestion, "gate"),
        "publish": (Ingestion, "publish"),
    }
    with monkeypatch.context() as broken:
        broken.setattr(*target[step], fail)
        with pytest.raises(RuntimeError, match="fire"):
            ingest(ingestion, folder)
    assert by_name(library) == before
    assert [o.state for o in library.log.find(limit=1)] == ["aborted"]
    ingest(ingestion, folder)
    assert by_name(library)["tides.md"].startswith("The tide turns at other hours")


def test_a_restore_does_not_discard_a_write_that_came_meanwhile(library: Library):
    """Elsewhere a restore through a handle opened earlier makes an old version the latest, and drops what was written since."""
    library.publish({"a": "good"})
    library.publish({"a": "bad"})
    stale = library.rollback.plan_restore(library.name, 1, agent="warden")
    library.publish({"b": "written meanwhile"}, agent="somebody else")
    with pytest.raises(PlanStale):
        library.rollback.apply(stale, BY)
    assert library.view() == {"a": "bad", "b": "written meanwhile"}
    restored = library.rollback.restore(library.name, 1, BY)
    assert library.view() == {"a": "good"}
    assert library.view(3) == {"a": "bad", "b": "written meanwhile"}
    library.rollback.redo(restored.rollback_operation_id, BY)
    assert library.view() == {"a": "bad", "b": "written meanwhile"}


@pytest.mark.parametrize("policy", ["safe_only", "cascade", "force"])
def test_what_is_applied_is_what_was_shown(library: Library, policy: str):
    """Elsewhere the preview asks another query than the deletion does. Here the plan's own counts and heads come true."""
    library.publish({"a": "old a", "b": "old b", "c": "old c"})
    poison = library.publish({"a": "bad a", "b": None, "d": "bad d", "e": "bad e"})
    other = library.publish({"f": "bad f"})
    built = library.open("builder")
    library.write(built, {"g": "from bad f"})
    library.build_on(built, "f", "derived", "g")
    library.log.publish(built)
    library.publish({"e": "good e"})
    before = library.view()
    plan = library.rollback.plan(Selector(operations=(poison, other)), policy=policy, agent="warden")
    shown = plan.blast_radius["sample"]
    report = library.rollback.run(plan, BY)
    after = library.view()
    assert report.withdrawn == plan.withdraw
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert changed == {head["key"] for head in shown}
    assert plan.records["document"] == len({k for k in before if after.get(k) != before[k]})
    assert plan.revived["document"] == len({k for k in after if before.get(k) != after[k]})
    assert {head["key"] for head in shown if head["absent_after"]} == before.keys() - after.keys()


def test_a_failure_takes_nobody_elses_markers_along(library: Library, ingestion: Ingestion, folder: Path):
    """Elsewhere a failed run resets the marks of runs that had succeeded, so that they do their work again."""
    neighbour = folder.parent / "neighbour"
    neighbour.mkdir()
    (neighbour / "stars.md").write_text("The stars are many, and far away from here.\n")
    ingest(ingestion, neighbour)
    failed = ingestion.open(IngestRequest((str(folder),), "docs"), Attribution("alice"))
    done = ingestion.run(IngestRequest((str(neighbour),), "docs"), Attribution("bob"))
    ingestion.abort(failed, "its worker died")
    again = ingestion.run(IngestRequest((str(neighbour),), "docs"), Attribution("bob"))
    assert (done.unchanged, again.unchanged, again.documents) == (1, 1, 0)
    assert set(by_name(library)) == {"stars.md"}


def test_a_retried_share_takes_nobody_elses_rows_along(library: Library):
    """Elsewhere a retry cleans up by run, and the finished shares of the same run are gone. Here each batch is its own."""
    run = library.open()
    library.write(run, {"a": "A"}, key="first share")
    broken = library.begin(run, "second share")
    library.append(broken, {"b": "half of B"})
    library.write(run, {"b": "B", "c": "C"}, key="second share")
    library.log.publish(run)
    assert library.view() == {"a": "A", "b": "B", "c": "C"}


def test_an_undo_that_can_not_be_finished_is_refused_in_the_plan(library: Library):
    """Elsewhere a redo over later work fails half way, or overwrites it. Here its plan says so, and nothing has changed."""
    bad = library.publish({"a": "bad", "b": "b"})
    control = take_back(library, bad).rollback_operation_id
    library.publish({"a": "later work"})
    before, position = library.view(), library.log.position()
    with pytest.raises(WriteConflict):
        library.rollback.plan_redo(control, agent="warden")
    assert (library.view(), library.log.position()) == (before, position)
    assert verify_log(library.database).ok


@pytest.mark.parametrize("way", ["revive", "redo", "restore"])
def test_an_undo_past_the_horizon_is_refused_in_the_plan(library: Library, way: str):
    """Elsewhere it begins, and fails on the first row that is no longer there. Here nothing is begun, and nothing lost."""
    library.publish({"a": "first"})
    second = library.publish({"a": "second"})
    gone = library.publish({"b": "gone"})
    control = take_back(library, gone).rollback_operation_id
    library.publish({"c": "later"})
    storage = Storage(library.database, read_settings({"RECANT_COLLECTION": library.name}))
    assert storage.reclaim(BY, horizon=library.log.position()).versions == 2
    before, position = library.view(), library.log.position()
    plans = {
        "revive": lambda: library.rollback.plan(Selector(operations=(second,)), agent="warden"),
        "redo": lambda: library.rollback.plan_redo(control, agent="warden"),
        "restore": lambda: library.rollback.plan_restore(library.name, 1, agent="warden"),
    }
    with pytest.raises(PastHorizon):
        plans[way]()
    assert (library.view(), library.log.position()) == (before, position)
    assert verify_log(library.database).ok
