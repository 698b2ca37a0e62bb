"""Parquet by pyarrow, a row group at a time: lists as lists, vectors as lists of a fixed length, times in UTC."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import numpy as np

from recant.errors import ConfigurationError
from recant.export.manifest import WrittenFile, sha256_of
from recant.export.tables import Column
from recant.store import Connection, tuple_rows

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 20_000
ROWS_PER_FETCH = 2_000
_VECTOR_HEADER_BYTES = 4


def write_parquet(
    connection: Connection, statement: LiteralString, given: dict[str, Any], columns: Sequence[Column], names: Iterator[Path],
    *, dimensions: Sequence[int], compression: str = "zstd", rows_per_file: int | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> list[WrittenFile]:  # fmt: skip
    """The rows of a statement; one file at least, with no rows where there are none. Raises ConfigurationError without pyarrow."""
    arrow = _pyarrow()
    schema = arrow.schema([(c.name, _type(arrow, c, dimensions)) for c in columns])
    written: list[WrittenFile] = []
    with tuple_rows(connection, "export", statement, given, ROWS_PER_FETCH) as rows:
        source = iter(rows)
        while True:
            place = next(names)
            count = _write_file(place, schema, source, compression, rows_per_file, progress)
            if written and not count:
                place.unlink()
                return written
            written.append(WrittenFile(place.name, count, place.stat().st_size, sha256_of(place)))
            if rows_per_file is None or count < rows_per_file:
                return written


def _write_file(
    place: Path, schema: pa.Schema, source: Iterator[tuple[Any, ...]], compression: str, limit: int | None,
    progress: Callable[[int], None],
) -> int:  # fmt: skip
    from pyarrow import parquet

    count = 0
    with closing(parquet.ParquetWriter(place, schema, compression=compression)) as writer:
        while rows := list(islice(source, ROWS_PER_GROUP if limit is None else min(ROWS_PER_GROUP, limit - count))):
            writer.write_table(_table(rows, schema))
            count += len(rows)
            progress(len(rows))
    with place.open("rb") as file:
        os.fsync(file.fileno())
    return count


def _table(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    arrow = _pyarrow()
    arrays = [_array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
    return arrow.Table.from_arrays(arrays, schema=schema)


def _array(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    arrow = _pyarrow()
    if not (arrow.types.is_fixed_size_list(kind) or (arrow.types.is_list(kind) and kind.value_type == arrow.float32())):
        return arrow.array(values, kind)
    if arrow.types.is_fixed_size_list(kind) and None not in values:
        return arrow.FixedSizeListArray.from_arrays(_numbers(values), type=kind)
    return arrow.array([None if value is None else _numbers((value,)) for value in values], kind)


def _numbers(values: Sequence[bytes]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """pgvector's halfvec_send: dimensions and an unused word, 16 bits each, then half-precision floats, big-endian."""
    parts = [np.frombuffer(value, ">f2", offset=_VECTOR_HEADER_BYTES) for value in values]
    return np.concatenate(parts).astype(np.float32)


def _type(arrow: Any, column: Column, dimensions: Sequence[int]) -> pa.DataType:
    if column.type == "vector":
        return arrow.list_(arrow.float32(), dimensions[0]) if len(dimensions) == 1 else arrow.list_(arrow.float32())
    return {
        "integer": arrow.int64(),
        "number": arrow.float32(),
        "boolean": arrow.bool_(),
        "text": arrow.string(),
        "json": arrow.string(),
        "time": arrow.timestamp("us", tz="UTC"),
        "texts": arrow.list_(arrow.string()),
    }[column.type]


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise ConfigurationError("Parquet needs pyarrow: install recant[analytics].") from error
    return pyarrow
