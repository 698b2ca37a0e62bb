"""Opens an archive that may come from anywhere: nothing is followed out of the file, and nothing is believed unmeasured.

The layout is held against `layout` before anything is read. Columns are read in blocks; what a file says of its sizes
never decides how much memory is taken.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recant.archive.layout import FORMAT, READ_VERSIONS, TABLES, datasets, element_type, row_shape, tables_of
from recant.archive.scope import Scope
from recant.errors import ArchiveDamaged, RecantError

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray

BLOCK_BYTES = 4 * 1024 * 1024
"""Read of a dataset at once."""
LARGEST_CHUNK_BYTES = 1024 * 1024
"""Of an HDF5 chunk, stored and unpacked: it is held whole, and HDF5 unpacks whatever it turns out to be."""
LARGEST_TEXT_BYTES = 256 * 1024 * 1024
"""Of the texts read at once: of one document, say."""
LARGEST_RATIO = 1100
"""Deflate can't make less of anything; what claims to is made up."""
LARGEST_DIMENSIONS = 4000
LARGEST_GAP = 16
"""Rows that are read without being asked for, rather than reading twice."""
LARGEST_ROWS = 200_000_000
"""Of a table; a query holds a byte for each."""
_ATTRIBUTES = {
    "format": str, "format_version": int, "created_at": str, "collection": str, "position": int, "scope": str, "model": str,
    "model_digest": str, "dimensions": int, "trusted": int, "rows": str, "state": str, "left_out": str, "compression": str,
}  # fmt: skip
_PARSED = ("scope", "rows", "state", "left_out")
"""Attributes that are JSON objects."""
_FILTERS = frozenset({"shuffle", "gzip", "lzf", "fletcher32"})


@contextmanager
def open_archive(path: Path) -> Iterator[ArchiveFile]:
    """The archive at a path, closed at the end. Raises ArchiveDamaged for whatever is no whole archive."""
    import h5py

    if not path.is_file():
        raise ArchiveDamaged(f"There is no file {path}.")
    with damage_named(path):
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise ArchiveDamaged(f"{path} is no HDF5 file, or is cut short ({_first(error)}).") from error
        with file:
            yield ArchiveFile(path, file)


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """What HDF5 and its filters say of a damaged file, as ArchiveDamaged."""
    try:
        yield
    except RecantError:
        raise
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError, ValueError, TypeError, OverflowError) as error:
        raise ArchiveDamaged(
            f"{path} is damaged ({_first(error)}): `recant archive verify` says where.", path=str(path)
        ) from error


def _first(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


class ArchiveFile:
    """An open archive whose layout has been checked; its contents are as good as `verification` finds them."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._file = file
        self.attributes = self._read_attributes()
        self._parsed = {name: self._json(name) for name in _PARSED}
        self.rows: dict[str, int] = self._parsed["rows"]
        self.scope = self._read_scope()
        version = int(self.attributes["format_version"])
        self.tables = tables_of(version)
        self._datasets = {(table, name): self._checked(table, name, kind) for table, name, kind in datasets(version)}

    @property
    def seal(self) -> str:
        """What the checksum of the whole should be, as hex."""
        return str(self._attribute("sha256", str))

    @property
    def collection(self) -> str:
        """The collection that it was made of."""
        return str(self.attributes["collection"])

    @property
    def dimensions(self) -> int:
        """Of its vectors."""
        return int(self.attributes["dimensions"])

    @property
    def state(self) -> dict[str, dict[str, Any]]:
        """By kind of record, what was seen at its position: records, and their digest."""
        return self._parsed["state"]

    def summary(self) -> dict[str, Any]:
        """What the file says of itself, JSON-ready."""
        said = self.attributes | self._parsed | {"trusted": bool(self.attributes["trusted"])}
        return {"path": str(self.path), "size_bytes": self.path.stat().st_size, **said}

    def names(self) -> list[tuple[str, str]]:
        """(table, dataset) of all there are."""
        return list(self._datasets)

    def length(self, table: str, name: str) -> int:
        """Rows of a dataset."""
        return int(self._datasets[table, name].shape[0])

    def sha256_of(self, table: str, name: str) -> str:
        """What the dataset's checksum should be, as hex."""
        return _text(self._datasets[table, name].attrs.get("sha256", ""))

    def read(self, table: str, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows of one dataset, from start to before stop."""
        dataset = self._datasets[table, name]
        if not 0 <= start <= stop <= dataset.shape[0]:
            raise ArchiveDamaged(f"{self.path}: {table}/{name} has no rows {start} to {stop}.")
        return np.asarray(dataset[start:stop])

    def gather(self, table: str, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Single rows of one dataset, given in rising order; near ones are read at once."""
        if not len(rows):
            return self.read(table, name, 0, 0)
        runs = np.split(rows, np.flatnonzero(np.diff(rows) > LARGEST_GAP) + 1)
        found = [self.read(table, name, int(run[0]), int(run[-1]) + 1)[run - run[0]] for run in runs]
        return np.concatenate(found)

    def blocks(self, table: str, name: str) -> Iterator[tuple[int, NDArray[Any]]]:
        """All of a dataset in blocks, each with the row it begins at."""
        dataset = self._datasets[table, name]
        rows = rows_a_block(dataset)
        for start in range(0, dataset.shape[0], rows):
            yield start, np.asarray(dataset[start : start + rows])

    def texts(self, table: str, name: str, start: int, stop: int) -> list[str]:
        """The texts of some rows."""
        places = self.read(table, f"{name}_offsets", start, stop + 1)
        if np.any(np.diff(places) < 0) or (len(places) and places[0] < 0):
            raise ArchiveDamaged(f"{self.path}: {table}/{name}_offsets goes backwards.")
        first, last = int(places[0]), int(places[-1])
        if last - first > LARGEST_TEXT_BYTES:
            raise ArchiveDamaged(
                f"{self.path}: {table}/{name} has texts of {last - first:,} bytes in {stop - start} rows."
            )
        data = self.read(table, name, first, last).tobytes()
        cut = (places - first).tolist()
        return [data[a:b].decode("utf-8") for a, b in pairwise(cut)]

    def rows_of(self, table: str, start: int, stop: int) -> list[dict[str, Any]]:
        """Some rows of a table as dictionaries: numbers, texts, and hashes as bytes."""
        columns: dict[str, Sequence[Any]] = {}
        for name, kind in TABLES[table].items():
            if kind == "text":
                columns[name] = self.texts(table, name, start, stop)
            elif kind == "hash":
                columns[name] = [row.tobytes() for row in self.read(table, name, start, stop)]
            else:
                columns[name] = self.read(table, name, start, stop).tolist()
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def parsed(self, text: str, what: str, kind: type = dict) -> Any:
        """JSON that the file holds. Raises ArchiveDamaged for what is none, or of another type."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ArchiveDamaged(f"{self.path}: {what} is no JSON.") from error
        if not isinstance(found, kind):
            raise ArchiveDamaged(f"{self.path}: {what} should be a JSON {kind.__name__}.")
        return found

    def _json(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.parsed(self.attributes[name], f"the attribute `{name}`")
        return found

    def _read_scope(self) -> Scope:
        try:
            return Scope.from_dict(self._parsed["scope"])
        except (RecantError, TypeError) as error:
            raise ArchiveDamaged(f"{self.path}: the attribute `scope` can't be understood.") from error

    def _read_attributes(self) -> dict[str, Any]:
        found = {name: self._attribute(name, kind) for name, kind in _ATTRIBUTES.items()}
        if found["format"] != FORMAT:
            raise ArchiveDamaged(f"{self.path} is an HDF5 file, and no archive of Recant.")
        if found["format_version"] not in READ_VERSIONS:
            raise ArchiveDamaged(
                f"{self.path} is an archive of version {found['format_version']}; this Recant reads versions up to "
                f"{READ_VERSIONS[-1]}."
            )
        missing = sorted(name for name, value in found.items() if value is None)
        if missing:
            raise ArchiveDamaged(f"{self.path} lacks the attributes {', '.join(missing)}.")
        if not 1 <= found["dimensions"] <= LARGEST_DIMENSIONS:
            raise ArchiveDamaged(f"{self.path}: vectors of {found['dimensions']} dimensions can't be.")
        return found

    def _attribute(self, name: str, kind: type) -> Any:
        """One of the root's; None where there is none of that type, or not a single value."""
        attributes = self._file.attrs
        if name not in attributes or attributes.get_id(name).shape != ():
            return None
        return _plain(attributes[name], kind)

    def _checked(self, table: str, name: str, kind: str) -> h5py.Dataset:
        """A dataset that is what it should be. Links out of the file, and sizes that can't be, are refused."""
        where = f"{self.path}: {table}/{name}"
        dataset = _own(self._file, table, name)
        if dataset is None or dataset.is_virtual or dataset.external:
            raise ArchiveDamaged(f"{where} is missing, or isn't held in the file.")
        if dataset.dtype != np.dtype(element_type(kind)) or dataset.ndim != 1 + len(row_shape(kind, self.dimensions)):
            raise ArchiveDamaged(f"{where} is of {dataset.dtype} in {dataset.ndim} dimensions, which it can't be.")
        if dataset.shape[1:] != row_shape(kind, self.dimensions):
            raise ArchiveDamaged(f"{where} has rows of the shape {dataset.shape[1:]}.")
        expected = self._expected_rows(table, name)
        if expected is not None and dataset.shape[0] != expected:
            raise ArchiveDamaged(f"{where} has {dataset.shape[0]:,} rows, not {expected:,}.")
        self._check_sizes(dataset, where)
        return dataset

    def _expected_rows(self, table: str, name: str) -> int | None:
        """None: the bytes of texts, which have as many as their offsets say."""
        rows = self.rows.get(table)
        if type(rows) is not int or not 0 <= rows <= LARGEST_ROWS:
            raise ArchiveDamaged(f"{self.path}: the attribute `rows` doesn't say how many {table} there are.")
        if TABLES[table].get(name) == "text":
            return None
        return rows + 1 if name.endswith("_offsets") and name not in TABLES[table] else rows

    def _check_sizes(self, dataset: h5py.Dataset, where: str) -> None:
        size = dataset.dtype.itemsize
        filters = set(dataset._filters)
        if not filters <= _FILTERS:
            raise ArchiveDamaged(f"{where} is packed in a way that Recant doesn't read ({', '.join(sorted(filters))}).")
        if dataset.chunks:
            _require_small(math.prod(dataset.chunks) * size, where)
            dataset.id.chunk_iter(lambda chunk: _require_small(chunk.size, where))
        stored = dataset.id.get_storage_size()
        if math.prod(dataset.shape) * size > (stored + 1) * LARGEST_RATIO:
            raise ArchiveDamaged(f"{where} claims {math.prod(dataset.shape) * size:,} bytes, and {stored:,} are there.")


def _require_small(chunk_bytes: int, where: str) -> None:
    if chunk_bytes > LARGEST_CHUNK_BYTES:
        raise ArchiveDamaged(
            f"{where} has a chunk of {chunk_bytes:,} bytes; an archive's have {LARGEST_CHUNK_BYTES:,} at most."
        )


def rows_a_block(dataset: h5py.Dataset) -> int:
    """Rows that are read at once: about BLOCK_BYTES, whole chunks of them."""
    row = dataset.dtype.itemsize * math.prod(dataset.shape[1:])
    rows = max(1, BLOCK_BYTES // row)
    chunk = int(dataset.chunks[0]) if dataset.chunks else 1
    return int(max(1, rows // chunk) * chunk)


def _own(file: h5py.File, table: str, name: str) -> h5py.Dataset | None:
    """The dataset where the file itself has it: soft and external links are not followed."""
    import h5py

    if not isinstance(file.get(table, getlink=True), h5py.HardLink):
        return None
    group = file[table]
    if not isinstance(group, h5py.Group) or not isinstance(group.get(name, getlink=True), h5py.HardLink):
        return None
    found = group[name]
    return found if isinstance(found, h5py.Dataset) else None


def _plain(value: Any, kind: type) -> Any:
    """An attribute as a Python value; None for one that isn't there, or is of another type."""
    if kind is str:
        return _text(value) if isinstance(value, str | bytes) else None
    return int(value) if isinstance(value, int | np.integer) else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
