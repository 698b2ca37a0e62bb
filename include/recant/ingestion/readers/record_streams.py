"""JSONL and CSV as streams of numbered records: memory holds one record, whatever the file's size.

What a record means as a document is `records`' business.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import BinaryIO, TypeAlias

from recant.ingestion.document import LeftOut
from recant.ingestion.readers.encoding import binary, decode, marked_encoding
from recant.ingestion.readers.files import too_large

Numbered: TypeAlias = "tuple[int, object | LeftOut]"
"""A record, or why it can't be had, with its line (JSONL) or row (CSV; the header is row 1, as spreadsheets count)."""

_DELIMITERS = ",;\t|"
_UNDECODED = re.compile("[\udc80-\udcff]")


def json_lines(stream: BinaryIO, max_bytes: int) -> Iterator[Numbered]:
    """The values of a JSONL stream, each at most `max_bytes` long; blank lines are passed over."""
    for number, line in _lines(stream, max_bytes):
        if isinstance(line, LeftOut):
            yield number, line
        elif line.strip():
            yield number, _value_of(line)


def csv_rows(stream: BinaryIO, max_bytes: int) -> Iterator[Numbered]:
    """The rows of a CSV stream as dicts by column name, each at most `max_bytes` long; blank rows are passed over.

    Delimiter: whichever of `, ; tab |` the header has most of.
    """
    header: list[str] | None = None
    for number, row in enumerate(_split_rows(stream, max_bytes), start=1):
        if isinstance(row, LeftOut):
            yield number, row
        elif header is None:
            header = [name.strip() or f"column_{place}" for place, name in enumerate(row, start=1)]
        elif any(field.strip() for field in row):
            yield number, _by_name(header, row)


def parse_json(text: str) -> object:
    """A JSON value; NaN and infinities, which JSON doesn't have, become None. Raises LeftOut `broken_json`."""
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise LeftOut("broken_json", f"it is not valid JSON ({error.msg}, {where}): correct it") from error
    except (ValueError, RecursionError) as error:
        raise LeftOut("broken_json", f"it can't be read as JSON ({error}): correct it") from error


def _value_of(line: str) -> object | LeftOut:
    try:
        return parse_json(_repaired(line))
    except LeftOut as left_out:
        return left_out


def _by_name(header: list[str], row: list[str]) -> object | LeftOut:
    if len(row) > len(header):
        counts = f"it has {len(row)} fields, the header {len(header)}"
        return LeftOut("broken_csv", f"{counts}: put fields that contain the separator in quotes")
    return dict(zip(header, row, strict=False))


def _split_rows(stream: BinaryIO, max_bytes: int) -> Iterator[list[str] | LeftOut]:
    # The limit belongs to the whole process; it is only ever raised, and rows are bounded by _RowLines here.
    csv.field_size_limit(max(csv.field_size_limit(), max_bytes))
    lines = _RowLines(_lines(stream, max_bytes), max_bytes)
    header = lines.peek()
    delimiter = max(_DELIMITERS, key=lambda sign: (header.count(sign), -_DELIMITERS.index(sign)))
    rows = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            yield next(rows)
        except StopIteration:
            return
        except LeftOut as left_out:
            yield left_out
        except csv.Error as error:
            yield LeftOut("broken_csv", f"it is not valid CSV ({error}): correct it")
        lines.begin_row()


class _RowLines(Iterator[str]):
    """Feeds the csv module. A row's lines may have `max_bytes` in all, so that an open quote can't eat the file."""

    def __init__(self, lines: Iterator[tuple[int, str | LeftOut]], max_bytes: int) -> None:
        self._lines, self._max_bytes = lines, max_bytes
        self._size_bytes = 0
        self._peeked: tuple[int, str | LeftOut] | None = None

    def __next__(self) -> str:
        _, line = self._peeked or next(self._lines)
        self._peeked = None
        if isinstance(line, LeftOut):
            raise line
        self._size_bytes += len(line)
        if self._size_bytes > self._max_bytes:
            raise too_large(self._size_bytes, self._max_bytes, at_least=True)
        if "\0" in line:
            raise binary()
        return _repaired(line)

    def peek(self) -> str:
        """The next line, without taking it; empty when there is none."""
        self._peeked = next(self._lines, None)
        line = self._peeked[1] if self._peeked else ""
        return line if isinstance(line, str) else ""

    def begin_row(self) -> None:
        """Count the next row from nothing."""
        self._size_bytes = 0


def _lines(stream: BinaryIO, max_bytes: int) -> Iterator[tuple[int, str | LeftOut]]:
    """Lines with their numbers, bytes that aren't UTF-8 escaped; of a line that is too long only its size is learnt."""
    text = _text_stream(stream)
    number = 0
    while True:
        number += 1
        try:
            line = text.readline(max_bytes + 1)
            if not line:
                return
            yield number, line if len(line) <= max_bytes else _skipped(text, line, max_bytes)
        except UnicodeError as error:
            yield number, LeftOut("encoding", f"it and all after it can't be decoded ({error}): save it as UTF-8")
            return


def _text_stream(stream: BinaryIO) -> io.TextIOWrapper:
    start = stream.read(8192)
    stream.seek(0)
    marked = marked_encoding(start)
    if marked is None and b"\0" in start:
        raise binary()
    return io.TextIOWrapper(stream, marked or "utf-8", errors="surrogateescape", newline="")


def _skipped(text: io.TextIOWrapper, line: str, max_bytes: int) -> LeftOut:
    length = 0
    while line:
        length += len(line)
        if line[-1] in "\r\n":
            break
        line = text.readline(max_bytes + 1)
    return too_large(length, max_bytes, at_least=True)


def _repaired(line: str) -> str:
    """A line whose bytes aren't UTF-8, in the encoding that they seem to be in. Raises LeftOut `encoding`."""
    if not _UNDECODED.search(line):
        return line
    return decode(line.encode(errors="surrogateescape"))[0]
