"""The hashes by which an ingest would know what a file holds. Stores nothing."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from recant.errors import BadSource
from recant.ingestion.document import LeftOut, RawDocument
from recant.ingestion.readers import open_documents
from recant.ingestion.readers.files import open_file, read_whole
from recant.ingestion.readers.formats import format_of_name
from recant.ingestion.source import SourceItem

OF_RECORDS = ("json", "jsonl", "csv")


def content_hashes(path: Path, *, max_bytes: int) -> list[bytes]:
    """sha256 of the file's bytes; of a file of records, of each record. Each once, in order.

    Raises BadSource when there is no such file, or nothing in it.
    """
    name = str(path.expanduser().absolute())
    kind = format_of_name(name)
    if kind in OF_RECORDS:
        opened = open_documents(SourceItem(name, name, name, kind, None), max_bytes=max_bytes)
        found = dict.fromkeys(entry.content_hash for entry in opened if isinstance(entry, RawDocument))
        if not found:
            raise BadSource(f"{path}: no record could be read from it.")
        return list(found)
    try:
        with open_file(name) as file:
            return [sha256(read_whole(file, max_bytes)).digest()]
    except LeftOut as left_out:
        raise BadSource(f"{path}: {left_out.reason}.") from left_out
