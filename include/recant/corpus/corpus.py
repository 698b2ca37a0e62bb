"""Appending document versions under an open operation, and retiring what is gone. Nothing here updates or deletes a row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from recant.corpus.citation import Cited
from recant.corpus.collection import CollectionInfo, FurtherSpace, require_name
from recant.corpus.document import DocumentRow, Head, canonical_json
from recant.errors import ConfigurationError, EmbeddingGone, UnknownCollection, WriteConflict
from recant.store import Connection, Database, array_text, json_parameter, load

_SQL = load(__package__, "corpus.sql")


class Model(Protocol):
    """What a collection needs to know of its embedding model."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def dimensions(self) -> int: ...


@dataclass(frozen=True, slots=True)
class BatchTarget:
    """Where a worker appends: one attempt at one share of an open operation."""

    collection_id: int
    operation_id: int
    batch_id: int


class Corpus:
    """The documents of one database. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def ensure_collection(self, name: str, model: Model) -> CollectionInfo:
        """The collection, made when it isn't there. Raises ConfigurationError when it was filled with another model."""
        given = {
            "name": name,
            "model": model.name,
            "digest": model.digest,
            "dimensions": model.dimensions,
            "trusted": True,
        }
        require_name(name)
        with self.database.transaction() as connection:
            connection.execute(_SQL["ensure_collection"], given)
        found = self.collection(name)
        if found.model_digest != model.digest:
            raise ConfigurationError(
                f'Collection "{name}" holds vectors of {found.model}, not of {model.name} (digests {found.model_digest[:12]}, '
                f"{model.digest[:12]}): name its model in RECANT_MODEL or RECANT_MODELS, or ingest into another collection."
            )
        return found

    def collection(self, name: str) -> CollectionInfo:
        """Raises UnknownCollection, naming those there are."""
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["find_collections"], {"name": name}).fetchone()
        if row is None:
            known = ", ".join(c.name for c in self.collections()) or "none yet; the first ingest makes one"
            raise UnknownCollection(f'There is no collection "{name}". Collections: {known}.')
        return CollectionInfo(**row)

    def collections(self) -> list[CollectionInfo]:
        """All of them by name."""
        with self.database.transaction() as connection:
            return [CollectionInfo(**row) for row in connection.execute(_SQL["find_collections"], {"name": None})]

    def further_spaces(self, collection_id: int) -> list[FurtherSpace]:
        """Spaces besides the one in use in which what is written now has to be embedded, too."""
        with self.database.transaction() as connection:
            rows = connection.execute(_SQL["further_spaces"], {"collection_id": collection_id})
            return [FurtherSpace(**row) for row in rows]

    def hold_embeddings(self, connection: Connection, ids: Sequence[int]) -> None:
        """Keeps them until the transaction ends. Raises EmbeddingGone where some were reclaimed."""
        found = connection.execute(_SQL["hold_embeddings"], {"ids": list(ids)}).fetchall() if ids else []
        if len(found) < len(set(ids)):
            raise EmbeddingGone("An embedding was reclaimed while a chunk of its text was written: run it again.")

    def heads(self, collection_id: int, operation_id: int, sources: Sequence[str]) -> dict[str, Head]:
        """What the operation's writer sees of these documents: visible heads, its session's open ones on top.

        Raises WriteConflict where a later open operation of the same session holds the document.
        """
        given = {"collection_id": collection_id, "operation_id": operation_id, "sources": list(sources)}
        with self.database.transaction() as connection:
            rows = connection.execute(_SQL["heads_of_documents"], given).fetchall()
        heads = {row.pop("source"): Head(**row) for row in rows}
        for source, head in heads.items():
            if head.open and head.operation_id > operation_id:
                raise WriteConflict(
                    f"{source} is held by operation {head.operation_id}, opened later in the same session: publish or abort that first.",
                    record=source,
                    actual=head.operation_id,
                )
        return heads

    def append(self, connection: Connection, target: BatchTarget, documents: Sequence[DocumentRow]) -> set[str]:
        """Appends versions with their chunks; returns the sources left out because the operation has a version of them.

        If the operation is reverted, aborted or quarantined, documents and chunks are invisible as one. Raises
        OperationClosed, StaleBatch.
        """
        records = self._records(connection, target.collection_id, "document", [d.source for d in documents])
        origins = self._records(connection, target.collection_id, "watermark", {d.origin for d in documents})
        given = {
            "operation_id": target.operation_id,
            "batch_id": target.batch_id,
            "record_ids": [records[d.source] for d in documents],
            "over": [d.over_operation_id for d in documents],
            "content_hashes": [d.content_hash for d in documents],
        }
        versions = {row["record_id"]: row["version_id"] for row in connection.execute(_SQL["add_versions"], given)}
        added = [(versions[records[d.source]], d) for d in documents if records[d.source] in versions]
        self._copy_documents(connection, added, origins)
        self._copy_chunks(connection, added)
        return {d.source for d in documents if records[d.source] not in versions}

    def put_back(
        self, connection: Connection, collection_id: int, versions: Mapping[int, DocumentRow], numbers: Mapping[int, Sequence[int]]
    ) -> None:  # fmt: skip
        """The payloads of versions whose payload is gone, by version id, with the ids that their chunks had.

        Only between `begin_revival` and the end of its transaction.
        """
        origins = self._records(connection, collection_id, "watermark", {d.origin for d in versions.values()})
        self._copy_documents(connection, list(versions.items()), origins)
        self._copy_chunks(connection, list(versions.items()), numbers)

    def affirm(self, connection: Connection, target: BatchTarget, heads: Iterable[Head]) -> None:
        """Records that the operation left these documents alone because their content was there already."""
        self._depend(connection, target, "affirmed", heads)

    def cite(self, connection: Connection, target: BatchTarget, cited: Iterable[Cited]) -> None:
        """Records that the whole operation was made from these versions: publishing it needs them to be seen still."""
        self._depend(connection, target, "cited", cited)

    def _depend(
        self, connection: Connection, target: BatchTarget, relation: str, inputs: Iterable[Head | Cited]
    ) -> None:
        with connection.cursor().copy(_SQL["copy_dependencies"]) as copy:
            for made_from in inputs:
                row = (target.operation_id, target.batch_id, made_from.operation_id, made_from.version_id, relation)
                copy.write_row(row)

    def reject(self, connection: Connection, target: BatchTarget, rejected: Iterable[tuple[str, str, str]]) -> None:
        """Records (source, code, reason) of documents left out."""
        with connection.cursor().copy(_SQL["copy_rejections"]) as copy:
            for source, code, reason in rejected:
                copy.write_row((target.operation_id, target.batch_id, source, code, reason))

    def retire_missing(self, connection: Connection, target: BatchTarget, origins: Sequence[str]) -> int:
        """Tombstones for documents that these origins no longer hold; returns how many.

        If the operation is reverted, the documents are seen again. What the operation rejected stays.
        """
        given = {
            "collection_id": target.collection_id,
            "operation_id": target.operation_id,
            "batch_id": target.batch_id,
        }
        return len(connection.execute(_SQL["retire_missing"], given | {"origins": list(origins)}).fetchall())

    def mark_origins(self, connection: Connection, target: BatchTarget, origins: Sequence[str]) -> None:
        """A new watermark for each origin whose listing has changed: how many documents it holds, and a hash over them."""
        given = {"collection_id": target.collection_id, "operation_id": target.operation_id, "origins": list(origins)}
        records = self._records(connection, target.collection_id, "watermark", origins)
        listed = {r["origin"]: r for r in connection.execute(_SQL["listed_per_origin"], given)}
        heads = {r["key"]: r for r in connection.execute(_SQL["heads_of_watermarks"], given)}
        for origin in sorted(set(origins)):
            count = listed[origin]["document_count"] if origin in listed else 0
            listing = bytes(listed[origin]["listing_hash"]) if origin in listed else hashlib.sha256().digest()
            head = heads.get(origin)
            if head is None or head["listing_hash"] is None or bytes(head["listing_hash"]) != listing:
                self._add_watermark(
                    connection, target, records[origin], head["operation_id"] if head else None, count, listing
                )

    def _add_watermark(
        self, connection: Connection, target: BatchTarget, record_id: int, over: int | None, count: int, listing: bytes
    ) -> None:
        given = {
            "record_id": record_id,
            "operation_id": target.operation_id,
            "batch_id": target.batch_id,
            "over": over,
            "content_hash": hashlib.sha256(canonical_json([count, listing.hex()])).digest(),
        }
        row = connection.execute(_SQL["add_watermark"], given).fetchone()
        state = {"version_id": row and row["version_id"], "document_count": count, "listing_hash": listing}
        connection.execute(_SQL["add_watermark_state"], state)

    def _records(self, connection: Connection, collection_id: int, kind: str, keys: Iterable[str]) -> dict[str, int]:
        """Ids by key; those that aren't there yet are added."""
        wanted, found = set(keys), dict[str, int]()
        for statement in ("find_records", "add_records", "find_records"):  # the last for what another worker just added
            given = {"collection_id": collection_id, "kind": kind, "keys": sorted(wanted - found.keys())}
            found |= {row["key"]: row["id"] for row in connection.execute(_SQL[statement], given)}
            if len(found) == len(wanted):
                break
        return found

    def _copy_documents(
        self, connection: Connection, added: Sequence[tuple[int, DocumentRow]], origins: dict[str, int]
    ) -> None:
        with connection.cursor().copy(_SQL["copy_document_versions"]) as copy:
            for version_id, d in added:
                tokens = sum(c.token_count for c in d.chunks)
                row: tuple[Any, ...] = (version_id, origins[d.origin], d.title, d.format, d.source_hash, d.fingerprint)
                copy.write_row((*row, len(d.chunks), tokens, json_parameter(dict(d.attributes))))

    def _copy_chunks(
        self, connection: Connection, added: Sequence[tuple[int, DocumentRow]], numbers: Mapping[int, Sequence[int]] | None = None
    ) -> None:  # fmt: skip
        """Arrays and JSON as text made here: seven times faster than the driver's adaptation, value by value."""
        with connection.cursor().copy(_SQL["copy_chunks" if numbers is None else "copy_numbered_chunks"]) as copy:
            for version_id, document in added:
                for place, c in enumerate(document.chunks):
                    row = (
                        *(() if numbers is None else (numbers[version_id][place],)),
                        version_id,
                        c.embedding_id,
                        c.index,
                        c.token_count,
                        c.chunk_type,
                        array_text(c.parent_headers),
                    )
                    copy.write_row((*row, c.text, json.dumps(dict(c.attributes)) if c.attributes else "{}"))
