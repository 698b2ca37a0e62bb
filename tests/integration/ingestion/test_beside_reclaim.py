"""An ingest beside a reclaim or an erasure: an embedding that goes away between its look-up and its use is made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recant.corpus import Corpus
from recant.ingestion.pipeline import Ingestion
from recant.ingestion.request import IngestRequest
from recant.oplog import Attribution, Selector
from recant.rollback import Rollback, verify_log
from recant.storage import Storage

WHO = Attribution("alice", message="as told")
TEXT = "The same words in two places, embedded only once.\n"


def erase(ingestion: Ingestion, source: Path) -> None:
    Storage(ingestion.database, ingestion.settings).erase(str(source), WHO, collection="library")


def reclaim(ingestion: Ingestion, source: Path) -> None:
    report = Storage(ingestion.database, ingestion.settings).reclaim(WHO, horizon=ingestion.log.position())
    assert report.embeddings == 1


@pytest.mark.parametrize("destroy", [erase, reclaim])
def test_an_embedding_that_is_destroyed_meanwhile_is_made_again(
    ingestion: Ingestion,
    tmp_path: Path,
    destroy: Callable[[Ingestion, Path], None],
    monkeypatch: pytest.MonkeyPatch,
):
    """The ingest neither fails nor leaves a chunk without its vector, and counts what it did."""
    first, second = tmp_path / "first.md", tmp_path / "second.md"
    first.write_text(TEXT)
    operation = ingestion.run(IngestRequest((str(first),), "library"), WHO).operation_id
    rollback = Rollback(ingestion.database, ingestion.settings)
    rollback.run(rollback.plan(Selector(operations=(operation,)), agent="x"), WHO)
    second.write_text(TEXT)
    append, calls = Corpus.append, []

    def meanwhile(corpus: Corpus, *given: object) -> object:
        calls.append(given)
        if len(calls) == 1:
            destroy(ingestion, first)
        return append(corpus, *given)

    monkeypatch.setattr(Corpus, "append", meanwhile)
    report = ingestion.run(IngestRequest((str(second),), "library"), WHO)
    assert len(calls) == 2
    assert (report.documents, report.chunks, report.embedded, report.reused) == (1, 1, 1, 0)
    check = verify_log(ingestion.database)
    assert check.ok, check
