"""Writing apart from embedding: appending chunks whose vectors are there, building the vector index, ingesting again.

Appending is timed as an ingest does it, in one process on a durable server: the embeddings in a transaction of their own,
then versions, documents and chunks, flush by flush, and the publishing. Texts, vectors and their hashes are made
beforehand. Every other flush goes into the keyword index, too, as it does in an ingest: split into terms and packed by a
thread beside, written with the rows. Ingesting again is the whole pipeline on Markdown files, with real MiniLM the first
time (loaded and warm).
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from recant.ingestion.pipeline import Ingestion
from recant.ingestion.request import IngestReport, IngestRequest
from recant.oplog import Attribution
from recant.settings import read_settings
from recant.store import Database
from tests.benchmarks.documents import write_documents
from tests.benchmarks.measure import Measure, at_least, at_most, stopwatch
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import CHUNKS_PER_DOCUMENT, Clusters, Draft, Writer, drafts

CHUNKS_PER_FLUSH = 2_000


def run(chunks: int = 100_000, documents: int = 150, seed: int = 3) -> list[Measure]:
    """Measures with `chunks` synthetic chunks, and with `documents` Markdown files."""
    with measured_server() as (database, _):
        measures = appending(database, chunks, seed)
    with measured_server() as (database, _), tempfile.TemporaryDirectory(prefix="recant-bench-") as folder:
        measures += ingesting_again(database, Path(folder), documents)
    return measures


def appending(database: Database, chunks: int, seed: int) -> list[Measure]:
    """Chunks a second before the vector index, and the seconds of building it."""
    writer = Writer(database)
    warm_up, *flushes = _flushes(Clusters(seed, centres=max(10, chunks // 200)), chunks + CHUNKS_PER_FLUSH)
    writer.publish(warm_up)
    operation = writer.open()
    seconds = [0.0, 0.0]
    for number, flush in enumerate(flushes):
        prepared = writer.prepare(flush)
        with stopwatch() as watch:
            writer.append(operation, prepared, batch=f"{number}", keywords=number % 2 == 1)
        seconds[number % 2] += watch.seconds
    with stopwatch() as publishing:
        writer.log.publish(operation)
    with stopwatch() as indexing:
        writer.build_index()
    without, indexed = (chunks / 2 / (of + publishing.seconds / 2) for of in seconds)
    return [
        at_least("appended before the vector index, without the keyword index", without, "chunks/s", 20_000),
        at_least("appended before the vector index, with the keyword index", indexed, "chunks/s", 20_000),
        Measure(f"publishing {chunks:,} chunks", publishing.seconds * 1000, "ms"),
        Measure(f"vector index of {chunks:,} vectors, built at once", indexing.seconds, "s"),
    ]


def _flushes(clusters: Clusters, chunks: int) -> list[list[Draft]]:
    size = CHUNKS_PER_FLUSH // CHUNKS_PER_DOCUMENT
    count = chunks // CHUNKS_PER_FLUSH
    return [drafts(clusters, size, label="written", first=number * size) for number in range(count)]


def ingesting_again(database: Database, folder: Path, documents: int) -> list[Measure]:
    """The second ingest of unchanged files against the first, model loaded before both."""
    sources = folder / "sources"
    write_documents(sources, documents)
    ingestion = Ingestion(database, read_settings({"RECANT_HOME": str(folder / "home"), "RECANT_EMBEDDER": "local"}))
    write_documents(folder / "warm-up", 2, label="warm-up")
    _ingest(ingestion, folder / "warm-up")
    first, first_seconds = _ingest(ingestion, sources)
    again, again_seconds = _ingest(ingestion, sources)
    if again.unchanged != documents or again.embedded:
        raise AssertionError(f"the second ingest was to find all unchanged: {again}")
    return [
        Measure(f"first ingest, {first.chunks:,} chunks", first_seconds, "s"),
        Measure(f"ingest of the same {documents:,} documents again", again_seconds, "s"),
        at_most("again / first", 100 * again_seconds / first_seconds, "%", 5),
        at_most("embeddings computed again", again.embedded, "", 0),
    ]


def _ingest(ingestion: Ingestion, folder: Path) -> tuple[IngestReport, float]:
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    request = IngestRequest(sources=(str(folder),), collection="bench")
    with stopwatch() as watch:
        report = ingestion.run(request, Attribution(agent="bench"))
    return report, watch.seconds
