"""The table that the gate looks at: one row a chunk of an open operation, measured by the database.

Texts and vectors stay there: lengths, shares, norms and hashes are enough, and can't leak a text into a result. Columns that
no row tells by itself come from `recant.quality.findings`.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recant.json_types import JSON
from recant.store import Connection, Database, Row, load

if TYPE_CHECKING:
    import pandas

DOCUMENTS_A_PAGE = 5_000
REPLACEMENT_CHARACTER = "\N{REPLACEMENT CHARACTER}"
WHITE_SPACE = (
    string.whitespace
    + "\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\u200b\u2060\ufeff"
    + "".join(map(chr, range(0x2000, 0x200B)))
)
ASCII_PUNCTUATION = r"[!-/:-@\[-`{-~]"
CONTROL_CHARACTERS = "[\\u0001-\\u0008\\u000E-\\u001F\\u007F-\\u0084\\u0086-\\u009F]"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the frame. `field`: the column of the collection, as lineage shows it, that it measures."""

    dtype: str
    field: str
    meaning: str


COLUMNS = {
    "version_id": Column("int64", "source", "the document's version under the operation"),
    "source": Column("object", "source", "the document's steady name"),
    "title": Column("object", "title", "the document's title"),
    "chunks_declared": Column("int64", "index", "how many chunks the document says it has"),
    "chunks_stored": Column("int64", "index", "how many chunks it has"),
    "chunk_id": Column("float64", "index", "the chunk's id; null: the document has no chunk"),
    "chunk_type": Column("object", "chunk_type", "text, code, table, list or record"),
    "chunk_index": Column("float64", "index", "place in the document, from 0; null: the document has no chunk"),
    "characters": Column("float64", "text", "characters of the text"),
    "visible_characters": Column("float64", "text", "characters without white space at both ends; 0: nothing visible"),
    "token_count": Column("float64", "token_count", "tokens of the embedded text under the embedding model"),
    "replacement_share": Column("float64", "text", "share of U+FFFD among the characters, 0 to 1"),
    "control_share": Column("float64", "text", "share of control characters, 0 to 1; tab and line ends are none"),
    "symbol_share": Column("float64", "text", "share of ASCII punctuation among visible_characters, 0 to 1"),
    "text_hash": Column("object", "text", "64-bit hash of the text"),
    "vector_norm": Column("float64", "vector", "Euclidean norm"),
    "vector_dimensions": Column("float64", "vector", "length of the vector"),
    "space_dimensions": Column("float64", "vector", "length of the vectors of the collection's space"),
    "vector_space": Column("float64", "vector", "the embedding space that the vector is in"),
    "collection_space": Column("float64", "vector", "the embedding space of the collection"),
    "mojibake_share": Column("float64", "text", "share of characters that go when a wrong decoding is mended, 0 to 1"),
    "language": Column("object", "text", "ISO 639-1 code; null: too short, no prose, or not sure"),
    "in_language": Column(
        "float64", "text", "1: the language is one of the collection's, 0: it isn't, null: can't be told"
    ),
    "duplicate_of": Column("float64", "text", "the first chunk with the same text, if that is an earlier one"),
    "near_duplicate_of": Column("float64", "text", "an earlier chunk with nearly the same text"),
}
SUMMARY_COLUMNS = {
    "documents_before": Column("float64", "source", "documents that were there before; at the gate, of a sample"),
    "documents_new": Column("float64", "source", "documents that are new"),
    "drift_distance": Column("float64", "vector", "maximum mean discrepancy between new vectors and those before"),
    "drift_p_value": Column("float64", "vector", "how often chance alone makes it as large; null: too few documents"),
    "rejected": Column("float64", "source", "documents that ingests left out lately; at the gate, this one"),
    "reject_rate": Column("float64", "source", "their share of those looked at, 0 to 1; null: none was looked at"),
    "reject_rate_before": Column("float64", "source", "the same of eight times as long before; null at the gate"),
}
"""The columns of the other table that a suite can ask: one row about all that is checked."""


@dataclass(frozen=True, slots=True)
class Page:
    """Whole documents, with some `batch_rows` chunks between them."""

    sources: dict[int, str]
    """The documents' names by version."""
    rows: list[Row]

    def frame(self) -> pandas.DataFrame:
        """The rows as a data frame with the columns of COLUMNS."""
        return make_frame(self.rows)


def make_frame(rows: Sequence[Row]) -> pandas.DataFrame:
    """A data frame with the columns of COLUMNS; numbers stay numbers also where every value is null."""
    import pandas

    frame = pandas.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({name: column.dtype for name, column in COLUMNS.items()})


def make_summary(row: Mapping[str, JSON]) -> pandas.DataFrame:
    """A data frame of one row with the columns of SUMMARY_COLUMNS."""
    import pandas

    frame = pandas.DataFrame([row], columns=list(SUMMARY_COLUMNS))
    return frame.astype({name: column.dtype for name, column in SUMMARY_COLUMNS.items()})


def documents(database: Database, operation_id: int, batch_rows: int) -> Iterator[dict[int, str]]:
    """Versions and sources of what the operation has written, in shares of about `batch_rows` chunks."""
    given = {"operation_id": operation_id, "after": 0, "at_most": DOCUMENTS_A_PAGE, "batch_rows": batch_rows}
    while True:
        with database.snapshot() as connection:
            found = connection.execute(load(__package__, "quality.sql")["next_documents"], given).fetchall()
        if not found:
            return
        yield {document["version_id"]: document["source"] for document in found}
        given["after"] = found[-1]["record_id"]


def pages(database: Database, operation_id: int, batch_rows: int) -> Iterator[Page]:
    """What the operation has written, in pages of about `batch_rows` rows; documents are never torn."""
    for sources in documents(database, operation_id, batch_rows):
        with database.snapshot() as connection:
            rows = measure(connection, list(sources))
        yield Page(sources, rows)


def measure(connection: Connection, versions: Sequence[int]) -> list[Row]:
    """The frame's rows of these document versions."""
    wanted = {
        "versions": list(versions),
        "white_space": WHITE_SPACE,
        "replacement": REPLACEMENT_CHARACTER,
        "control": CONTROL_CHARACTERS,
        "symbols": ASCII_PUNCTUATION,
    }
    return connection.execute(load(__package__, "quality.sql")["measure_chunks"], wanted).fetchall()
