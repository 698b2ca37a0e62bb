"""Ingests that are held for their session: everything is done but the publishing. Real files, real embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from recant import KnowledgeBase
from recant.errors import GateFailed, LimitExceeded, Refused, UsageError, WriteConflict
from recant.ingestion.request import IngestRequest
from recant.oplog import Attribution
from recant.settings import read_settings


@pytest.fixture
def kb(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KnowledgeBase]:
    """An empty knowledge base, embedding in this process."""
    home = tmp_path_factory.mktemp("home")
    (home / "run").mkdir()
    with KnowledgeBase(replace(read_settings({}), home=home, dsn=database, embedder="local")) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two documents."""
    place = tmp_path / "docs"
    place.mkdir()
    (place / "tides.md").write_text("# Tides\n\nThe tide turns twice a day.\n")
    (place / "moon.md").write_text("# Moon\n\nThe moon goes round the earth.\n")
    return place


def found(kb: KnowledgeBase, session: str | None = None) -> set[str]:
    return {Path(hit.source).name for hit in kb.search("sea and sky", session=session).hits}


def test_a_held_ingest_is_searched_by_its_session_only(kb: KnowledgeBase, folder: Path):
    """It is gated, counted, without a position; a merge shows it to everybody."""
    report = kb.ingest([str(folder)], session="s", hold=True)
    assert (report.position, report.held, report.documents, report.embedded) == (None, True, 2, 2)
    assert report.gate == {"success": True, "checks": 1}
    assert report.lease_until is not None
    assert found(kb) == set()
    assert found(kb, "s") == {"tides.md", "moon.md"}
    assert kb.sessions.merge("s").published == ((report.operation_id, 1),)
    assert found(kb) == {"tides.md", "moon.md"}
    assert kb.operations.get(report.operation_id).counts["documents"] == 2


def test_a_discarded_ingest_is_ingested_again_as_if_new(kb: KnowledgeBase, folder: Path):
    """Not even its watermark is left; the embeddings are known."""
    kb.ingest([str(folder)], session="s", hold=True)
    kb.sessions.discard("s")
    assert found(kb, "s") == set()
    again = kb.ingest([str(folder)])
    assert (again.documents, again.unchanged, again.embedded) == (2, 0, 0)


def test_ingests_of_a_session_build_on_each_other(kb: KnowledgeBase, folder: Path):
    """The second sees what the first one holds, retires what is gone, and both are merged together."""
    kb.ingest([str(folder)])
    (folder / "moon.md").unlink()
    (folder / "tides.md").write_text("# Tides\n\nSpring tides come at new moon.\n")
    first = kb.ingest([str(folder)], session="s", hold=True)
    assert (first.documents, first.removed) == (1, 1)
    (folder / "stars.md").write_text("# Stars\n\nStars shine by night.\n")
    second = kb.ingest([str(folder)], session="s", hold=True)
    assert (second.documents, second.unchanged, second.removed) == (1, 1, 0)
    assert found(kb) == {"tides.md", "moon.md"}
    assert found(kb, "s") == {"tides.md", "stars.md"}
    assert [p for _, p in kb.sessions.merge("s").published] == [2, 3]
    assert found(kb) == {"tides.md", "stars.md"}


def test_an_exploring_session_holds_by_default(kb: KnowledgeBase, folder: Path):
    """Until it is merged; then the name takes no more ingests, until it is opened again."""
    kb.sessions.open("s", agent="ada", explore=True)
    report = kb.ingest([str(folder)], session="s")
    assert (report.position, report.held) == (None, True)
    kb.sessions.merge("s")
    with pytest.raises(Refused, match="takes no more writes"):
        kb.ingest([str(folder)], session="s")
    kb.sessions.open("s", agent="ada")
    assert kb.ingest([str(folder)], session="s").position == 2


def test_steps_hold_too_in_an_exploring_session(kb: KnowledgeBase, folder: Path):
    """What a DAG calls publishing is holding there, and may be tried again."""
    kb.sessions.open("s", agent="ada", explore=True)
    request = IngestRequest((str(folder),), "library")
    steps = kb.ingestion
    operation = steps.open(request, Attribution("ada", "s"))
    for number, items in enumerate(steps.list_batches(operation, request)):
        steps.write_batch(operation, f"batch-{number}", items, request)
    steps.gate(operation, request)
    steps.retire(operation, request)
    assert [steps.publish(operation).held for _ in range(2)] == [True, True]
    assert kb.operations.get(operation).state == "open"


def test_an_ingest_that_is_still_at_work_can_not_be_merged(kb: KnowledgeBase, folder: Path):
    """Whatever step it is at: it would be published before its gate."""
    request = IngestRequest((str(folder),), "library")
    steps = kb.ingestion
    operation = steps.open(request, Attribution("ada", "s"))
    for number, items in enumerate(steps.list_batches(operation, request)):
        steps.write_batch(operation, f"batch-{number}", items, request)
    with pytest.raises(Refused, match='batch "ingest" of operation'):
        kb.sessions.merge("s")
    steps.gate(operation, request)
    steps.retire(operation, request)
    assert steps.publish(operation).position == 1


def test_an_ingest_beyond_the_limit_is_aborted(kb: KnowledgeBase, folder: Path):
    """Nothing of it stays in the session."""
    kb.sessions.open("s", agent="ada", explore=True, max_records=1)
    with pytest.raises(LimitExceeded, match="may write 1 record.*it would be 2"):
        kb.ingest([str(folder)], session="s")
    assert kb.sessions.get("s").session.records == 0
    assert kb.log()[0].state == "aborted"
    assert kb.ingest([str(folder / "moon.md")], session="s").held


def test_a_write_in_between_is_a_conflict_of_the_merge(kb: KnowledgeBase, folder: Path):
    """Named by document; after a discard the session can write it anew."""
    kb.ingest([str(folder)])
    (folder / "moon.md").write_text("# Moon\n\nIt has a far side.\n")
    kb.ingest([str(folder)], session="s", hold=True)
    (folder / "moon.md").write_text("# Moon\n\nIt has phases.\n")
    kb.ingest([str(folder)])
    with pytest.raises(WriteConflict, match=r"moon\.md"):
        kb.sessions.merge("s")
    assert found(kb) == {"tides.md", "moon.md"}


def test_a_failed_gate_aborts_a_held_ingest(kb: KnowledgeBase, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The gate comes before the hold."""

    def fails(*given: object, **options: object) -> None:
        raise GateFailed("a document has no chunks")

    monkeypatch.setattr("recant.ingestion.pipeline.gate_operation", fails)
    with pytest.raises(GateFailed):
        kb.ingest([str(folder)], session="s", hold=True)
    assert kb.sessions.get("s").would_publish == ()


def test_how_long_it_is_held_can_be_said(kb: KnowledgeBase, folder: Path):
    """And after that upkeep, which every ingest begins with, aborts it."""
    report = kb.ingest([str(folder)], session="s", hold=True, hold_seconds=30 * 86_400)
    opened_at = kb.operations.get(report.operation_id).opened_at
    assert report.lease_until is not None
    assert report.lease_until - opened_at >= timedelta(days=30)


@pytest.mark.parametrize("options", [{"hold": True}, {"session": "s", "hold": True, "hold_seconds": 0.0}])
def test_what_nobody_could_merge_is_a_usage_error(kb: KnowledgeBase, folder: Path, options: dict[str, object]):
    """No session, or no time: said before anything is opened."""
    with pytest.raises(UsageError):
        kb.ingest([str(folder)], **options)
    assert kb.log() == []
