"""The tables that can be exported, their columns and types, and how each type is read for a format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recant.errors import UsageError

Type = Literal["integer", "number", "boolean", "text", "time", "json", "texts", "vector"]
"""`time`: with its zone; `texts`: a list of texts; `vector`: a list of numbers."""

PROTECTED = (9, 10, 13, 39, 43, 45, 61, 64, 65291, 65293, 65309, 65312)
"""Code points with which a spreadsheet may begin a formula: tab, LF, CR, + - = @ and their full-width forms; and the
apostrophe, which is put in front of them: so taking one apostrophe off gives every text back."""
_PROTECTED_LIST = ", ".join(map(str, PROTECTED))

_AS_CSV: dict[Type, str] = {
    "boolean": "{0}::text",
    "text": "{0}",
    "time": """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    "json": "{0}::text",
    "texts": "to_json({0})::text",
    "vector": "{0}::text",
}
_AS_VALUE: dict[Type, str] = {"json": "{0}::text", "vector": "halfvec_send({0})"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an export."""

    name: str
    type: Type
    default: bool = True
    """Whether it is there without being asked for."""

    def as_csv(self, protect: bool) -> str:
        """The SQL expression of its text; with `protect` a formula's beginning gets an apostrophe in front."""
        if self.type == "text" and protect:
            return f"CASE WHEN ascii({self.name}) IN ({_PROTECTED_LIST}) THEN '''' || {self.name} ELSE {self.name} END AS {self.name}"
        return f"{_AS_CSV.get(self.type, '{0}').format(self.name)} AS {self.name}"

    def as_value(self) -> str:
        """The SQL expression of its value, as the driver gives it."""
        return f"{_AS_VALUE.get(self.type, '{0}').format(self.name)} AS {self.name}"


@dataclass(frozen=True, slots=True)
class Table:
    """Something that can be exported."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    order: tuple[str, ...]
    """Columns by which its rows are sorted: equal states give equal files."""

    def chosen(self, names: tuple[str, ...] | None, *, vectors: bool = False) -> tuple[Column, ...]:
        """The columns named, in the order named; None: those that are there by default. Raises UsageError."""
        if names is None:
            return tuple(c for c in self.columns if c.default or (vectors and c.type == "vector"))
        known = {column.name: column for column in self.columns}
        if unknown := [name for name in names if name not in known]:
            raise UsageError(f"{self.name} has no column {unknown[0]!r}; there are {', '.join(known)}")
        if not names or len({*names}) != len(names):
            raise UsageError(f"Name each column of {self.name} once, and at least one.")
        return tuple(known[name] for name in names)


def unprotected(text: str) -> str:
    """A text as it was before its beginning was made harmless for spreadsheets."""
    return text[1:] if text.startswith("'") else text


def _columns(*declared: str) -> tuple[Column, ...]:
    """`name:type`; a trailing `?` for what is there only when asked for."""
    parts = [(text.rstrip("?").split(":"), not text.endswith("?")) for text in declared]
    return tuple(Column(name, kind, default) for (name, kind), default in parts)  # type: ignore[arg-type]


_WRITTEN = ("operation_id:integer", "position:integer", "agent:text", "published_at:time")

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "documents",
            "documents that are seen",
            _columns(
                "collection:text", "document_id:integer", "source:text", "title:text", "format:text", "chunk_count:integer",
                "token_count:integer", "source_sha256:text", "attributes:json", *_WRITTEN,
            ),
            ("document_id",),
        ),
        Table(
            "chunks",
            "their chunks: the passages that searches find",
            _columns(
                "collection:text", "chunk_id:integer", "document_id:integer", "source:text", "title:text", "chunk_index:integer",
                "chunk_type:text", "parent_headers:texts", "token_count:integer", "text:text", "attributes:json",
                "operation_id:integer", "vector:vector?",
            ),
            ("document_id", "chunk_index"),
        ),
        Table(
            "scores",
            "their quality where it isn't neutral, with what it comes from",
            _columns(
                "collection:text", "chunk_id:integer", "document_id:integer", "source:text", "chunk_index:integer", "score:number",
                "feedback:number", "access:number", "freshness:number", "pinned:boolean", "operation_id:integer",
            ),
            ("document_id", "chunk_index"),
        ),
        Table(
            "operations",
            "the log, what was taken back included",
            _columns(
                "operation_id:integer", "position:integer", "kind:text", "agent:text", "session:text", "run_id:text",
                "lineage_run_id:text", "collection:text", "state:text", "message:text", "opened_at:time", "published_at:time",
                "documents:integer", "chunks:integer", "rejected:integer", "counts:json", "parameters:json?", "context:json?",
                "digest:text",
            ),
            ("position",),
        ),
        Table(
            "feedback",
            "what readers said of chunks",
            _columns(
                "collection:text", "feedback_id:text", "verdict:text", "comment:text", "given_by:text", "source:text",
                "document_id:integer", "chunk_index:integer", "chunk_id:integer", "about_operation_id:integer", "counts:boolean",
                "operation_id:integer", "position:integer", "given_at:time",
            ),
            ("position", "feedback_id"),
        ),
        Table(
            "dependencies",
            "what was made from what",
            _columns(
                "collection:text", "operation_id:integer", "input_operation_id:integer", "class:text", "output_kind:text",
                "output:text", "input_kind:text", "input:text", "position:integer", "agent:text", "published_at:time",
            ),
            ("position", "input_operation_id", "class", "input", "output"),
        ),
        Table(
            "rejections",
            "documents that operations left out",
            _columns("collection:text", "source:text", "code:text", "reason:text", *_WRITTEN),
            ("position", "source", "code", "reason"),
        ),
        Table(
            "checks",
            "what the quality gate said, an expectation a row",
            _columns(
                "collection:text", "check_id:integer", "suite:text", "expectation:text", "severity:text", "success:boolean",
                "checked:integer", "unexpected:integer", *_WRITTEN,
            ),
            ("check_id", "expectation"),
        ),
        Table(
            "searches",
            "searches inside sessions",
            _columns(
                "collection:text", "search_id:integer", "session:text", "agent:text", "query:text", "position:integer",
                "searched_at:time", "hits:integer", "operation_id:integer",
            ),
            ("search_id",),
        ),
    )
}  # fmt: skip
DEFAULT_TABLES = ("documents", "chunks")
