"""What `kb.archives` offers: making, listing, checking, making again and removing archives; restoring from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from recant.archive.compression import DEFAULT_LEVEL, Compression
from recant.archive.contents import Contents
from recant.archive.layout import FILE_COLUMNS
from recant.archive.query import Filters, search_archive
from recant.archive.reader import open_archive
from recant.archive.restoring import Restoration, restore_archive
from recant.archive.scope import Scope
from recant.archive.state import file_sha256
from recant.archive.verification import ArchiveReport, verify_archive
from recant.archive.writer import Written, replacing, write_archive
from recant.artifacts import Artifact, Artifacts
from recant.artifacts.artifacts import KEPT
from recant.errors import RecantError, Refused, UsageError
from recant.lineage import collection_dataset, source_dataset
from recant.oplog import Attribution, Dataset, OperationLog
from recant.oplog.positions import Moment, position_of, require_answerable
from recant.search import SearchResult
from recant.settings import Settings
from recant.store import Connection, Database, load

FORMAT = "hdf5"
REWRITABLE = ("stale", "erased")
BEAT_SECONDS = 60.0
_SQL = load(__package__, "archive.sql")


@dataclass(frozen=True, slots=True)
class ArchiveMade:
    """An archive that was written."""

    artifact_id: int
    operation_id: int
    path: str
    collection: str
    position: int
    """Whose state it holds."""
    holds: str
    sha256: str
    size_bytes: int
    rows: dict[str, int]
    """By table."""
    left_out: dict[str, int]
    """Records that are seen, of kinds that an archive doesn't hold."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


class Archives:
    """The archives of one database. Safe to share between threads."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.artifacts = Artifacts(database)
        self._log = OperationLog(database)

    def create(
        self, path: Path | str, attribution: Attribution, *, collection: str | None = None, at: Moment | None = None,
        holds: str = "seen", first_position: int | None = None, compression: str = "gzip", level: int = DEFAULT_LEVEL,
    ) -> ArchiveMade:  # fmt: skip
        """Writes what is seen of a collection (or, with `holds="history"`, every version) into an HDF5 file, as an operation.

        `at`: as of a position, tag or time (None: now); a history ends there, and begins at `first_position`. The file
        takes the target's place whole, or the target stays. Memory doesn't grow with texts or vectors. Raises
        UnknownCollection, UsageError, OutOfSpace; PastHorizon where what was seen then has been reclaimed.
        """
        target = Path(path).expanduser().absolute()
        named = self.settings.collection if collection is None else collection
        packing = Compression(compression, level)
        wanted = _Wanted(target, named, None if at is None else str(at), holds, first_position, packing)
        operation_id = self._log.open(
            "archive",
            attribution,
            collection=named,
            parameters={"path": str(target), **wanted.to_dict(), "file_columns": FILE_COLUMNS},
            datasets=self._datasets(named, target),
        )
        try:
            return self._written(operation_id, wanted)
        except BaseException as error:
            with suppress(RecantError):
                self._log.abort(operation_id, f"{type(error).__name__}: {error}"[:1000], failed=True)
            raise

    def find(self, *, states: Sequence[str] | None = None, collection: str | None = None) -> list[Artifact]:
        """Archives that were made here and stand where they were put, newest first; or those of these states."""
        return self.artifacts.find(kind="archive", collection=collection, states=KEPT if states is None else states)

    def show(self, path: Path | str) -> dict[str, Any]:
        """What a file says of itself, and the catalogue of it (`artifact` None: not made here). Raises ArchiveDamaged."""
        target = Path(path).expanduser().absolute()
        with open_archive(target) as file:
            found = file.summary()
        known = self.catalogued(target)
        reasons = [asdict(reason) for reason in self.artifacts.reasons(known.artifact_id)] if known else []
        return found | {"artifact": known.to_dict() if known else None, "reasons": reasons}

    def verify(self, path: Path | str) -> ArchiveReport:
        """Holds every dataset of a file against its checksum. Raises ArchiveDamaged for what is no archive."""
        return verify_archive(Path(path).expanduser().absolute())

    def query(
        self,
        path: Path | str,
        query: str,
        *,
        limit: int = 10,
        filters: Filters | None = None,
        every_version: bool = False,
    ) -> SearchResult:
        """Searches a file where it lies, without asking the database: what was seen in it, or of a history every version.

        `filters`: source, title, format. Raises ArchiveDamaged, UsageError; ConfigurationError for another model's vectors.
        """
        given = Path(path).expanduser().absolute()
        return search_archive(given, query, self.settings, limit=limit, filters=filters, every_version=every_version)

    def restore(
        self, path: Path | str, attribution: Attribution, *, collection: str | None = None, sources: Sequence[str] = (),
        operations: Sequence[int] = (), trust_vectors: bool = False,
    ) -> Restoration:  # fmt: skip
        """Writes what was seen in the archive into a collection (None: of the name it had), as one operation.

        With `sources` only these documents; with `operations` those that these wrote, as they wrote them, seen or not. What
        the collection holds besides stays. If the operation is reverted, all of it is as before. Vectors that the
        collection doesn't know are taken from a file that this installation made, or with `trust_vectors`; otherwise only
        into a new collection, in an embedding space of its own. Raises ArchiveDamaged, Refused, WriteConflict,
        UsageError.
        """
        target = Path(path).expanduser().absolute()
        return restore_archive(
            self.database, self.settings, target, attribution, collection=collection, sources=sources,
            operations=operations, trust_vectors=trust_vectors,
        )  # fmt: skip

    def rewrite(
        self, attribution: Attribution, *, artifacts: Sequence[int] | None = None, states: Sequence[str] = REWRITABLE,
        collection: str | None = None,
    ) -> list[ArchiveMade]:  # fmt: skip
        """Writes archives again as they were asked for: these, or all in these states. Raises as `create` does.

        A history that holds what has been reclaimed since would lose it, and rollbacks may need it: it is left as it is
        (named by its id: Refused), unless something that it holds was erased.
        """
        found = (
            self.find(states=states, collection=collection)
            if artifacts is None
            else [self._archive(number) for number in artifacts]
        )
        kept = {
            artifact.artifact_id for artifact in found if artifact.state != "erased" and self._holds_reclaimed(artifact)
        }
        if kept and artifacts is not None:
            raise Refused(
                f"Archive {min(kept)} holds what has been reclaimed since: written again, it would be lost. Make another, "
                "at another path."
            )
        return [self._again(artifact, attribution) for artifact in reversed(found) if artifact.artifact_id not in kept]

    def remove(self, artifact_id: int, *, by: str, force: bool = False) -> Artifact:
        """Deletes an archive's file and says so in the catalogue.

        Refused where another file stands at its path; with `force` that one is left, and the archive counts as removed.
        """
        artifact = self._archive(artifact_id)
        path = Path(artifact.path)
        ours = path.is_file() and file_sha256(path) == artifact.sha256
        if path.exists() and not ours and not force:
            raise Refused(
                f"{path} isn't the file that operation {artifact.operation_id} wrote: look what it is. With --force it is "
                "left alone, and the archive counts as removed."
            )
        if ours:
            path.unlink()
        self.artifacts.remove(artifact_id, by=by)
        return self._archive(artifact_id)

    def catalogued(self, path: Path) -> Artifact | None:
        """The archive that was last made at a path here."""
        return next(iter(self.artifacts.find(kind="archive", path=path)), None)

    def _holds_reclaimed(self, artifact: Artifact) -> bool:
        """Whether it may hold what the database no longer does."""
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["holds_reclaimed"], {"artifact_id": artifact.artifact_id}).fetchone()
        return bool(row and row["holds"])

    def _archive(self, artifact_id: int) -> Artifact:
        found = self.artifacts.get(artifact_id)
        if found.kind != "archive":
            raise UsageError(f"Artifact {artifact_id} is no archive, but an {found.kind}.")
        return found

    def _again(self, artifact: Artifact, attribution: Attribution) -> ArchiveMade:
        asked: dict[str, Any] = artifact.scope
        return self.create(
            artifact.path,
            attribution,
            collection=artifact.collection,
            at=asked.get("asked"),
            holds=asked.get("holds", "seen"),
            first_position=asked.get("first_position"),
            compression=asked.get("compression", "gzip"),
            level=asked.get("level", DEFAULT_LEVEL),
        )

    def _written(self, operation_id: int, wanted: _Wanted) -> ArchiveMade:
        batch_id = self._log.begin_batch(operation_id, "file")
        with replacing(wanted.path) as partial:
            with self.database.snapshot() as connection:
                scope, read_position = wanted.at(connection)
                contents = Contents(connection, scope)
                written = write_archive(partial, contents, wanted.compression, self._beat(operation_id))
            sha256, size = file_sha256(partial), partial.stat().st_size
            artifact_id = self.artifacts.record(
                batch_id, "archive", wanted.path, format=FORMAT, position=scope.position, read_position=read_position,
                sha256=sha256, size_bytes=size, first_position=scope.first_position or 1, collection=scope.collection,
                scope=wanted.to_dict(),
            )  # fmt: skip
            counts = {name: written.rows[name] for name in ("documents", "chunks", "vectors")}
            self._log.finish_batch(batch_id, counts | {"bytes": size})
        self._log.publish(operation_id)
        return _made(artifact_id, operation_id, wanted.path, scope, sha256, size, written)

    def _datasets(self, collection: str, path: Path) -> tuple[Dataset, Dataset]:
        read, wrote = collection_dataset(self.settings, collection), source_dataset(self.settings, str(path))
        return Dataset("input", *read), Dataset("output", *wrote)

    def _beat(self, operation_id: int) -> Callable[[], None]:
        """Extends the operation's lease, once in a while."""
        last = monotonic()

        def beat() -> None:
            nonlocal last
            if monotonic() - last > BEAT_SECONDS:
                self._log.extend_lease(operation_id)
                last = monotonic()

        return beat


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An archive as it was asked for: what it is made again from."""

    path: Path
    collection: str
    asked: str | None
    holds: str
    first_position: int | None
    compression: Compression

    def at(self, connection: Connection) -> tuple[Scope, int]:
        """The scope in a snapshot, and the snapshot's position."""
        row = connection.execute(_SQL["log_position"]).fetchone()
        last = int(row["position"]) if row else 0
        position = last if self.asked is None else position_of(connection, self.asked)
        if not 0 <= position <= last:
            raise UsageError(f"Position {position} is not in the log: it goes from 0 to {last}.")
        if self.holds == "seen":
            require_answerable(connection, position, self.collection)
        return Scope(self.collection, position, self.holds, self.first_position, self.asked), last

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without path and collection; only what was given."""
        packing = {"compression": self.compression.method, "level": self.compression.level}
        asked = {"asked": self.asked, "first_position": self.first_position}
        return {"holds": self.holds, **packing, **{name: value for name, value in asked.items() if value is not None}}


def _made(
    artifact_id: int, operation_id: int, path: Path, scope: Scope, sha256: str, size: int, written: Written
) -> ArchiveMade:
    return ArchiveMade(
        artifact_id=artifact_id,
        operation_id=operation_id,
        path=str(path),
        collection=scope.collection,
        position=scope.position,
        holds=scope.holds,
        sha256=sha256,
        size_bytes=size,
        rows=written.rows,
        left_out=written.left_out,
    )
