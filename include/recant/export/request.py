"""What an export is asked to hold, and how."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any

from recant.errors import UsageError
from recant.export.tables import DEFAULT_TABLES, TABLES
from recant.search.filters import Filters, compile_filters

FORMATS = ("csv", "parquet")
COMPRESSIONS = ("none", "gzip", "zstd")
_NULL_TEXT = re.compile(r"[^\x00\r\n\",]{0,20}")


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What goes where. Raises UsageError for what can't be.

    The folder `target` comes into being, or is replaced where it holds an earlier export.
    """

    target: str
    """An absolute path."""
    tables: tuple[str, ...] = DEFAULT_TABLES
    collection: str | None = None
    """None: all collections."""
    format: str = "csv"
    compression: str = "none"
    """`none`, `gzip` or `zstd`: of CSV files as a whole; within Parquet files, where `none` is none."""
    as_of: int | None = None
    """A position; None: what is seen when it is made, and again when it is refreshed."""
    filters: Filters | None = None
    """As for a search, on documents, chunks and scores; a document passes when one of its chunks does."""
    agents: tuple[str, ...] = ()
    """Only what these wrote; none: whoever wrote."""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By table; the defaults where a table isn't named."""
    vectors: bool = False
    """The chunks' vectors besides their default columns."""
    rows_per_file: int | None = None
    """None: one file a table."""
    protect_formulas: bool = True
    """CSV: an apostrophe before texts that a spreadsheet could take for a formula."""
    null_text: str = ""
    """CSV: what stands for no value, unquoted; an empty text is `""`."""
    follow: bool = False
    """Whether refreshing also makes it again when something was published since."""

    def __post_init__(self) -> None:
        _require("format", self.format, FORMATS)
        _require("compression", self.compression, COMPRESSIONS)
        for name in (*self.tables, *self.columns):
            _require("table", name, tuple(TABLES))
        if not self.tables or len({*self.tables}) != len(self.tables):
            raise UsageError("Name each table once, and at least one.")
        for name in self.tables:
            TABLES[name].chosen(self.columns.get(name))
        if self.rows_per_file is not None and self.rows_per_file < 1:
            raise UsageError("A file has at least one row.")
        if not _NULL_TEXT.fullmatch(self.null_text):
            raise UsageError(
                "What stands for no value has up to 20 characters, no quote, comma or end of line among them."
            )
        if not Path(self.target).is_absolute():
            raise UsageError(f"{self.target!r}: an export's folder is named by an absolute path.")
        if self.follow and self.as_of is not None:
            raise UsageError("An export as of a position doesn't change: it can't follow what is published.")
        compile_filters(self.filters)

    @property
    def media_format(self) -> str:
        """`csv`, `csv+gzip`, `parquet+zstd` …"""
        return self.format if self.compression == "none" else f"{self.format}+{self.compression}"

    @property
    def extension(self) -> str:
        """Of its files."""
        packed = {"gzip": ".gz", "zstd": ".zst"}.get(self.compression, "") if self.format == "csv" else ""
        return f".{self.format}{packed}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it."""
        texts = {"tables": list(self.tables), "agents": list(self.agents)}
        columns = {name: list(chosen) for name, chosen in self.columns.items()}
        filters = json.loads(json.dumps(self.filters, default=_plain))
        return {f.name: getattr(self, f.name) for f in fields(self)} | texts | {"columns": columns, "filters": filters}

    def file_columns(self) -> dict[str, dict[str, str]]:
        """What the files will hold: by table its columns, by column its type."""
        chosen = {name: TABLES[name].chosen(self.columns.get(name), vectors=self.vectors) for name in self.tables}
        return {name: {column.name: column.type for column in columns} for name, columns in chosen.items()}

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> ExportRequest:
        """What `to_dict` gave. Raises UsageError for what it didn't."""
        names = {f.name for f in fields(cls)}
        if not names.issuperset(known) or "target" not in known:
            raise UsageError("That isn't an export's request.")
        columns = {name: tuple(chosen) for name, chosen in (known.get("columns") or {}).items()}
        lists = {name: tuple(known[name]) for name in ("tables", "agents") if name in known}
        return cls(**{**known, **lists, "columns": columns})


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else list(value)


def _require(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{what} {value!r}: must be one of {', '.join(choices)}")
