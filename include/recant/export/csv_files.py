"""CSV by RFC 4180 from COPY: the server writes the rows, here they are only counted, ended with CR LF and cut into files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, LiteralString

from recant.export.files import BackgroundFile
from recant.export.manifest import WrittenFile
from recant.export.tables import Column
from recant.store import Connection

BLOCK_BYTES = 1 << 20
Names = Iterator[Path]


def write_csv(
    connection: Connection, statement: LiteralString, given: dict[str, Any], columns: Sequence[Column], names: Names,
    *, compression: str = "none", null_text: str = "", rows_per_file: int | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> list[WrittenFile]:  # fmt: skip
    """The rows of a statement, a header in each file; one file at least. `progress` is told of rows as they are written."""
    header = ",".join(column.name for column in columns).encode() + b"\r\n"
    copy: LiteralString = "COPY ({}) TO STDOUT (FORMAT csv, NULL %(null_text)s)"
    written: list[WrittenFile] = []
    with connection.cursor().copy(copy.replace("{}", statement), given | {"null_text": null_text}) as rows:
        source = iter(rows)
        while True:
            file, count = BackgroundFile(next(names), compression), 0
            try:
                file.write(header)
                for number, block in _blocks(source, rows_per_file):
                    file.write(block)
                    count += number
                    progress(number)
            finally:
                file.close()
            if written and not count:
                file.file.path.unlink()
                return written
            written.append(WrittenFile(file.file.path.name, count, file.file.size_bytes, file.file.sha256))
            if rows_per_file is None or count < rows_per_file:
                return written


def _blocks(rows: Iterator[Any], limit: int | None) -> Iterator[tuple[int, bytes]]:
    """Numbers of rows and their bytes, about a megabyte each; `limit` rows at most. A row comes with its LF."""
    block: list[Any] = []
    size, left = 0, limit
    for row in rows:
        block.append(row[:-1])
        size += len(row)
        if left is not None:
            left -= 1
        if size >= BLOCK_BYTES or left == 0:
            yield len(block), _ended(block)
            block, size = [], 0
            if left == 0:
                return
    if block:
        yield len(block), _ended(block)


def _ended(rows: list[Any]) -> bytes:
    rows.append(b"")
    return b"\r\n".join(rows)
