"""`manifest.json`: what an export holds, so that it can be read and checked without Recant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recant.errors import Refused, UsageError
from recant.export.query import Scope
from recant.export.request import ExportRequest
from recant.export.tables import PROTECTED, Column

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file of an export, by its name in the folder."""

    path: str
    rows: int | None
    """None for what isn't a table's."""
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class WrittenTable:
    """A table of an export."""

    name: str
    columns: tuple[Column, ...]
    files: tuple[WrittenFile, ...]

    @property
    def rows(self) -> int:
        """Of all its files."""
        return sum(file.rows or 0 for file in self.files)


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether the files are what the manifest says."""

    manifest: str
    files: int
    problems: tuple[str, ...]
    """Empty where all is well."""

    @property
    def ok(self) -> bool:
        """Whether there was no problem."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"manifest": self.manifest, "ok": self.ok, "files": self.files, "problems": list(self.problems)}


def write_manifest(
    folder: Path, request: ExportRequest, scope: Scope, operation_id: int, tables: list[WrittenTable],
    others: list[WrittenFile],
) -> WrittenFile:  # fmt: skip
    """Writes it into the folder; its own entry."""
    document = {
        "recant_export": FORMAT_VERSION,
        "operation_id": operation_id,
        "position": scope.position,
        "created_at": datetime.now(UTC).isoformat(),
        "collections": list(scope.collections),
        "format": request.format,
        "compression": request.compression,
        "as_of": request.as_of,
        "filters": request.to_dict()["filters"],
        "agents": list(request.agents),
        **(_dialect(request) if request.format == "csv" else {}),
        "tables": [_table(table, request) for table in tables],
        "other_files": [asdict(file) for file in others],
    }
    data = (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()
    (folder / MANIFEST).write_bytes(data)
    return WrittenFile(MANIFEST, None, len(data), hashlib.sha256(data).hexdigest())


def _dialect(request: ExportRequest) -> dict[str, Any]:
    return {
        "csv": {
            "encoding": "utf-8",
            "delimiter": ",",
            "quote": '"',
            "line_ending": "\r\n",
            "header": True,
            "null": request.null_text,
            "formula_prefix": "'" if request.protect_formulas else None,
            "formula_beginnings": "".join(map(chr, PROTECTED)) if request.protect_formulas else "",
        }
    }


def _table(table: WrittenTable, request: ExportRequest) -> dict[str, Any]:
    protected = request.format == "csv" and request.protect_formulas
    columns = [
        {"name": c.name, "type": c.type} | ({"protected": True} if protected and c.type == "text" else {})
        for c in table.columns
    ]
    return {"name": table.name, "rows": table.rows, "columns": columns, "files": [asdict(f) for f in table.files]}


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, or that of the folder. Raises UsageError where there is none or it can't be understood."""
    place = path / MANIFEST if path.is_dir() else path
    try:
        document = json.loads(place.read_bytes())
    except OSError as error:
        raise UsageError(f"There is no export at {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{place} is no manifest: {error}.") from error
    if not isinstance(document, dict) or document.get("recant_export") != FORMAT_VERSION:
        raise UsageError(f"{place} is no manifest of an export that this version knows.")
    return document


def listed_files(document: Mapping[str, Any]) -> list[WrittenFile]:
    """Every file that a manifest names."""
    rows = [file for table in document["tables"] for file in table["files"]]
    return [WrittenFile(**file) for file in (*rows, *document["other_files"])]


def verify_manifest(path: Path) -> Verification:
    """Reads every file and compares size and sha256; names what is missing, changed or extra. Raises UsageError."""
    document = read_manifest(path)
    folder = path if path.is_dir() else path.parent
    files = listed_files(document)
    problems = [problem for file in files if (problem := _problem(folder, file))]
    known = {MANIFEST, *(file.path for file in files)}
    problems += [f"{name}: isn't in the manifest" for name in sorted(_names(folder) - known)]
    return Verification(str(path if path.is_file() else folder / MANIFEST), len(files), tuple(problems))


def require_replaceable(target: Path) -> None:
    """Raises Refused for a place that holds anything but an export."""
    if target.is_dir() and not any(target.iterdir()):
        return
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir() or not (target / MANIFEST).is_file():
        raise Refused(f"{target} is there, and is no export: choose a new folder.")
    known = {MANIFEST, *(file.path for file in listed_files(read_manifest(target)))}
    if others := sorted(_names(target) - known):
        raise Refused(
            f"{target} also holds {others[0]}, which isn't the export's: move it away, or choose a new folder."
        )


def _problem(folder: Path, file: WrittenFile) -> str | None:
    place = folder / file.path
    if not place.is_file():
        return f"{file.path}: is missing"
    if place.stat().st_size != file.size_bytes:
        return f"{file.path}: has {place.stat().st_size:,} bytes, not {file.size_bytes:,}"
    return None if sha256_of(place) == file.sha256 else f"{file.path}: its content was changed"


def sha256_of(path: Path) -> str:
    """Of a file, as hex."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
