"""Exports against plain COPY of the same rows to a file, and Parquet against pyarrow alone with the rows in memory.

Plain COPY writes what the server sends, through the same driver, with ordinary buffering: no protection of formulas, no
CR LF, no sha256, no manifest, no fsync, no operation. Each is timed five times in turn; the medians are compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, LiteralString

from recant.export import TABLES, ExportRequest, Exports
from recant.export.query import read_scope, select
from recant.oplog import Attribution
from recant.settings import read_settings
from recant.store import Database
from tests.benchmarks.measure import Measure, at_least, median, stopwatch
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import CHUNKS_PER_DOCUMENT, COLLECTION, Clusters, Writer, drafts

ROUNDS = 5


def run(chunks: int = 100_000, seed: int = 5) -> list[Measure]:
    """Measures with `chunks` chunks of 384 dimensions."""
    with measured_server() as (database, _), tempfile.TemporaryDirectory(prefix="recant-bench-") as folder:
        writer = Writer(database)
        writer.publish(
            drafts(Clusters(seed, max(10, chunks // 200)), chunks // CHUNKS_PER_DOCUMENT, label="exported"),
        )
        with database.connection() as connection:
            connection.execute("RESET ROLE")
            connection.execute("VACUUM ANALYZE")
        bench = _Bench(database, Path(folder))
        return [*bench.against_copy(chunks, False), *bench.against_copy(chunks, True), *bench.against_pyarrow(chunks)]


class _Bench:
    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.exports = Exports(database, read_settings({}))

    def against_copy(self, chunks: int, vectors: bool) -> list[Measure]:
        request = self.request(vectors=vectors)
        ours, plain = self.in_turn(lambda: self.export(request), lambda: self.copy(request))
        what = "CSV with vectors" if vectors else "CSV"
        return [
            Measure(f"{what}, {chunks:,} chunks", chunks / ours, "rows/s"),
            at_least(f"{what}: export / plain COPY", plain / ours, "", 0.8),
        ]

    def against_pyarrow(self, chunks: int) -> list[Measure]:
        from pyarrow import parquet

        request = self.request(vectors=True, format="parquet", compression="zstd")
        self.export(request)
        table = parquet.read_table(Path(request.target) / "chunks.parquet")
        ours, alone = self.in_turn(
            lambda: self.export(request),
            lambda: parquet.write_table(table, self.folder / "alone.parquet", compression="zstd"),
        )
        return [
            Measure(f"Parquet with vectors, {chunks:,} chunks", chunks / ours, "rows/s"),
            Measure("Parquet: export / pyarrow from memory", alone / ours, ""),
        ]

    def request(self, **asked: Any) -> ExportRequest:
        return ExportRequest(str(self.folder / "export"), ("chunks",), COLLECTION, **asked)

    def export(self, request: ExportRequest) -> None:
        self.exports.write(request, Attribution(agent="bench"))

    def copy(self, request: ExportRequest) -> None:
        """The same columns of the same rows in the same order, as the server has them."""
        with self.database.snapshot() as connection, (self.folder / "plain.csv").open("wb") as file:
            scope = read_scope(connection, request)
            columns = TABLES["chunks"].chosen(None, vectors=request.vectors)
            statement, given = select("chunks", columns, _unprotected(request), scope)
            copy: LiteralString = "COPY ({}) TO STDOUT (FORMAT csv, HEADER)"
            with connection.cursor().copy(copy.replace("{}", statement), given) as rows:
                for row in rows:
                    file.write(row)

    def in_turn(self, *calls: Callable[[], None]) -> list[float]:
        seconds: list[list[float]] = [[] for _ in calls]
        for _ in range(ROUNDS):
            for call, taken in zip(calls, seconds, strict=True):
                with stopwatch() as watch:
                    call()
                taken.append(watch.seconds)
        return [median(taken) for taken in seconds]


def _unprotected(request: ExportRequest) -> ExportRequest:
    return ExportRequest.from_dict(request.to_dict() | {"protect_formulas": False})
