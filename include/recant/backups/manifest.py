"""What a backup says of itself: a folder with a `manifest.json`, written last."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from recant.errors import UsageError, VerificationFailed

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup. It holds the log up to `position`, for certain; a physical one perhaps a few operations more."""

    name: str
    kind: str
    """logical or physical."""
    taken_at: datetime
    seconds: float
    position: int
    chain: str | None
    """Of that position, as hex: what the restored log has to have there. None of an empty log."""
    recant_version: str
    postgres_version: str
    migrations: list[str]
    roles: list[dict[str, Any]]
    """Group roles and their memberships, for a server that lacks them. No passwords."""
    files: dict[str, dict[str, Any]]
    """`size_bytes` and `sha256` of each."""
    wal: dict[str, Any] = field(default_factory=dict)
    """Of a physical one: `timeline`, `start_lsn`, `end_lsn`."""
    format: int = FORMAT
    folder: Path | None = None
    """Where it was found; not in the manifest."""

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(int(about["size_bytes"]) for about in self.files.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        known = asdict(self) | {"taken_at": self.taken_at.isoformat(), "size_bytes": self.size_bytes}
        return known | {"folder": None if self.folder is None else str(self.folder)}

    def write(self, folder: Path) -> None:
        """Its manifest, into the folder with its files."""
        known = {name: value for name, value in self.to_dict().items() if name not in ("folder", "size_bytes")}
        (folder / MANIFEST).write_text(json.dumps(known, indent=2) + "\n", "utf-8")

    def require_whole(self) -> None:
        """Raises VerificationFailed where a file is missing, too short, or not what was written."""
        assert self.folder is not None
        for name, about in self.files.items():
            path = self.folder / name
            if not path.is_file():
                raise VerificationFailed(f"{path} is missing: the backup can't be restored.")
            if path.stat().st_size != about["size_bytes"] or sha256(path) != about["sha256"]:
                raise VerificationFailed(f"{path} is not what was written: the backup is damaged.")


def read_backup(folder: Path) -> Backup:
    """The backup in a folder. Raises UsageError where there is none that can be understood."""
    try:
        known = json.loads((folder / MANIFEST).read_text("utf-8"))
        if known["format"] != FORMAT:
            raise UsageError(f"{folder} was written by a newer Recant (format {known['format']}): restore with that.")
        names = {f.name for f in fields(Backup)}
        given = {name: value for name, value in known.items() if name in names}
        return Backup(**given | {"taken_at": datetime.fromisoformat(known["taken_at"]), "folder": folder})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder} is no backup: it has no {MANIFEST} that can be read.") from error


def require_copy(folder: Path) -> None:
    """Holds each file of a physical backup against PostgreSQL's own manifest. Raises VerificationFailed.

    (`pg_verifybackup` of the embedded PostgreSQL 18 crashes on compressed tar files.)
    """
    wanted = {f["Path"]: f for f in json.loads((folder / "backup_manifest").read_text("utf-8"))["Files"]}
    with tarfile.open(folder / "base.tar.gz", "r|gz") as archive:
        for member in archive:
            known = wanted.pop(member.name, None) if member.isfile() else None
            content = archive.extractfile(member) if known else None
            if known and content and hashlib.file_digest(content, "sha256").hexdigest() != known["Checksum"]:  # type: ignore[arg-type]
                raise VerificationFailed(f"{folder}: {member.name} is not what PostgreSQL wrote.")
    if wanted:
        raise VerificationFailed(f"{folder}: {len(wanted)} files of PostgreSQL's are missing, {min(wanted)} first.")


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and hash of each file in a folder."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    return {path.name: {"size_bytes": path.stat().st_size, "sha256": sha256(path)} for path in paths}


def sha256(path: Path) -> str:
    """Of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
