"""Read in order, this is what an ingest promises. Real files, real parsing, real embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recant.errors import (
    BadSource,
    ConfigurationError,
    EmbeddingGone,
    GateFailed,
    StaleBatch,
    TransientError,
    UsageError,
)
from recant.ingestion import pipeline as pipeline_module
from recant.ingestion import writer as writer_module
from recant.ingestion.pipeline import Ingestion
from recant.ingestion.readers import open_documents
from recant.ingestion.request import IngestRequest
from recant.oplog import Attribution, Selector
from recant.rollback import Rollback
from recant.store.database import connect_once

WHO = Attribution("alice", session="day shift", run_id="run-1", message="first load")


def request(*sources: object, **options: object) -> IngestRequest:
    return IngestRequest(tuple(str(s) for s in sources), "library", **options)


def seen(ingestion: Ingestion) -> dict[str, list[str]]:
    """Texts of what is seen, by file name."""
    with ingestion.database.transaction() as connection:
        rows = connection.execute(
            """
            SELECT r.key, c.text FROM record r
            JOIN LATERAL (SELECT v.* FROM version v JOIN operation o ON o.id = v.operation_id AND o.visible
                          WHERE v.record_id = r.id ORDER BY v.version_id DESC LIMIT 1) head ON NOT head.tombstone
            JOIN chunk c ON c.version_id = head.version_id WHERE r.kind = 'document' ORDER BY r.key, c.index
            """
        ).fetchall()
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["key"].rsplit("/", 1)[-1], []).append(row["text"])
    return found


def test_an_ingest_is_one_attributed_operation(ingestion: Ingestion, folder: Path):
    """Documents, chunks and embeddings are counted; who, why and from what is kept."""
    report = ingestion.run(request(folder), WHO)
    assert (report.documents, report.unchanged, report.removed, report.rejected, report.position) == (2, 0, 0, [], 1)
    assert report.chunks >= 3
    assert report.embedded == report.chunks
    operation = ingestion.log.get(report.operation_id)
    assert (operation.agent, operation.session, operation.run_id, operation.message) == (
        "alice",
        "day shift",
        "run-1",
        "first load",
    )
    datasets = ingestion.log.details(report.operation_id)["datasets"]
    assert {d["direction"] for d in datasets} == {"input", "output"}
    assert any(d["name"] == str(folder) for d in datasets)
    assert seen(ingestion)["tides.md"][0].startswith("The tide turns")


def test_the_same_again_costs_a_hash_and_embeds_nothing(ingestion: Ingestion, folder: Path):
    """Unchanged documents are affirmed, not written."""
    first = ingestion.run(request(folder), WHO)
    again = ingestion.run(request(folder), WHO)
    assert (again.documents, again.unchanged, again.chunks, again.embedded) == (0, 2, 0, 0)
    radius = Rollback(ingestion.database, ingestion.settings).blast_radius(Selector(operations=(first.operation_id,)))
    assert [(o.operation_id, o.relation) for o in radius.operations][1:] == [(again.operation_id, "affirmed")]


def test_a_change_embeds_only_the_changed_chunks(ingestion: Ingestion, folder: Path):
    """The other chunks' vectors are known."""
    ingestion.run(request(folder), WHO)
    tides = folder / "tides.md"
    tides.write_text(tides.read_text().replace("At new and full moon.", "When sun and moon pull together."))
    report = ingestion.run(request(folder), WHO)
    assert (report.documents, report.unchanged, report.embedded) == (1, 1, 1)
    assert report.reused == report.chunks - 1
    assert "When sun and moon pull together." in seen(ingestion)["tides.md"][-1]


def test_what_a_folder_no_longer_holds_is_retired(ingestion: Ingestion, folder: Path):
    """A removed file gets a tombstone; a rollback of that ingest shows it again."""
    ingestion.run(request(folder), WHO)
    (folder / "sort.py").unlink()
    report = ingestion.run(request(folder), WHO)
    assert report.removed == 1
    assert set(seen(ingestion)) == {"tides.md"}
    rollback = Rollback(ingestion.database, ingestion.settings)
    rollback.run(rollback.plan(Selector(operations=(report.operation_id,)), agent="x"), WHO)
    assert set(seen(ingestion)) == {"tides.md", "sort.py"}


def test_what_can_not_be_read_stays(ingestion: Ingestion, folder: Path):
    """A document that is there but broken is rejected, and its last good version stands."""
    ingestion.run(request(folder), WHO)
    (folder / "tides.md").write_bytes(b"\x00\x01\x02 not text \x00")
    report = ingestion.run(request(folder), WHO)
    assert [(r["code"], report.removed) for r in report.rejected] == [("binary", 0)]
    assert "tides.md" in seen(ingestion)


def test_a_vanished_folder_retires_nothing(ingestion: Ingestion, folder: Path):
    """A mount that is gone doesn't empty the knowledge base: alone it is an error, beside others it is rejected as missing."""
    ingestion.run(request(folder), WHO)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.raises(BadSource):
        ingestion.run(request(folder), WHO)
    (folder.parent / "moon.md").write_text("It pulls.\n")
    report = ingestion.run(request(folder, folder.parent / "moon.md"), WHO)
    assert [r["code"] for r in report.rejected] == ["missing"]
    assert report.removed == 0
    assert set(seen(ingestion)) == {"tides.md", "sort.py", "moon.md"}


def test_broken_records_retire_none_of_their_file(ingestion: Ingestion, tmp_path: Path):
    """When a line can't be read, which record it was can't be told: none is retired."""
    records = tmp_path / "records.jsonl"
    good = [json.dumps({"source": f"id-{n}", "text": f"Record number {n}."}) for n in range(3)]
    records.write_text("\n".join(good))
    ingestion.run(request(records), WHO)
    records.write_text("\n".join([good[0], good[1], '{"source": "id-2", "te']))
    report = ingestion.run(request(records), WHO)
    assert (report.unchanged, report.removed, len(report.rejected)) == (2, 0, 1)
    assert set(seen(ingestion)) == {"id-0", "id-1", "id-2"}
    records.write_text("\n".join(good[:2]))
    assert ingestion.run(request(records), WHO).removed == 1


def test_another_agent_can_write_over_a_source_and_be_taken_back(ingestion: Ingestion, folder: Path, tmp_path: Path):
    """Records name their source; after the rollback the documents are what they were, and are ingested again as if new."""
    ingestion.run(request(folder), WHO)
    before = seen(ingestion)
    poison = tmp_path / "poison.jsonl"
    lines = [
        {"source": str(folder / "tides.md"), "text": "There are no tides."},
        {"source": "moon", "text": "The moon is cheese."},
    ]
    poison.write_text("\n".join(map(json.dumps, lines)))
    bad = ingestion.run(request(poison), Attribution("rogue", run_id="bad"))
    assert seen(ingestion)["tides.md"] == ["There are no tides."]
    rollback = Rollback(ingestion.database, ingestion.settings)
    report = rollback.run(rollback.plan(Selector(runs=("bad",)), agent="alice"), WHO)
    assert report.certificate is not None
    assert report.certificate.verified
    assert seen(ingestion) == before
    again = ingestion.run(request(poison), Attribution("rogue"))
    assert (again.documents, again.embedded) == (bad.documents, 0)


def test_a_source_that_occurs_twice_in_one_run_is_kept_once(ingestion: Ingestion, tmp_path: Path):
    """Within a file and across batches; the report names the second one."""
    for name in ("one", "two"):
        lines = [{"source": "same", "text": f"Text of {name}."}, {"source": "same", "text": "Twice in one file."}]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    operation = ingestion.open(request(tmp_path), WHO)
    batches = ingestion.list_batches(operation, request(tmp_path), documents_per_batch=1)
    assert len(batches) == 2
    counts = [ingestion.write_batch(operation, f"b{n}", items, request(tmp_path)) for n, items in enumerate(batches)]
    assert [c["documents"] for c in counts] == [1, 0]
    report = ingestion.publish(operation)
    assert [r["code"] for r in report.rejected] == ["duplicate"] * 3
    assert seen(ingestion) == {"same": ["Text of one."]}


def test_a_retried_batch_replaces_its_own_rows(ingestion: Ingestion, folder: Path):
    """Running a share again doubles nothing; a zombie of the first attempt is refused."""
    ask = request(folder)
    operation = ingestion.open(ask, WHO)
    (items,) = ingestion.list_batches(operation, ask)
    ingestion.write_batch(operation, "batch-0", items, ask)
    counts = ingestion.write_batch(operation, "batch-0", items, ask)
    assert counts["embedded"] == 0
    ingestion.list_batches(operation, ask)
    ingestion.retire(operation, ask)
    ingestion.retire(operation, ask)
    report = ingestion.publish(operation)
    assert (report.documents, report.rejected) == (2, [])


def test_an_attempt_that_was_overtaken_can_not_write(
    ingestion: Ingestion, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """While the first attempt is embedding, a second one takes its batch over: StaleBatch."""
    ask = request(folder)
    operation = ingestion.open(ask, WHO)
    (items,) = ingestion.list_batches(operation, ask)
    real = writer_module.BatchWriter._embed

    def overtaken(self: writer_module.BatchWriter, texts: list[str]) -> dict[bytes, int]:
        found = real(self, texts)
        ingestion.log.begin_batch(operation, "batch-0")
        return found

    monkeypatch.setattr(writer_module.BatchWriter, "_embed", overtaken)
    with pytest.raises(StaleBatch):
        ingestion.write_batch(operation, "batch-0", items, ask)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), RuntimeError("the worker died")])
def test_whatever_ends_a_run_early_aborts_its_operation(
    ingestion: Ingestion, folder: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
):
    """Ctrl-C or a crash between batches: nothing half-visible remains, and the log says why."""
    monkeypatch.setattr(pipeline_module, "gate_operation", lambda *a, **k: (_ for _ in ()).throw(failure))
    with pytest.raises(type(failure)):
        ingestion.run(request(folder), WHO)
    (operation,) = ingestion.log.find()
    assert operation.state == "aborted"
    assert operation.reason
    assert seen(ingestion) == {}


def test_a_critical_finding_aborts_and_quarantine_publishes_the_rest(
    ingestion: Ingestion, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """A vector that isn't of unit length is critical: strict aborts all, quarantine leaves that document out."""

    class Broken:
        """The real model, but texts about tides come out ten times too long."""

        def __init__(self, embedder: object) -> None:
            self.embedder = embedder

        def embed(self, texts: list[str], *, progress: object = None):
            vectors = self.embedder.embed(texts, progress=progress).copy()
            for n, text in enumerate(texts):
                if "tide" in text.lower():
                    vectors[n] *= 10
            return vectors

    monkeypatch.setitem(ingestion.__dict__, "embedder", Broken(ingestion.embedder))
    with pytest.raises(GateFailed, match=r"tides\.md"):
        ingestion.run(request(folder), WHO)
    assert seen(ingestion) == {}
    report = ingestion.run(request(folder, policy="quarantine"), WHO)
    assert set(seen(ingestion)) == {"sort.py"}
    assert [r["code"] for r in report.rejected] == ["gate"]


def test_memory_is_bounded_by_flushes(ingestion: Ingestion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A batch larger than a flush is written in several transactions, and is still one batch."""
    monkeypatch.setattr(writer_module, "FLUSH_CHUNKS", 3)
    flushes: list[int] = []
    real = writer_module.BatchWriter._flush
    monkeypatch.setattr(writer_module.BatchWriter, "_flush", lambda self: (flushes.append(1), real(self))[1])
    lines = [json.dumps({"source": f"id-{n}", "text": f"Short record {n}."}) for n in range(8)]
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    assert ingestion.run(request(tmp_path / "r.jsonl"), WHO).documents == 8
    assert len(flushes) >= 3


def test_a_collection_keeps_its_model(ingestion: Ingestion, folder: Path, database: str):
    """Another model's vectors don't get into it; the error says what to do."""
    ingestion.run(request(folder), WHO)

    class Other:
        name, digest, dimensions = "other", "0" * 64, 3

    with pytest.raises(ConfigurationError, match="RECANT_MODEL"):
        ingestion.corpus.ensure_collection("library", Other())


def test_bad_requests_say_what_is_wrong(ingestion: Ingestion):
    """No sources, an unknown policy, an impossible overlap, a bad name."""
    with pytest.raises(UsageError, match="at least one source"):
        request()
    with pytest.raises(UsageError, match="policy"):
        request("x", policy="lenient")
    with pytest.raises(UsageError, match="overlap_tokens"):
        request("x", overlap_tokens=500)
    with pytest.raises(UsageError, match="unknown settings"):
        IngestRequest.from_dict({"sources": ["x"], "collection": "c", "colour": "red"})
    with pytest.raises(UsageError, match="no collection's name"):
        ingestion.open(IngestRequest(("x",), "Not A Name"), WHO)
    assert IngestRequest.from_dict(request("x").to_dict()) == request("x")


def test_nothing_but_rejections_is_published_as_such(ingestion: Ingestion, tmp_path: Path):
    """A run whose every document is bad publishes an empty operation that tells why."""
    (tmp_path / "empty.md").write_text(" \n")
    (tmp_path / "noise.md").write_bytes(bytes(range(256)))
    report = ingestion.run(request(tmp_path / "empty.md", tmp_path / "noise.md"), WHO)
    assert (report.documents, [r["code"] for r in report.rejected]) == (0, ["empty", "binary"])


def forget_embeddings_before_each_append(monkeypatch: pytest.MonkeyPatch, database: str, times: int) -> list[int]:
    """What reclaiming may do to a writer that has looked its embeddings up: the first `times` times all are deleted."""
    append, deleted = writer_module.BatchWriter._append, list[int]()

    def overtaken(self: writer_module.BatchWriter, *arguments: object) -> None:
        if len(deleted) < times:
            with connect_once(database) as superuser:
                deleted.append(superuser.execute("DELETE FROM recant.embedding").rowcount)
        append(self, *arguments)

    monkeypatch.setattr(writer_module.BatchWriter, "_append", overtaken)
    return deleted


def test_embeddings_that_were_reclaimed_meanwhile_are_computed_again(
    ingestion: Ingestion, folder: Path, database: str, monkeypatch: pytest.MonkeyPatch
):
    """A flush that meets the hole looks again; its documents are written once, and searchable."""
    deleted = forget_embeddings_before_each_append(monkeypatch, database, times=2)
    report = ingestion.run(request(folder), WHO)
    assert deleted == [report.chunks, report.chunks]
    assert (report.documents, report.embedded, report.reused) == (2, 3 * report.chunks, 0)
    assert set(seen(ingestion)) == {"tides.md", "sort.py"}
    with ingestion.database.transaction() as connection:
        row = connection.execute("SELECT count(*) AS n FROM chunk JOIN embedding e ON e.id = embedding_id").fetchone()
    assert row == {"n": report.chunks}


def test_a_writer_that_is_always_overtaken_gives_up(
    ingestion: Ingestion, folder: Path, database: str, monkeypatch: pytest.MonkeyPatch
):
    """After some attempts it says so, as something that may go better later; nothing is half there."""
    deleted = forget_embeddings_before_each_append(monkeypatch, database, times=100)
    with pytest.raises(EmbeddingGone, match="run it again") as raised:
        ingestion.run(request(folder), WHO)
    assert isinstance(raised.value, TransientError)
    assert len(deleted) == writer_module.FLUSH_ATTEMPTS
    assert [operation.state for operation in ingestion.log.find()] == ["aborted"]


def test_a_long_batch_of_known_texts_keeps_its_lease(
    ingestion: Ingestion, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
):
    """A worker that writes is alive, also while it has nothing to embed: every flush says so."""
    for name in "abc":
        (tmp_path / f"{name}.md").write_text("The tide turns twice a day.\n")
    ingestion.run(request(tmp_path / "a.md"), WHO)
    operation = ingestion.open(request(tmp_path), WHO)
    [items] = ingestion.list_batches(operation, request(tmp_path))
    monkeypatch.setattr(ingestion.embedder, "embed", None)

    def slowly(*arguments, **options):
        with connect_once(database) as owner:
            owner.execute(
                "UPDATE recant.lease SET until = now() - interval '1 minute' WHERE operation_id = %s", [operation]
            )
        yield from open_documents(*arguments, **options)

    monkeypatch.setattr(writer_module, "open_documents", slowly)
    assert ingestion.write_batch(operation, "0", items, request(tmp_path))["reused"] == 2
    assert ingestion.log.abort_expired() == []
