"""What a writer names as that which it works from: chunks by their id, as a search showed them, or documents by source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from recant.corpus.collection import require_name
from recant.errors import InputWithdrawn, UsageError
from recant.store import Connection, Row, load

Citation: TypeAlias = int | str
"""A chunk's id, or a document's source."""
_SQL = load(__package__, "corpus.sql")
_LARGEST_ID = 2**63 - 1
"""Of Postgres' bigint."""


@dataclass(frozen=True, slots=True)
class Cited:
    """A version that was named."""

    version_id: int
    operation_id: int
    record_id: int
    collection: str


def find_cited(
    connection: Connection, collection: str, citations: Mapping[Citation, Sequence[str]], *, session: str | None = None,
    open_key: str | None = None,
) -> list[Cited]:  # fmt: skip
    """The versions that these citations name, each once.

    `citations` has for each source the names it may be stored under, the likeliest first (chunk ids have none). A source
    is one of `collection`, and stands for its head as the session sees it, the operation opened with `open_key` left
    out; a chunk may be of any collection, and of a version that was superseded since. Raises UsageError for what isn't
    there, InputWithdrawn for a chunk of what was taken back.
    """
    require_name(collection)
    chunks = [item for item in citations if isinstance(item, int)]
    sources = {item: names for item, names in citations.items() if isinstance(item, str)}
    rows = [*_chunks(connection, chunks, session), *_documents(connection, collection, sources, session, open_key)]
    found = {row["version_id"]: row for row in rows}
    names = Cited.__slots__
    return [Cited(**{name: row[name] for name in names}) for row in found.values()]


def _chunks(connection: Connection, chunks: Sequence[int], session: str | None) -> list[Row]:
    given = {"chunks": [chunk for chunk in chunks if 0 < chunk <= _LARGEST_ID]}
    rows = connection.execute(_SQL["cited_chunks"], given).fetchall() if chunks else []
    known = {row["cited"] for row in rows if not row["open"] or (session is not None and row["session"] == session)}
    for chunk in chunks:
        if chunk not in known:
            raise UsageError(f"based_on: there is no chunk {chunk}. A search names the chunks that it finds.")
    for row in rows:
        if not (row["seen"] or row["open"]):
            raise InputWithdrawn(
                f"Chunk {row['cited']} was written by operation {row['operation_id']}, which is no longer seen. "
                "Search again, and name what is there now.",
                input=row["operation_id"],
                chunk_id=row["cited"],
            )
    return rows


def _documents(
    connection: Connection, collection: str, sources: Mapping[str, Sequence[str]], session: str | None,
    open_key: str | None,
) -> list[Row]:  # fmt: skip
    wanted = [name for names in sources.values() for name in names]
    given = {"collection": collection, "session": session, "open_key": open_key, "sources": wanted}
    rows = connection.execute(_SQL["cited_documents"], given).fetchall() if wanted else []
    found = {row["cited"]: row for row in rows}
    cited = []
    for source, names in sources.items():
        stored = next((name for name in names if name in found), None)
        if stored is None:
            raise UsageError(f"based_on: no document {source!r} is seen in collection {collection!r}.")
        cited.append(found[stored])
    return cited
