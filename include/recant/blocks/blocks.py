"""Adding, listing and lifting blocks; which documents of a group are blocked; what a rollback blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from recant.blocks.block import Block, stored_block
from recant.errors import UsageError
from recant.store import Connection, Database, load, numbers_text

_SQL = load(__package__, "blocks.sql")
_RECORD = re.compile(r"#\d+\Z")
MAX_SOURCE_BYTES = 2000
PREVIEWED_SOURCES = 20


class Blocks:
    """The blocks of one database. `agent` is who sets and lifts them where nobody else is named."""

    def __init__(self, database: Database, agent: str) -> None:
        self.database = database
        self.agent = agent

    def add(
        self,
        *,
        reason: str,
        source: str | None = None,
        source_hash: bytes | str | None = None,
        collection: str | None = None,
        agent: str | None = None,
    ) -> Block:
        """Blocks a source, content by its sha256 (bytes or hex), or, given both, that content under that source.

        What stands already stays. One like it that is in effect is given instead of a second. `collection` None: in every
        one. Raises UsageError, UnknownCollection.
        """
        digest = _digest(source_hash)
        if source is None and digest is None:
            raise UsageError("Say what to block: a source, content, or both (that content under that source).")
        if source is not None and not (source.strip() and len(source.encode()) <= MAX_SOURCE_BYTES):
            raise UsageError(
                f"A source has a name of up to {MAX_SOURCE_BYTES:,} bytes; this one can't be a document's."
            )
        given = {
            "collection": collection,
            "source_hash": digest,
            "source": source,
            "reason": _said(reason, "why it is blocked"),
            "agent": _said(agent or self.agent, "who blocks it"),
        }
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["add_block"], given).fetchone()
            assert row is not None, "add_block answers with one row"
            return _find(connection, ids=[row["id"]])[0]

    def lift(self, *block_ids: int, reason: str, agent: str | None = None) -> Sequence[Block]:
        """Lets in again what these blocks kept out; gives them as they are now. Lifting twice changes nothing.

        Raises UsageError when one of them isn't there.
        """
        given = {
            "ids": list(block_ids),
            "reason": _said(reason, "why it is lifted"),
            "agent": _said(agent or self.agent, "who lifts it"),
        }
        with self.database.transaction() as connection:
            found = {block.block_id for block in _find(connection, ids=list(block_ids))}
            if missing := sorted(set(block_ids) - found):
                raise UsageError(f"There is no block {missing[0]}: `recant block list --all` lists them.")
            connection.execute(_SQL["lift_blocks"], given)
            return _find(connection, ids=list(block_ids))

    def list(self, *, include_lifted: bool = False, rollback: int | None = None) -> Sequence[Block]:
        """Blocks in effect, oldest first; with `include_lifted` those too that no longer are. `rollback`: only its own."""
        with self.database.transaction() as connection:
            found = _find(connection, control_id=rollback)
        return [block for block in found if include_lifted or block.in_effect]

    def any_for(self, collection_id: int) -> bool:
        """Whether there is a block in effect for a collection at all."""
        with self.database.transaction() as connection:
            return connection.execute(_SQL["any_block"], {"collection_id": collection_id}).fetchone() is not None

    def matching(self, collection_id: int, documents: Sequence[tuple[str, bytes]]) -> dict[str, Block]:
        """Of documents (source, sha256 of the content), those that are blocked, by source, each with its first block.

        A block on a file of records is one on each record that has no name but its number (`FILE#12`).
        """
        given = {
            "collection_id": collection_id,
            "sources": [source for source, _ in documents],
            "files": [_RECORD.sub("", source) for source, _ in documents],
            "hashes": [digest for _, digest in documents],
        }
        with self.database.transaction() as connection:
            rows = connection.execute(_SQL["matching_blocks"], given).fetchall()
        return {row.pop("document"): stored_block(row) for row in rows}


def would_block(
    connection: Connection,
    operations: Sequence[int],
    records: Sequence[tuple[int, int]] = (),
    *,
    selected: Sequence[int],
) -> dict[str, Any]:
    """What withdrawing these operations, and these records (operation, record) of others, with a block would block.

    Only what the `selected` ones of them wrote: what was built on it goes with a cascade, and isn't blocked. Numbers of
    contents and of sources, and the first sources.
    """
    given = {
        "operations": numbers_text(operations),
        "record_operations": numbers_text(operation for operation, _ in records),
        "records": numbers_text(record for _, record in records),
        "selected": numbers_text(selected),
        "limit": PREVIEWED_SOURCES,
    }
    row = connection.execute(_SQL["would_block"], given).fetchone()
    assert row is not None, "an aggregate answers with one row"
    return dict(row)


def block_withdrawn(connection: Connection, control_id: int, selected: Sequence[int]) -> None:
    """Blocks what the rollback has withdrawn of the selected operations, in its transaction: every version's content, and
    the sources that nothing is seen of any more. In effect while the rollback is."""
    connection.execute(_SQL["block_withdrawn"], {"control_id": control_id, "selected": numbers_text(selected)})


def _find(
    connection: Connection, *, ids: Sequence[int] | None = None, control_id: int | None = None
) -> Sequence[Block]:
    given = {"ids": ids, "control_id": control_id}
    return [stored_block(row) for row in connection.execute(_SQL["find_blocks"], given)]


def _digest(given: bytes | str | None) -> bytes | None:
    if given is None or (isinstance(given, bytes) and len(given) == 32):
        return given
    if isinstance(given, str) and re.fullmatch(r"[0-9a-fA-F]{64}", given.strip()):
        return bytes.fromhex(given.strip())
    raise UsageError("A hash is a sha256: 64 hexadecimal digits, as `sha256sum FILE` prints them.")


def _said(text: str, what: str) -> str:
    if not text.strip():
        raise UsageError(f"Say {what}: whoever is stopped by it will ask.")
    return text
