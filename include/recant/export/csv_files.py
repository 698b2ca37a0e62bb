"""CSV by RFC 4180 from COPY: the server writes the rows, here they are only counted, ended with CR LF and cut into files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, LiteralString

from recant.export.files import BackgroundFile
from recant.export.manifest import WrittenFile
from recant.export.tables import Column
from recant.store import Connection

BLOCK_BYTES = 1 << 20
FIRST_ROWS = 64
MOST_ROWS = 4_096
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
    """Numbers of rows and their bytes, about a megabyte each; `limit` rows at most. A row comes with its LF.

    How many rows make a block is told by the block before: asking each row would cost as much as reading it.
    """
    left, wanted = limit, FIRST_ROWS
    while left is None or left > 0:
        block = [row[:-1] for row in islice(rows, wanted if left is None else min(wanted, left))]
        if not block:
            return
        number = len(block)
        block.append(b"")
        data = b"\r\n".join(block)
        yield number, data
        wanted = min(max(BLOCK_BYTES * number // len(data), 1), 2 * wanted, MOST_ROWS)
        left = None if left is None else left - number
