"""The table that the gate looks at: one row a chunk of an open operation, measured by the database.

Texts and vectors stay there: lengths, shares, norms and hashes are enough, and can't leak a text into a result.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
}


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


def pages(database: Database, operation_id: int, batch_rows: int) -> Iterator[Page]:
    """What the operation has written, in pages of about `batch_rows` rows; documents are never torn."""
    queries = load(__package__, "quality.sql")
    after = 0
    while True:
        with database.snapshot() as connection:
            given = {
                "operation_id": operation_id,
                "after": after,
                "at_most": DOCUMENTS_A_PAGE,
                "batch_rows": batch_rows,
            }
            documents = connection.execute(queries["next_documents"], given).fetchall()
            if not documents:
                return
            rows = measure(connection, [document["version_id"] for document in documents])
        yield Page({document["version_id"]: document["source"] for document in documents}, rows)
        after = documents[-1]["record_id"]


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
