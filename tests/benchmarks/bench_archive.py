"""Archives: writing one beside plain h5py writing the same arrays, restoring it, searching it where it lies.

`kb.archives.create` is timed whole: opening the operation, reading the database, checksums, the file synced to disk,
publishing. Plain h5py gets the same arrays ready in memory, with the same names, chunks and filters, and its file is
synced to disk, too. Both write to the same folder, in turns, and the median counts. The target is of the default, gzip:
without compression, and nearly so with lzf, plain h5py merely copies memory, and what is measured is reading the database.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from recant.archive import Archives, query_archive
from recant.oplog import Attribution
from recant.settings import read_settings
from recant.store import Database
from tests.benchmarks.measure import Measure, at_least, stopwatch
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import CHUNKS_PER_DOCUMENT, COLLECTION, Clusters, Writer, drafts

WHO = Attribution("bench")
DOCUMENTS_PER_FLUSH = 200


def run(chunks: int = 50_000, rounds: int = 3, seed: int = 23) -> list[Measure]:
    """Measures with a collection of so many chunks of 384 dimensions."""
    with measured_server() as (database, _), tempfile.TemporaryDirectory(prefix="recant-bench-") as folder:
        _fill(database, chunks, seed)
        archives = Archives(database, replace(read_settings({}), collection=COLLECTION))
        measures = [bare_reading(database)]
        for compression, target in (("gzip", 0.7), ("lzf", None), ("none", None)):
            measures += writing(archives, Path(folder) / f"{compression}.h5", compression, target, chunks, rounds)
        measures += reading(archives, Path(folder) / "gzip.h5", chunks)
    return measures


def writing(
    archives: Archives, path: Path, compression: str, target: float | None, chunks: int, rounds: int
) -> list[Measure]:
    """Seconds, size, and the ratio to plain h5py."""
    ours, plain = [], []
    archives.create(path, WHO, compression=compression)
    arrays = _arrays(path)
    for _ in range(rounds):
        ours.append(_seconds(lambda: archives.create(path, WHO, compression=compression)))
        plain.append(_seconds(lambda: _write_plainly(path.with_suffix(".plain"), arrays, compression)))
    ratio = f"speed against plain h5py, {compression}"
    seconds, base = statistics.median(ours), statistics.median(plain)
    return [
        Measure(f"archive of {chunks:,} chunks, {compression}", seconds, "s"),
        Measure(f"the same arrays by plain h5py, {compression}", base, "s"),
        Measure(ratio, base / seconds, "x") if target is None else at_least(ratio, base / seconds, "x", target),
        Measure(f"size, {compression}", path.stat().st_size / 2**20, "MiB"),
    ]


def bare_reading(database: Database) -> Measure:
    """How fast the same texts and vectors come out of the database at all: two COPYs, in no order, thrown away.

    Plain h5py begins with arrays in memory. Without compression its whole file takes less time than this.
    """
    tables = (
        "COPY (SELECT text_hash, vector FROM embedding) TO STDOUT (FORMAT BINARY)",
        "COPY (SELECT id, version_id, embedding_id, index, token_count, chunk_type, parent_headers, text, attributes FROM chunk) "
        "TO STDOUT (FORMAT BINARY)",
    )

    def read() -> None:
        with database.snapshot() as connection:
            for statement in tables:
                with connection.cursor().copy(statement) as copy:
                    for _ in copy:
                        pass

    read()
    return Measure(
        "reading texts and vectors by COPY, the least it takes",
        statistics.median(_seconds(read) for _ in range(3)),
        "s",
    )


def reading(archives: Archives, path: Path, chunks: int) -> list[Measure]:
    """Checking, searching and restoring an archive."""
    vector = np.ones(384, np.float32)
    verifying = _seconds(lambda: archives.verify(path))
    querying = _seconds(lambda: query_archive(path, vector))
    restoring = _seconds(lambda: archives.restore(path, WHO, collection="restored"))
    return [
        Measure(f"checking {chunks:,} chunks", verifying, "s"),
        Measure(f"searching {chunks:,} chunks where they lie", querying * 1000, "ms"),
        Measure("restoring, vectors known", chunks / restoring, "chunks/s"),
    ]


def _fill(database: Database, chunks: int, seed: int) -> None:
    writer = Writer(database)
    operation = writer.open()
    clusters = Clusters(seed, centres=max(10, chunks // 200))
    for first in range(0, chunks // CHUNKS_PER_DOCUMENT, DOCUMENTS_PER_FLUSH):
        flush = drafts(clusters, DOCUMENTS_PER_FLUSH, label="archived", first=first)
        writer.append(operation, writer.prepare(flush), batch=f"{first}")
    writer.log.publish(operation)


def _arrays(path: Path) -> dict[str, tuple[np.ndarray, tuple[int, ...] | None]]:
    """Every dataset of an archive in memory, with its chunks' shape."""
    with h5py.File(path) as file:
        names = [f"{table}/{name}" for table, group in file.items() for name in group]
        return {name: (file[name][:], file[name].chunks) for name in names}


def _write_plainly(path: Path, arrays: dict[str, tuple[np.ndarray, tuple[int, ...] | None]], compression: str) -> None:
    filters: dict[str, object] = {} if compression == "none" else {"compression": compression, "shuffle": True}
    with h5py.File(path, "w") as file:
        for name, (array, chunks) in arrays.items():
            given = filters if chunks else {}
            file.create_dataset(name, data=array, chunks=chunks, **given)
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _seconds(call: Callable[[], object]) -> float:
    with stopwatch() as watch:
        call()
    return watch.seconds
