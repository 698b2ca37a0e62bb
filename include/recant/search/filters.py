"""Conditions on metadata, as callers give them: a mapping, a written filter, or nothing.

    {"format": "markdown", "topics": ["search", "rollback"]}          every key, any value of a list
    {"year": {">=": 2024}, "$or": [{"agent": "importer"}, {"reviewed_by": {"exists": True}}]}
    'doc_type = "adr" and year >= 2024 and not topics contains "draft"'

A key is a column (`conditions.FIELDS`) or an attribute: the chunk's or, where the chunk has none of that name, its
document's. A list matches by any of its elements. What a document doesn't have matches nothing, so its negation does. A
text is equal to the number or truth value that it spells (`"5"` and 5).

`compile_filters` gives SQL for any statement that has the aliases `c`, `v` and `d`; `read_filters` the tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from recant.errors import UsageError
from recant.search.conditions import MAX_DEPTH, Condition, Every, count_comparisons, is_storable, read_mapping
from recant.search.predicates import Predicate
from recant.search.where import parse

__all__ = ["Filters", "both", "compile_filters", "is_storable", "read_filters"]

Filters: TypeAlias = Mapping[str, Any] | str


def compile_filters(filters: Filters | None) -> tuple[str, dict[str, Any]]:
    """SQL to follow a condition (` AND …`, or nothing), and its parameters. Raises UsageError for a malformed filter."""
    condition = read_filters(filters)
    if condition is None:
        return "", {}
    predicate = Predicate(condition)
    return f"\n      AND {predicate.row()}", predicate.parameters


def read_filters(filters: Filters | None) -> Condition | None:
    """The tree; None for what leaves everything. Raises UsageError for a malformed filter."""
    if filters is None or (isinstance(filters, Mapping) and not filters):
        return None
    found = _read(filters, 0)
    count_comparisons(found)
    return found


def both(*filters: Filters | None) -> Filters | None:
    """What must hold when all of these must."""
    given = [one for one in filters if isinstance(one, str) or one]
    return {"$and": given} if len(given) > 1 else given[0] if given else None


def _read(filters: Any, depth: int) -> Condition:
    if depth > MAX_DEPTH:
        raise UsageError(f"The filter is nested too deeply: {MAX_DEPTH} levels at most")
    if isinstance(filters, str):
        return parse(filters)
    if isinstance(filters, Mapping):
        return read_mapping(filters, _read, depth) if filters else Every(())
    raise UsageError(f"A filter is a mapping or a text, not {filters!r}")
