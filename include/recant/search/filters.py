"""Conditions on metadata: `{"format": "markdown", "topics": ["search", "rollback"]}`.

Every key must hold; of a list, any value. `source`, `title`, `format`, `chunk_type` and `parent_headers` are columns; any
other key is an attribute of the chunk or, where the chunk has none of that name, of its document. Values are compared
as text (`true`, `5`), lists match by any of their elements. A key that no document has matches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from recant.errors import UsageError
from recant.store import load

Filters: TypeAlias = Mapping[str, str | Sequence[str]]

COLUMNS = ("source", "title", "format", "chunk_type", "parent_headers")
MAX_FILTERS = 32
MAX_KEY_LENGTH = 200
_SQL = load(__package__, "search.sql")


def compile_filters(filters: Filters | None) -> tuple[str, dict[str, Any]]:
    """SQL to follow a condition (` AND …`, or nothing), and its parameters. Raises UsageError for a malformed filter."""
    if not filters:
        return "", {}
    if len(filters) > MAX_FILTERS:
        raise UsageError(f"{len(filters)} filters are too many: {MAX_FILTERS} at most")
    parts: list[str] = []
    parameters: dict[str, Any] = {}
    for number, key in enumerate(sorted(filters, key=str)):
        column = _checked_key(key)
        parts.append(
            _SQL[f"filter_{column}"]
            .replace("%(values)s", f"%(values_{number})s")
            .replace("%(key)s", f"%(key_{number})s")
        )
        parameters[f"values_{number}"] = _checked_values(key, filters[key])
        if column == "attribute":
            parameters[f"key_{number}"] = key
    return "".join(f"\n      AND {part}" for part in parts), parameters


def _checked_key(key: Any) -> str:
    if not isinstance(key, str) or not key.strip() or len(key) > MAX_KEY_LENGTH or not key.isprintable():
        raise UsageError(
            f"{key!r} can't be a filter's key: KEY=VALUE, with a key of 1 to {MAX_KEY_LENGTH} printable characters"
        )
    return key if key in COLUMNS else "attribute"


def _checked_values(key: str, values: str | Sequence[str]) -> list[str]:
    found = [values] if isinstance(values, str) else list(values) if isinstance(values, (list, tuple)) else []
    if not found or not all(map(is_storable, found)):
        raise UsageError(f"The filter {key!r} needs a text, or a list of at least one, to compare with")
    return found


def is_storable(text: Any) -> bool:
    """Whether Postgres can hold it as text: no NUL, no lone surrogate (an undecodable byte of a command line)."""
    return (
        isinstance(text, str) and "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
    )
