"""A file, or a folder of files, that an operation of kind `archive` or `export` made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from recant.json_types import JSON

Kind = Literal["archive", "export"]
State = Literal["current", "stale", "erased", "withdrawn", "replaced", "removed"]
ARTIFACT_STATES: tuple[State, ...] = get_args(State)
"""Worked out from the log when it is asked for: `stale` holds what is hidden now or lacks what is shown again; `erased`
holds a document that was erased; `withdrawn`: its own operation was taken back; `replaced` by a later one at its path;
`removed` by somebody who said so."""


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """One file of an artifact."""

    path: str
    """Relative to the artifact's path where that is a folder; "" where it is the file."""
    sha256: str
    size_bytes: int
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that happened since the artifact was read."""

    reason: Literal["hidden", "shown", "erased"]
    operation_id: int
    """What it holds, or lacks, of."""
    record_id: int | None
    """None: all of the operation."""
    control_id: int
    """The rollback, redo, quarantine, release, restore or erasure."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What is known of one."""

    artifact_id: int
    kind: Kind
    path: str
    format: str
    operation_id: int
    """The operation that made it."""
    agent: str
    collection: str | None
    """None: of all collections."""
    first_position: int
    position: int
    """It holds what was seen here, of the operations from `first_position` on."""
    read_position: int
    """The last position when it was read."""
    scope: dict[str, JSON]
    """How it was asked for."""
    sha256: str
    size_bytes: int
    files: tuple[ArtifactFile, ...]
    created_at: datetime
    removed_at: datetime | None
    removed_by: str | None
    state: State

    def damage(self) -> tuple[list[str], list[str]]:
        """Of its files, those whose bytes aren't what was recorded, and those that aren't on this machine. Reads them whole."""
        changed, absent = [], []
        for recorded in self.files or (ArtifactFile("", self.sha256, self.size_bytes),):
            path = Path(self.path, recorded.path) if recorded.path else Path(self.path)
            if not path.is_file():
                absent.append(str(path))
            elif path.stat().st_size != recorded.size_bytes or _sha256(path) != recorded.sha256:
                changed.append(str(path))
        return changed, absent

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        times = {name: _text(getattr(self, name)) for name in ("created_at", "removed_at")}
        return asdict(self) | times | {"files": [asdict(file) for file in self.files]}


def artifact_of(row: Mapping[str, Any]) -> Artifact:
    """From a row of `artifact_state`."""
    known = {name: value for name, value in row.items() if name not in ("id", "sha256", "files")}
    files = tuple(ArtifactFile(**file) for file in row["files"])
    return Artifact(artifact_id=row["id"], sha256=bytes(row["sha256"]).hex(), files=files, **known)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
