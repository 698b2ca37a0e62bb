"""What `kb.exports` offers: writing, listing, checking and refreshing, over one database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recant.artifacts import Artifact, ArtifactFile, Artifacts
from recant.errors import RecantError, UsageError
from recant.export.csv_files import write_csv
from recant.export.files import disk_errors
from recant.export.folder import check_replaceable, replacing
from recant.export.manifest import (
    MANIFEST,
    Verification,
    WrittenFile,
    WrittenTable,
    sha256_of,
    verify_manifest,
    write_manifest,
)
from recant.export.query import Scope, is_behind, read_scope, select
from recant.export.request import ExportRequest
from recant.export.tables import TABLES
from recant.export.views import write_views
from recant.lineage import collection_dataset
from recant.oplog import Attribution, Dataset, OperationLog
from recant.settings import Settings
from recant.store import Connection, Database

KIND = "export"
BATCH = "files"
LEASE_SECONDS = 3_600.0
LEASE_EXTENDED_EVERY_SECONDS = 300.0
ARTIFACT_KINDS = ("export", "archive")
"""Operations that only made files: an export isn't behind because of them."""
Progress = Callable[[str, int], None]
"""Told the table's name and how many more rows of it are written."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written."""

    operation_id: int
    artifact_id: int
    target: str
    position: int
    """What is in it was seen here."""
    format: str
    rows: dict[str, int]
    """By table."""
    files: int
    size_bytes: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {name: getattr(self, name) for name in self.__slots__} | {"seconds": round(self.seconds, 3)}


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What became of one export that had to be made again."""

    target: str
    reason: str
    """`stale`, `erased`, `adrift` (the folder isn't what the log says) or `behind`."""
    report: ExportReport | None
    """None where it failed, and in a dry run."""
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        report = self.report.to_dict() if self.report else None
        return {"target": self.target, "reason": self.reason, "report": report, "error": self.error}


class Exports:
    """Exports of one database. Safe to share between threads."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.artifacts = Artifacts(database)
        self._log = OperationLog(database)

    def write(
        self, request: ExportRequest, attribution: Attribution, *, open_key: str | None = None,
        progress: Progress = lambda table, rows: None,
    ) -> ExportReport:  # fmt: skip
        """Writes the export as an operation: all files beside the target, then in its place, in one step; then published.

        Whatever goes wrong before leaves what was there untouched and the operation aborted. The same `open_key` goes on
        with the operation of an earlier attempt. Raises UnknownCollection, UsageError, PastHorizon; Refused where the
        target holds something else; OutOfSpace; ConfigurationError where Parquet can't be written.
        """
        started, target = time.perf_counter(), Path(request.target)
        check_replaceable(target)
        with self.database.snapshot() as connection:
            scope = read_scope(connection, request)
        operation_id = self._open(request, scope, attribution, open_key)
        try:
            batch_id = self._log.begin_batch(operation_id, BATCH, lease_seconds=LEASE_SECONDS)
            alive = _Alive(self._log, operation_id, progress)
            with disk_errors(), replacing(target) as folder:
                scope, tables, manifest, others = self._write_files(folder, request, operation_id, alive)
            artifact_id = self._record(batch_id, request, scope, manifest, tables, others)
            rows = {table.name: table.rows for table in tables}
            self._log.finish_batch(batch_id, {"files": sum(len(t.files) for t in tables), "rows": sum(rows.values())})
            self._log.publish(operation_id)
        except BaseException as error:
            self._log.abort(operation_id, f"{type(error).__name__}: {error}", failed=True)
            raise
        written = [file for table in tables for file in table.files]
        return ExportReport(
            operation_id, artifact_id, str(target), scope.position, request.media_format, rows, len(written),
            sum(file.size_bytes for file in written), time.perf_counter() - started,
        )  # fmt: skip

    def find(self, *, all_states: bool = False) -> list[Artifact]:
        """Exports that stand where they were put, newest first; with `all_states` replaced and removed ones too."""
        return self.artifacts.find(kind="export", states=None) if all_states else self.artifacts.find(kind="export")

    def newest(self, format: str) -> Artifact:
        """The latest export of a format that is current and where it was put. Raises UsageError where there is none."""
        for export in self.find():
            if export.state == "current" and export.scope.get("format") == format and Path(export.path).is_dir():
                return export
        raise UsageError(
            f"There is no {format} export that is current: `recant export to FOLDER --table all --format {format}` makes one, "
            "`recant export refresh` makes stale ones again."
        )

    def verify(self, manifest: Path | str) -> Verification:
        """Reads an export's files and compares them with its manifest. Needs no database. Raises UsageError."""
        return verify_manifest(Path(manifest).expanduser().absolute())

    def due(self, *, only_stale: bool = False) -> list[tuple[Artifact, str]]:
        """Exports that `refresh` would make again, each with the reason, oldest first."""
        found = ((export, self._reason(export, only_stale)) for export in reversed(self.find()))
        return [(export, reason) for export, reason in found if reason is not None]

    def refresh(
        self, attribution: Attribution, *, only_stale: bool = False, dry_run: bool = False,
        progress: Progress = lambda table, rows: None,
    ) -> list[Refreshed]:  # fmt: skip
        """Makes again what holds something withdrawn or erased, lacks something that came back, or isn't what the log says;
        and, unless `only_stale`, what follows the knowledge and is behind it.

        What was asked for as of a position holds what was seen then, on purpose: it is made again only where a document
        was erased. One that fails doesn't keep the others from being made; its error is in the answer.
        """
        done = []
        for export, reason in self.due(only_stale=only_stale):
            report: ExportReport | None = None
            error = None
            try:
                report = (
                    None
                    if dry_run
                    else self.write(ExportRequest.from_dict(export.scope), attribution, progress=progress)
                )
            except RecantError as failure:
                error = f"{type(failure).__name__}: {failure}"
            done.append(Refreshed(export.path, reason, report, error))
        return done

    def _reason(self, export: Artifact, only_stale: bool) -> str | None:
        place = Path(export.path)
        if export.state == "withdrawn" or not place.is_dir():
            return None
        if export.state == "erased" or (export.state == "stale" and export.scope.get("as_of") is None):
            return export.state
        manifest = place / MANIFEST
        if not manifest.is_file() or sha256_of(manifest) != export.sha256:
            return "adrift"
        if only_stale or not export.scope.get("follow"):
            return None
        with self.database.transaction() as connection:
            return "behind" if is_behind(connection, export.collection, export.position, ARTIFACT_KINDS) else None

    def _open(self, request: ExportRequest, scope: Scope, attribution: Attribution, open_key: str | None) -> int:
        inputs = [Dataset("input", *collection_dataset(self.settings, name)) for name in scope.collections]
        return self._log.open(
            KIND,
            attribution,
            collection=request.collection,
            parameters=request.to_dict() | {"file_columns": request.file_columns()},
            datasets=[*inputs, Dataset("output", "file", request.target)],
            lease_seconds=LEASE_SECONDS,
            open_key=open_key,
        )

    def _write_files(
        self, folder: Path, request: ExportRequest, operation_id: int, alive: _Alive
    ) -> tuple[Scope, list[WrittenTable], WrittenFile, list[WrittenFile]]:
        """All of it from one snapshot."""
        with self.database.snapshot() as connection:
            scope = read_scope(connection, request)
            tables = [_write_table(connection, folder, name, request, scope, alive) for name in request.tables]
        others = [write_views(folder, tables)] if request.format == "parquet" else []
        return scope, tables, write_manifest(folder, request, scope, operation_id, tables, others), others

    def _record(
        self, batch_id: int, request: ExportRequest, scope: Scope, manifest: WrittenFile, tables: list[WrittenTable],
        others: list[WrittenFile],
    ) -> int:  # fmt: skip
        files = [manifest, *others, *(file for table in tables for file in table.files)]
        return self.artifacts.record(
            batch_id,
            "export",
            Path(request.target),
            format=request.media_format,
            position=scope.position,
            read_position=scope.read_position,
            collection=request.collection,
            scope=request.to_dict(),
            sha256=manifest.sha256,
            size_bytes=sum(file.size_bytes for file in files),
            files=[ArtifactFile(f.path, f.sha256, f.size_bytes, f.rows) for f in files],
        )


class _Alive:
    """Tells of progress, and keeps the operation's lease while there is some."""

    def __init__(self, log: OperationLog, operation_id: int, progress: Progress) -> None:
        self._log, self._operation_id, self._progress = log, operation_id, progress
        self._extended = time.monotonic()

    def written(self, table: str, rows: int) -> None:
        self._progress(table, rows)
        if time.monotonic() - self._extended > LEASE_EXTENDED_EVERY_SECONDS:
            self._log.extend_lease(self._operation_id, lease_seconds=LEASE_SECONDS)
            self._extended = time.monotonic()


def _write_table(
    connection: Connection, folder: Path, name: str, request: ExportRequest, scope: Scope, alive: _Alive
) -> WrittenTable:
    columns = TABLES[name].chosen(request.columns.get(name), vectors=request.vectors)
    statement, given = select(name, columns, request, scope)
    names = _names(folder, name, request)

    def progress(rows: int) -> None:
        alive.written(name, rows)

    if request.format == "csv":
        files = write_csv(
            connection, statement, given, columns, names, compression=request.compression, null_text=request.null_text,
            rows_per_file=request.rows_per_file, progress=progress,
        )  # fmt: skip
    else:
        from recant.export.parquet_files import write_parquet

        files = write_parquet(
            connection, statement, given, columns, names, dimensions=scope.dimensions, compression=request.compression,
            rows_per_file=request.rows_per_file, progress=progress,
        )  # fmt: skip
    return WrittenTable(name, columns, tuple(files))


def _names(folder: Path, table: str, request: ExportRequest) -> Iterator[Path]:
    """`chunks.csv`; in parts `chunks-00001.csv`, `chunks-00002.csv` …"""
    if request.rows_per_file is None:
        yield folder / f"{table}{request.extension}"
        return
    number = 0
    while True:
        number += 1
        yield folder / f"{table}-{number:05}{request.extension}"
