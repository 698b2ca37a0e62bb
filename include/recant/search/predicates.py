"""From a filter's tree to SQL, in two forms that are bound to the same parameters.

*Row form*: whether one chunk passes, of the aliases `c` (chunk), `v` (version) and `d` (document_version); scalar, so that it
changes no plan that it is added to. *Candidate form*: which versions can have such chunks, of `v` and `d` alone, shaped for
indexes; exact for what documents say, a superset where chunks have a say. Kept out: who asks which (`filters`, `nearest`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from recant.search.conditions import (
    Comparison,
    Condition,
    Every,
    Negation,
    Value,
    as_number,
    as_time,
    order,
)
from recant.store import load

POSITIONAL = ("line_start", "line_end", "page", "page_end")
"""Where a chunk stands in its text: nearly every chunk has its own, so the index of chunks' attributes leaves them out."""
CHUNK_COLUMNS: Mapping[str, str] = {"chunk_type": "c.chunk_type", "parent_headers": "c.parent_headers"}
DOCUMENT_COLUMNS: Mapping[str, str] = {"title": "d.title", "format": "d.format"}
OPERATION_COLUMNS: Mapping[str, str] = {
    "operation": "o.id",
    "position": "o.position",
    "published_at": "CASE WHEN o.life = 'published' THEN o.closed_at END",
    "agent": "o.agent",
    "session": "o.session",
    "run": "o.run_id",
    "kind": "o.kind",
}
_TYPES = {"text": "text", "texts": "text", "number": "numeric", "time": "timestamptz"}
_FACETS = f"(x.attributes - '{{{','.join(POSITIONAL)}}}'::text[])"
_SQL = load(__package__, "filters.sql")


@dataclass(slots=True)
class Predicate:
    """Both forms of one tree; `parameters` are complete once a form was asked for."""

    condition: Condition
    parameters: dict[str, Any] = field(default_factory=dict)
    _numbers: dict[int, int] = field(default_factory=dict)
    """Of each comparison, by identity: its parameters have the same names in both forms."""

    @property
    def keys(self) -> set[str]:
        """Outermost keys of the attributes that it speaks of."""
        return {one.field.path[0] for one in _comparisons(self.condition) if one.field.kind == "json"}

    def row(self) -> str:
        """The row form."""
        return self._row(self.condition, chunks=None)

    def is_of_documents(self, chunk_keys: Collection[str]) -> bool:
        """Whether all chunks of a document agree: the candidate form is all there is to ask then."""
        return all(_of_document(one, frozenset(chunk_keys)) for one in _comparisons(self.condition))

    def candidates(self, chunk_keys: Collection[str]) -> str | None:
        """The candidate form, where `chunk_keys` are the keys that any chunk has; None when every version can have some."""
        return self._candidates(self.condition, frozenset(chunk_keys))

    def _row(self, node: Condition, chunks: frozenset[str] | None) -> str:
        """`chunks` None: a chunk is there to be asked; otherwise the keys that only chunks can answer for."""
        if isinstance(node, Comparison):
            return self._comparison(node, chunks)
        if isinstance(node, Negation):
            return f"({self._row(node.part, chunks)}) IS NOT TRUE"
        parts = [self._row(part, chunks) for part in node.parts]
        return _joined(parts, "AND" if isinstance(node, Every) else "OR")

    def _candidates(self, node: Condition, chunks: frozenset[str]) -> str | None:
        if isinstance(node, Comparison):
            return self._comparison(node, chunks) if _of_document(node, chunks) else self._superset(node, chunks)
        if isinstance(node, Negation):
            whole = all(_of_document(one, chunks) for one in _comparisons(node))
            return f"({self._row(node.part, chunks)}) IS NOT TRUE" if whole else None
        parts = [self._candidates(part, chunks) for part in node.parts]
        known = [part for part in parts if part is not None]
        if isinstance(node, Every):
            return _joined(known, "AND") if known else None
        return _joined(known, "OR") if len(known) == len(parts) else None

    def _superset(self, node: Comparison, chunks: frozenset[str]) -> str | None:
        """For an equality with what chunks say: wherever the document or any chunk has it. Most chunks are of type text: that no
        index finds.
        """
        path = node.field.path
        if path[0] in CHUNK_COLUMNS and node.field.kind != "json":
            return self._superset_of_column(node, path[0])
        if node.operator != "=" or node.field.kind != "json" or path[0] in POSITIONAL:
            return None
        return self._bound(node, "in_document_or_chunk", {"shapes": _shapes(node)}, facets=_FACETS)

    def _superset_of_column(self, node: Comparison, name: str) -> str | None:
        values = [_text(one) for one in node.values]
        if name == "parent_headers" and node.operator in ("=", "contains"):
            return self._bound(node, "in_chunk_headers", {"values": values})
        if name == "chunk_type" and node.operator == "=" and "text" not in values:
            return self._bound(node, "in_chunk_types", {"values": values})
        return None

    def _comparison(self, node: Comparison, chunks: frozenset[str] | None) -> str:
        (name, kind), where = (node.field.path[0], node.field.kind), "row" if chunks is None else "candidate"
        if kind == "json":
            return self._attribute(node, chunks)
        if name == "source":
            return _SQL[f"of_record_{where}"].replace("{condition}", self._column(node, "r.key"))
        if name in OPERATION_COLUMNS:
            return _SQL[f"of_operation_{where}"].replace("{condition}", self._column(node, OPERATION_COLUMNS[name]))
        return self._column(node, DOCUMENT_COLUMNS.get(name) or CHUNK_COLUMNS[name])

    def _column(self, node: Comparison, column: str) -> str:
        if node.field.kind == "texts":
            return self._list_column(node, column)
        return self._scalar(node, column, node.operator)

    def _list_column(self, node: Comparison, column: str) -> str:
        """Any element; to contain a text is to have it as an element."""
        if node.operator == "exists":
            return _filled("texts_exists", x=column)
        if node.operator in ("=", "contains"):
            return self._bound(node, "texts_equal", {"values": [_text(one) for one in node.values]}, x=column)
        return _filled("texts_any", x=column, inner=self._scalar(node, "e.text", node.operator))

    def _scalar(self, node: Comparison, column: str, operator: str) -> str:
        """One value of a column against the comparison's; texts in the order of their code points."""
        kind = _TYPES[node.field.kind]
        values = [_typed(one, kind) for one in node.values]
        if operator == "=":
            return self._bound(node, "column_equal", {"values": values}, x=column, type=kind)
        given = dict(zip(("low", "high"), values, strict=False))
        x = f'{column} COLLATE "C"' if kind == "text" and operator not in ("contains", "prefix", "exists") else column
        if operator in ("between", "contains", "prefix", "exists"):
            return self._bound(node, f"column_{operator}", given, x=x, type=kind)
        return self._bound(node, "column_ordered", given, x=x, type=kind, operator=operator)

    def _attribute(self, node: Comparison, chunks: frozenset[str] | None) -> str:
        """The chunk's value, or the document's where the chunk has none of that key."""
        if chunks is not None and node.operator == "=":
            return self._bound(node, "json_shaped", {"shapes": _shapes(node)}, attributes="d.attributes")
        x = self._value(node, chunks)
        if node.operator in ("=", "contains"):
            values = [one for value in node.values for one in _spellings(value)]
            given: dict[str, Any] = {"values": values} | (
                {"low": _text(node.values[0])} if node.operator != "=" else {}
            )
            return self._bound(node, "json_equal" if node.operator == "=" else "json_contains", given, x=x)
        if node.operator == "exists":
            return _filled("json_exists", x=x)
        if node.operator != "prefix" and order(node.values[0]) == "time":
            return self._attribute_time(node, x)
        return self._bound(node, "json_path", {"vars": _variables(node)}, x=x, path=_path(node))

    def _attribute_time(self, node: Comparison, x: str) -> str:
        single = self._scalar_time(node, f"attribute_time({x} #>> '{{}}')")
        return _filled(
            "json_time", x=x, single=single, element=self._scalar_time(node, "attribute_time(e.value #>> '{}')")
        )

    def _scalar_time(self, node: Comparison, x: str) -> str:
        given = dict(zip(("low", "high"), map(as_time, node.values), strict=False))
        if node.operator == "between":
            return self._bound(node, "column_between", given, x=x, type="timestamptz")
        return self._bound(node, "column_ordered", given, x=x, type="timestamptz", operator=node.operator)

    def _value(self, node: Comparison, chunks: frozenset[str] | None) -> str:
        outer, *inner = node.field.path
        names = {"key": outer} | ({"path": inner} if inner else {})
        sides = ("c", "d") if chunks is None else ("d",)
        x = ", ".join(f"{side}.attributes -> {self._name(node, 'key')}::text" for side in sides)
        self._bind(node, names)
        x = f"coalesce({x})" if chunks is None else f"({x})"
        return f"({x} #> {self._name(node, 'path')}::text[])" if inner else x

    def _bound(self, node: Comparison, statement: str, given: Mapping[str, Any], **parts: str) -> str:
        """The statement with its parameters renamed to this comparison's own."""
        text = _filled(statement, **parts)
        for name in given:
            text = text.replace(f"%({name})s", self._name(node, name))
        self._bind(node, given)
        return text

    def _bind(self, node: Comparison, given: Mapping[str, Any]) -> None:
        self.parameters |= {f"filter_{self._number(node)}_{name}": one for name, one in given.items()}

    def _name(self, node: Comparison, name: str) -> str:
        return f"%(filter_{self._number(node)}_{name})s"

    def _number(self, node: Comparison) -> int:
        return self._numbers.setdefault(id(node), len(self._numbers))


def _filled(statement: str, **parts: str) -> str:
    return _SQL[statement].format(**parts) if parts else _SQL[statement]


def _joined(parts: list[str], word: str) -> str:
    """Of nothing: what joining nothing comes to."""
    return f"({f' {word} '.join(parts)})" if parts else "true" if word == "AND" else "false"


def _comparisons(node: Condition) -> Iterator[Comparison]:
    if isinstance(node, Comparison):
        yield node
        return
    for part in (node.part,) if isinstance(node, Negation) else node.parts:
        yield from _comparisons(part)


def _of_document(node: Comparison, chunks: frozenset[str]) -> bool:
    """Whether all chunks of a document agree on it."""
    name = node.field.path[0]
    return name not in chunks if node.field.kind == "json" else name not in CHUNK_COLUMNS


def _text(value: Value) -> str:
    """As JSON spells it, texts without quotes."""
    if isinstance(value, datetime):
        return value.isoformat()
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _typed(value: Value, kind: str) -> Any:
    if kind == "numeric":
        return as_number(value)
    return as_time(value) if kind == "timestamptz" else _text(value)


def _spellings(value: Value) -> list[str]:
    """The scalars, as JSON, that are equal to a value: a text is equal to the number or truth value that it spells."""
    if isinstance(value, (bool, Decimal)):
        return [_json(value), json.dumps(_text(value))]
    number = as_number(value)
    unquoted = [str(value)] if value in ("true", "false") else [] if number is None else [_json(number)]
    return [json.dumps(value), *unquoted]


def _json(value: Value) -> str:
    """Numbers digit by digit."""
    return f"{value:f}" if isinstance(value, Decimal) else json.dumps(value)


def _shapes(node: Comparison) -> list[str]:
    """All attributes as they are at least, where the comparison holds: with the value alone, or in a list."""
    shapes: list[str] = []
    for scalar in (one for value in node.values for one in _spellings(value)):
        for shape in (scalar, f"[{scalar}]"):
            for step in reversed(node.field.path):
                shape = f"{{{json.dumps(step)}: {shape}}}"
            shapes.append(shape)
    return shapes


_SIGNS = {"between": "@ >= $low && @ <= $high", "prefix": "@ starts with $low"}


def _path(node: Comparison) -> str:
    """The jsonpath of a prefix, or of an order among texts or among numbers."""
    condition = _SIGNS.get(node.operator, f"@ {node.operator} $low")
    if order(node.values[0]) != "number" or node.operator == "prefix":
        return _SQL["path_text"].format(condition=condition)
    return _SQL["path_number"].format(condition=condition, spelled=condition.replace("@", "@.double()"))


def _variables(node: Comparison) -> str:
    """What that jsonpath speaks of, as JSON."""
    names = dict(zip(("low", "high"), map(_json, node.values), strict=False))
    return "{" + ", ".join(f'"{name}": {one}' for name, one in names.items()) + "}"
