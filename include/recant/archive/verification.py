"""Is an archive whole? Every dataset is held against its checksum, and its columns against each other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recant.archive.reader import ArchiveFile, damage_named, open_archive
from recant.archive.state import StateDigest, seal
from recant.errors import ArchiveDamaged

BLOCK_ROWS = 1 << 16
BLOCK_RECORDS = 1_000


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that isn't as it was written."""

    dataset: str
    """The HDF5 path; "" for the file as a whole."""
    detail: str


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What a check of a file found."""

    path: str
    ok: bool
    damaged: list[Damage]
    datasets: int
    """How many were read."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def verify_archive(path: Path) -> ArchiveReport:
    """Reads all of it, in blocks. Raises ArchiveDamaged for what isn't laid out as an archive at all, naming what is wrong."""
    with open_archive(path) as file:
        damaged = [*_checksums(file)]
        if not damaged:
            damaged += _references(file)
        return ArchiveReport(str(path), not damaged, damaged, len(file.names()))


def require_whole(path: Path) -> None:
    """Raises ArchiveDamaged, naming every damaged dataset."""
    report = verify_archive(path)
    if not report.ok:
        names = ", ".join(sorted({damage.dataset or "the file" for damage in report.damaged}))
        raise ArchiveDamaged(f"{path} is damaged: {names}. Nothing was changed.", damaged=report.to_dict()["damaged"])


def _checksums(file: ArchiveFile) -> Iterator[Damage]:
    digests: dict[str, str] = {}
    for table, name in file.names():
        digest = hashlib.sha256()
        try:
            with damage_named(file.path):
                for _, block in file.blocks(table, name):
                    digest.update(np.ascontiguousarray(block).data)
        except ArchiveDamaged as error:
            yield Damage(f"{table}/{name}", f"can't be read: {error.__cause__}")
            continue
        digests[f"{table}/{name}"] = digest.hexdigest()
        if digest.hexdigest() != file.sha256_of(table, name):
            yield Damage(f"{table}/{name}", "its checksum isn't what was written")
    if len(digests) == len(file.names()) and seal(file.attributes, digests) != file.seal:
        yield Damage("", "the checksum of the whole isn't that of its attributes and datasets")


def _references(file: ArchiveFile) -> Iterator[Damage]:
    """Whether rows that point at others point at some, and what is seen comes to the digest in the attributes."""
    for table, columns in file.tables.items():
        for name in (name for name, kind in columns.items() if kind == "text"):
            if not _offsets_fit(file, table, name):
                yield Damage(f"{table}/{name}_offsets", "doesn't cut the texts into pieces")
                return
    for table, name, target in (("chunks", "document", "documents"), ("chunks", "vector", "vectors")):
        if not all(_within(block, file.rows[target]) for _, block in file.blocks(table, name)):
            yield Damage(f"{table}/{name}", f"names rows that {target} hasn't")
    if not _parts_fit(file):
        yield Damage("documents/first_chunk", "names rows that chunks hasn't")
    if _state(file) != file.state:
        yield Damage("documents/seen", "what is seen isn't what the attribute `state` says")


def _offsets_fit(file: ArchiveFile, table: str, name: str) -> bool:
    last = 0
    for _, block in file.blocks(table, f"{name}_offsets"):
        if block[0] < last or np.any(np.diff(block) < 0):
            return False
        last = int(block[-1])
    return int(file.read(table, f"{name}_offsets", 0, 1)[0]) == 0 and last == file.length(table, name)


def _within(block: Any, rows: int) -> bool:
    return len(block) == 0 or bool(block.min() >= 0 and block.max() < rows)


def _parts_fit(file: ArchiveFile) -> bool:
    """Documents' chunks follow each other without a gap."""
    expected = 0
    for start in range(0, file.rows["documents"], BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, file.rows["documents"])
        first = file.read("documents", "first_chunk", start, stop)
        counts = file.read("documents", "chunk_count", start, stop).astype(np.int64)
        if np.any(counts < 0) or np.any(first != expected + np.cumsum(counts) - counts):
            return False
        expected += int(counts.sum())
    return expected == file.rows["chunks"]


def _state(file: ArchiveFile) -> dict[str, dict[str, Any]]:
    found = StateDigest()
    for table in (name for name in ("documents", "watermarks", "records") if name in file.tables):
        for start in range(0, file.rows[table], BLOCK_RECORDS):
            _add_state(found, file, table, start, min(start + BLOCK_RECORDS, file.rows[table]))
    return found.to_dict()


def _add_state(found: StateDigest, file: ArchiveFile, table: str, start: int, stop: int) -> None:
    keys = [text.encode("utf-8") for text in file.texts(table, "source", start, stop)]
    hashes = file.read(table, "content_hash", start, stop)
    seen = file.read(table, "seen", start, stop)
    kinds = file.texts(table, "kind", start, stop) if table == "records" else [table[:-1]] * len(keys)
    for kind in sorted(set(kinds)):
        own = [place for place, name in enumerate(kinds) if name == kind]
        chosen = [keys[place] for place in own]
        lengths = np.fromiter(map(len, chosen), np.int64, len(chosen))
        found.add(kind, b"".join(chosen), lengths, hashes[own].tobytes(), seen[own])
