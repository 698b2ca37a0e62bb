"""Two positions of a collection, compared in the database by heads, and document by document as text."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from recant.comparison.passages import Passage, document_lines
from recant.corpus import CollectionInfo, Corpus
from recant.errors import UnknownOperation, UsageError
from recant.oplog import OperationLog
from recant.oplog.positions import require_answerable
from recant.store import Connection, Database, Row, load

Change = Literal["added", "removed", "changed"]
CONTEXT_LINES = 3
NOTHING = "/dev/null"
"""As `diff` names the side where a document is missing."""
MOST_NAMED_RECORDS = 10_000
"""Above so many that may differ, heads are found by reading the whole collection once, not record by record."""
_FETCHED_AT_ONCE = 200
_SQL = load(__package__, "comparison.sql")
_HEADS = {f"head_{when}": _SQL["head_at"].format(position=f"%({when})s") for when in ("before", "after")}
_OF_SOME = _SQL["differing_heads_of"].format(**_HEADS)


@dataclass(frozen=True, slots=True)
class DocumentDiff:
    """One document that differs."""

    source: str
    change: Change
    before_operation: int | None
    """Whose version was the head before; None where the document wasn't there."""
    after_operation: int | None
    described: dict[str, tuple[Any, Any]]
    """Title, format and attributes that differ: before and after."""
    lines: tuple[str, ...]
    """A unified diff of the text; empty where only the description differs."""

    @property
    def added_lines(self) -> int:
        """Lines that begin with +, without the header."""
        return sum(line.startswith("+") for line in self.lines[2:])

    @property
    def removed_lines(self) -> int:
        """Lines that begin with -, without the header."""
        return sum(line.startswith("-") for line in self.lines[2:])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; the diff as one text."""
        return {
            "source": self.source,
            "change": self.change,
            "before_operation": self.before_operation,
            "after_operation": self.after_operation,
            "added_lines": self.added_lines,
            "removed_lines": self.removed_lines,
            "described": {name: {"before": b, "after": a} for name, (b, a) in self.described.items()},
            "diff": "".join(f"{line}\n" for line in self.lines),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """A collection at `after` beside the same at `before`; nothing is read until it is asked for.

    Asking raises PastHorizon where what was seen at one of them has been reclaimed.
    """

    database: Database
    collection: CollectionInfo
    before: int
    """A position. It may be the later one: then the diff is the way back."""
    after: int
    source: str | None = None
    """Only this document."""
    operation_id: int | None = None
    """The operation whose change this is."""

    def counts(self) -> dict[str, dict[str, int]]:
        """By kind of record, those that differ: how many were added, removed, changed."""
        found: dict[str, dict[str, int]] = {}
        with self.database.snapshot() as connection:
            for row in self._differing(connection):
                by_change = found.setdefault(row["kind"], {"added": 0, "removed": 0, "changed": 0})
                by_change[_change(row)] += 1
        return dict(sorted(found.items()))

    def documents(self) -> Iterator[DocumentDiff]:
        """The documents that differ, by source, one at a time: never more than one document's text is in memory."""
        with self.database.snapshot() as connection:
            for row in self._differing(connection, "document"):
                yield _document(connection, row)

    def to_dict(self) -> dict[str, Any]:
        """What is compared, and the counts; JSON-ready."""
        return {
            "collection": self.collection.name,
            "before": self.before,
            "after": self.after,
            "operation_id": self.operation_id,
            "source": self.source,
            "counts": self.counts(),
        }

    def _differing(self, connection: Connection, kind: str | None = None) -> Iterator[Row]:
        first, last = sorted((self.before, self.after))
        require_answerable(connection, first, self.collection.name)
        require_answerable(connection, last, self.collection.name)
        given: dict[str, Any] = {"collection_id": self.collection.id, "before": self.before, "after": self.after}
        given |= {"first": first, "last": last, "source": self.source, "kind": kind, "limit": MOST_NAMED_RECORDS + 1}
        candidates = _SQL["moved_records"] if self.source is None else _SQL["record_of_source"]
        given["records"] = [row["record_id"] for row in connection.execute(candidates, given)]
        many = self.source is None and len(given["records"]) > MOST_NAMED_RECORDS
        statement = _SQL["differing_heads"] if many else _OF_SOME
        with connection.cursor(name="differing_heads") as cursor:
            cursor.itersize = _FETCHED_AT_ONCE
            yield from cursor.execute(statement, given)


def compare(database: Database, collection: str, before: int, after: int, *, source: str | None = None) -> Comparison:
    """A collection at two positions. Raises UnknownCollection, and UsageError for a position that isn't in the log."""
    now = OperationLog(database).position()
    for position in (before, after):
        if not 0 <= position <= now:
            raise UsageError(f"Position {position} is not in the log: it goes from 0 to {now}.")
    return Comparison(database, Corpus(database).collection(collection), before, after, source)


def compare_operation(
    database: Database, operation_id: int, collection: str | None = None, *, source: str | None = None
) -> Comparison:
    """What an operation changed when it was published: without it, and with it. Of a rollback, what it took back.

    Raises UnknownOperation; UsageError for one that isn't published, or that touched several collections and none is named.
    """
    with database.transaction() as connection:
        row = connection.execute(_SQL["operation_and_collections"], {"operation_id": operation_id}).fetchone()
    if row is None:
        raise UnknownOperation(f"There is no operation {operation_id}: `recant log` lists them.")
    if row["position"] is None:
        raise UsageError(f"Operation {operation_id} is {row['life']}: it changed nothing that anybody else sees.")
    position, named = row["position"], collection or _only(operation_id, row["collections"])
    return replace(compare(database, named, position - 1, position, source=source), operation_id=operation_id)


def _only(operation_id: int, collections: list[str]) -> str:
    if len(collections) == 1:
        return collections[0]
    which = f"touched {', '.join(collections)}" if collections else "touched no collection"
    raise UsageError(f"Operation {operation_id} {which}: name the collection.")


def _change(row: Row) -> Change:
    if row["before_version"] is None:
        return "added"
    return "changed" if row["after_version"] is not None else "removed"


def _document(connection: Connection, row: Row) -> DocumentDiff:
    before, after = row["before_version"], row["after_version"]
    told_before, told_after = _description(connection, before), _description(connection, after)
    both = before is not None and after is not None
    differing = sorted(n for n in told_before.keys() | told_after.keys() if told_before.get(n) != told_after.get(n))
    lines = difflib.unified_diff(
        _text(connection, before),
        _text(connection, after),
        row["key"] if before is not None else NOTHING,
        row["key"] if after is not None else NOTHING,
        f"operation {row['before_operation']}" if before is not None else "",
        f"operation {row['after_operation']}" if after is not None else "",
        n=CONTEXT_LINES,
        lineterm="",
    )
    return DocumentDiff(
        source=row["key"],
        change=_change(row),
        before_operation=row["before_operation"],
        after_operation=row["after_operation"],
        described={name: (told_before.get(name), told_after.get(name)) for name in differing} if both else {},
        lines=tuple(lines),
    )


def _text(connection: Connection, version_id: int | None) -> list[str]:
    """The lines of a version; none where there is no version."""
    rows = connection.execute(_SQL["chunks_of_version"], {"version_id": version_id}).fetchall()
    return document_lines(Passage(r["text"], r["chunk_type"], tuple(r["parent_headers"])) for r in rows)


def _description(connection: Connection, version_id: int | None) -> dict[str, Any]:
    row = connection.execute(_SQL["description_of_version"], {"version_id": version_id}).fetchone()
    return {"title": row["title"], "format": row["format"]} | row["attributes"] if row else {}
