"""Recording, listing and forgetting artifacts. The files themselves are their writers' business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recant.artifacts.artifact import ARTIFACT_STATES, Artifact, ArtifactFile, Kind, Reason, artifact_of
from recant.errors import UsageError
from recant.json_types import JSON
from recant.store import Connection, Database, json_parameter, load, numbers_text

_SQL = load(__package__, "artifacts.sql")
KEPT = ("current", "stale", "erased", "withdrawn")
"""States of those whose files stand where they were put."""


class Artifacts:
    """The archives and exports of one database. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def record(
        self,
        batch_id: int,
        kind: Kind,
        path: Path,
        *,
        format: str,
        position: int,
        read_position: int,
        sha256: str,
        size_bytes: int,
        first_position: int = 1,
        collection: str | None = None,
        scope: Mapping[str, JSON] | None = None,
        files: Sequence[ArtifactFile] = (),
    ) -> int:
        """Records what an open operation's batch made; it is there for others once the operation is published.

        `position` is what the file holds the state of, `read_position` the last position when it was read (in one snapshot
        with the content). A retried batch forgets what its earlier attempt recorded. Raises StaleBatch, OperationClosed,
        UnknownCollection.
        """
        given = {
            "batch_id": batch_id,
            "kind": kind,
            "path": str(path.expanduser().absolute()),
            "format": format,
            "collection": collection,
            "first_position": first_position,
            "position": position,
            "read_position": read_position,
            "scope": json_parameter(dict(scope or {})),
            "sha256": bytes.fromhex(sha256),
            "size_bytes": size_bytes,
            "files": json_parameter([asdict(file) for file in files]),
        }
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["record_artifact"], given).fetchone()
        assert row is not None, "it answers with one row"
        return int(row["artifact_id"])

    def find(
        self,
        *,
        kind: Kind | None = None,
        states: Sequence[str] | None = KEPT,
        path: Path | str | None = None,
        collection: str | None = None,
    ) -> list[Artifact]:
        """Artifacts of published operations, newest first; `states` None: replaced and removed ones too.

        Raises UsageError for a state that there isn't.
        """
        if unknown := sorted({*(states or ())} - {*ARTIFACT_STATES}):
            raise UsageError(f"state {unknown[0]!r}: must be one of {', '.join(ARTIFACT_STATES)}")
        where = str(Path(path).expanduser().absolute()) if path is not None else None
        return self._find(kind=kind, states=None if states is None else list(states), path=where, collection=collection)

    def get(self, artifact_id: int) -> Artifact:
        """One artifact. Raises UsageError."""
        found = self._find(artifact_id=artifact_id)
        if not found:
            raise UsageError(f"There is no artifact {artifact_id}.")
        return found[0]

    def reasons(self, artifact_id: int, *, limit: int = 1000) -> list[Reason]:
        """What happened since that it doesn't show; empty while it holds what it should."""
        with self.database.transaction() as connection:
            rows = connection.execute(_SQL["reasons"], {"artifact_id": artifact_id, "limit": limit})
            return [Reason(**row) for row in rows]

    def remove(self, artifact_id: int, *, by: str) -> bool:
        """Says that its files are gone. The caller has deleted them. False when that was said before."""
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["remove_artifact"], {"artifact_id": artifact_id, "by": by}).fetchone()
        return bool(row and row["removed"])

    def _find(self, **given: Any) -> list[Artifact]:
        nothing = {"artifact_id": None, "kind": None, "states": None, "path": None, "collection": None}
        with self.database.transaction() as connection:
            return [artifact_of(row) for row in connection.execute(_SQL["find_artifacts"], nothing | given)]


def holding(connection: Connection, operations: Sequence[int]) -> list[Artifact]:
    """Artifacts whose files hold something of these operations, by path; not those replaced or removed."""
    given = {"operations": numbers_text(operations)}
    return [artifact_of(row) for row in connection.execute(_SQL["holding"], given)]
