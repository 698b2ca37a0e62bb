"""What a filter says, as a tree: comparisons of a field with values, joined by and, or and not.

Offers the tree's parts and the reading of the form made of mappings, which is also how JSON says it:

    {"doc_type": "adr", "year": {">=": 2024, "<": 2026}, "$or": [{"agent": "importer"}, "topics contains \"draft\""]}

Kept out: the written form (`where`) and SQL (`predicates`). A tree's `repr` is equal for equal filters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from recant.errors import UsageError

Value: TypeAlias = "str | bool | Decimal | datetime"
Kind = Literal["text", "texts", "number", "time", "json"]

MAX_COMPARISONS = 100
MAX_DEPTH = 50
MAX_VALUES = 1_000
MAX_NAME_LENGTH = 200
ORDERS = ("<", "<=", ">", ">=")
OPERATORS = ("=", "!=", *ORDERS, "in", "not in", "between", "contains", "prefix", "exists")
FIELDS: Mapping[str, Kind] = {
    "source": "text",
    "title": "text",
    "format": "text",
    "chunk_type": "text",
    "parent_headers": "texts",
    "operation": "number",
    "position": "number",
    "published_at": "time",
    "agent": "text",
    "session": "text",
    "run": "text",
    "kind": "text",
}
"""What isn't an attribute. From `operation` on they are of the operation that wrote the document's version."""
ATTRIBUTES = "attributes"
"""The first step of a path that means an attribute although its name is one of `FIELDS`."""

_PATH = re.compile(r"[\w-]+(\.[\w-]+)+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?")
_NUMBER = re.compile(r"-?\d{1,40}(\.\d{1,40})?")


@dataclass(frozen=True, slots=True)
class Field:
    """A column by its name, or an attribute by its path from the outermost key on."""

    path: tuple[str, ...]
    kind: Kind

    @property
    def label(self) -> str:
        """As it is shown in messages."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`operator` is `=` (any of the values), one of `ORDERS`, `between` (both ends belong to it), contains, prefix, exists."""

    field: Field
    operator: str
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Every:
    """All of them; of none, true."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of them; of none, false."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """True where the other isn't: also where the field is missing."""

    part: Condition


Condition: TypeAlias = Comparison | Every | Either | Negation


def field(path: Sequence[str]) -> Field:
    """The column of that name or the attribute of that path. Raises UsageError for what can't be a name."""
    for step in path:
        if not step.strip() or len(step) > MAX_NAME_LENGTH or not step.isprintable():
            raise UsageError(
                f"{step!r} can't be a filter's key: a key has 1 to {MAX_NAME_LENGTH} printable characters, not all blank"
            )
    if len(path) == 1 and path[0] in FIELDS:
        return Field(tuple(path), FIELDS[path[0]])
    return Field(tuple(path[1:] if path[0] == ATTRIBUTES and len(path) > 1 else path), "json")


def named_field(name: Any) -> Field:
    """`title`, `owner.team`, `attributes.title`; any other text, and one in double quotes, is one key as it stands."""
    if not isinstance(name, str):
        raise UsageError(f"{name!r} can't be a filter's key: a key is a text")
    if quoted := _QUOTED.fullmatch(name):
        return Field(field([ATTRIBUTES, re.sub(r"\\(.)", r"\1", quoted[1])]).path, "json")
    return field(name.split(".") if _PATH.fullmatch(name) else [name])


def compare(about: Field, operator: str, given: Sequence[Any]) -> Condition:
    """A comparison with checked values. Raises UsageError where the field can't be compared so."""
    values = tuple(value(about.label, one) for one in given)
    if operator in ("!=", "not in"):
        return Negation(compare(about, "=", given))
    if operator == "in":
        operator = "="
    wanted = {"exists": 0, "between": 2, "=": len(values) or 1}.get(operator, 1)
    if len(values) != wanted or len(values) > MAX_VALUES:
        raise UsageError(
            f"The filter {about.label!r} needs a value, or a list of at least one and at most {MAX_VALUES}, to compare with"
            if operator == "="
            else f"The filter {about.label!r}: {operator} takes {wanted or 'no'} value{'s' * (wanted != 1)}"
        )
    _check_operands(about, operator, values)
    if operator == "=" and about.kind == "json" and any(isinstance(one, datetime) for one in values):
        return Either(tuple(_equal(about, one) for one in values))
    return Comparison(about, operator, values)


def as_number(given: Value) -> Decimal | None:
    """The number that a value is or spells."""
    if isinstance(given, Decimal):
        return given
    return Decimal(given) if isinstance(given, str) and _NUMBER.fullmatch(given) else None


def as_time(given: Value) -> datetime | None:
    """The moment that a value is or spells: `2024-05-01`, `2024-05-01T10:00`; UTC where it names no zone."""
    if isinstance(given, datetime):
        return given
    if not isinstance(given, str) or not _TIME.fullmatch(given):
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def value(name: str, given: Any) -> Value:
    """A text, truth value, number or moment that Postgres can hold. Raises UsageError for anything else."""
    if isinstance(given, bool) or (isinstance(given, str) and is_storable(given)):
        return given
    if isinstance(given, datetime):
        return given if given.tzinfo else given.replace(tzinfo=UTC)
    if isinstance(given, date):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    if isinstance(given, (int, float, Decimal)) and math.isfinite(given) and -1e40 < given < 1e40:
        return Decimal(str(given))
    raise UsageError(
        f"The filter {name!r} needs a text, a number, a time, true or false to compare with, not {given!r}"
    )


def is_storable(text: Any) -> bool:
    """Whether Postgres can hold it as text: no NUL, no lone surrogate (an undecodable byte of a command line)."""
    return (
        isinstance(text, str) and "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
    )


def read_mapping(given: Mapping[str, Any], nested: Callable[[Any, int], Condition], depth: int = 0) -> Condition:
    """The tree of a mapping; `nested` reads what stands in `$and`, `$or` and `$not`. Raises UsageError."""
    parts: list[Condition] = []
    for key, wanted in sorted(given.items(), key=lambda item: str(item[0])):
        if key in ("$and", "$or"):
            if not isinstance(wanted, (list, tuple)) or not wanted:
                raise UsageError(f"{key} takes a list of at least one filter")
            inner = tuple(nested(one, depth + 1) for one in wanted)
            parts.append(Every(inner) if key == "$and" else Either(inner))
        elif key == "$not":
            parts.append(Negation(nested(wanted, depth + 1)))
        else:
            parts += _entry(named_field(key), wanted)
    return parts[0] if len(parts) == 1 else Every(tuple(parts))


def count_comparisons(condition: Condition, depth: int = 0) -> int:
    """How many there are. Raises UsageError for a tree that is too deep or has too many."""
    if depth > MAX_DEPTH:
        raise UsageError(f"The filter is nested too deeply: {MAX_DEPTH} levels at most")
    if isinstance(condition, Comparison):
        return 1
    inner = (condition.part,) if isinstance(condition, Negation) else condition.parts
    found = sum(count_comparisons(part, depth + 1) for part in inner)
    if found > MAX_COMPARISONS:
        raise UsageError(f"{found} comparisons are too many: {MAX_COMPARISONS} at most")
    return found


def _entry(about: Field, wanted: Any) -> list[Condition]:
    if not isinstance(wanted, Mapping):
        return [compare(about, "=", list(wanted) if isinstance(wanted, (list, tuple, set, frozenset)) else [wanted])]
    if not wanted:
        raise UsageError(f"The filter {about.label!r} needs an operator: one of {', '.join(OPERATORS)}")
    return [_operation(about, operator, operand) for operator, operand in sorted(wanted.items(), key=str)]


def _operation(about: Field, operator: Any, operand: Any) -> Condition:
    if operator not in OPERATORS:
        raise UsageError(f"The filter {about.label!r}: {operator!r} is none of {', '.join(OPERATORS)}")
    if operator == "exists":
        if not isinstance(operand, bool):
            raise UsageError(f"The filter {about.label!r}: exists takes true or false")
        there = compare(about, "exists", [])
        return there if operand else Negation(there)
    return compare(about, operator, list(operand) if isinstance(operand, (list, tuple, set, frozenset)) else [operand])


def _equal(about: Field, one: Value) -> Comparison:
    """A moment is equal to whatever spells it, in any zone."""
    return Comparison(about, "between", (one, one)) if isinstance(one, datetime) else Comparison(about, "=", (one,))


def _check_operands(about: Field, operator: str, values: tuple[Value, ...]) -> None:
    name = about.label
    if about.kind in ("number", "time") and operator in ("contains", "prefix"):
        raise UsageError(f"The filter {name!r}: {operator} is for texts and lists")
    if about.kind == "number" and any(as_number(one) is None for one in values):
        raise UsageError(f"The filter {name!r} is compared with numbers")
    if about.kind == "time" and any(as_time(one) is None for one in values):
        raise UsageError(f"The filter {name!r} is compared with times: 2024-05-01, 2024-05-01T10:00Z")
    if operator == "prefix" and not isinstance(values[0], str):
        raise UsageError(f"The filter {name!r}: {operator} takes a text")
    if operator in (*ORDERS, "between") and len({_order_of(about, one) for one in values}) != 1:
        raise UsageError(f"The filter {name!r}: both ends must be numbers, times, or texts")
    if operator in (*ORDERS, "between") and isinstance(values[0], bool):
        raise UsageError(f"The filter {name!r}: true and false have no order")


def _order_of(about: Field, given: Value) -> str:
    return about.kind if about.kind != "json" else order(given)


def order(given: Value) -> str:
    """How attributes are compared with it: as `number`, `time` or `text`."""
    if isinstance(given, Decimal):
        return "number"
    return "time" if as_time(given) is not None else "text"
