"""Filters over plain dictionaries: what a filter means, said once more in Python, and random ones to ask.

Filters are given as mappings (the form of JSON) and evaluated from them, so nothing of the reading is shared either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

COLUMNS = {
    "source", "title", "format", "chunk_type", "parent_headers",
    "operation", "position", "published_at", "agent", "session", "run", "kind",
}  # fmt: skip
MISSING = object()
KEYS = ["year", "tag", "day", "owner", "note", "line_start", "odd key's"]
TEXTS = ["a", "ab", "b", "5", "true", "Zoë", "%'\"\\", "2024-05-01", "2024-05-01T12:00+02:00", "7.5", "10", ""]
SCALARS = st.one_of(st.sampled_from(TEXTS), st.sampled_from([5, 7.5, 10, -3, 2024, 0]), st.booleans(), st.none())
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from(["team", "x"]), SCALARS, max_size=2)
)
ATTRIBUTES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)
OPERANDS = st.one_of(st.sampled_from(TEXTS), st.sampled_from([5, 7.5, 10, -3, 2024, 6]), st.booleans())
NUMBERS = st.sampled_from([5, 7.5, 10, -3, 2024, 6])
WORDS = st.sampled_from([text for text in TEXTS if not text.startswith("2024")])
DAYS = st.sampled_from(["2024-05-01", "2024-04-30", "2024-05-01T10:00", "2024-05-01T10:00:00.5Z"])
NAMES = st.sampled_from([*KEYS, "owner.team", "attributes.note"])


def ranges(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An order or both ends, of values of one kind."""
    return st.one_of(
        st.fixed_dictionaries({}, optional={"<": of, ">=": of}).filter(bool),
        st.fixed_dictionaries({}, optional={"<=": of, ">": of}).filter(bool),
        st.lists(of, min_size=2, max_size=2).map(lambda ends: {"between": ends}),
    )


ASKED = st.one_of(
    OPERANDS,
    st.lists(OPERANDS, min_size=1, max_size=3),
    OPERANDS.map(lambda value: {"!=": value}),
    st.lists(OPERANDS, min_size=1, max_size=3).map(lambda values: {"not in": values}),
    OPERANDS.map(lambda value: {"contains": value}),
    WORDS.map(lambda value: {"prefix": value}),
    st.booleans().map(lambda value: {"exists": value}),
    ranges(NUMBERS), ranges(WORDS), ranges(DAYS),
)  # fmt: skip


TEXT_COLUMNS = ["title", "format", "chunk_type", "agent", "session", "run", "kind"]
TEXT_TESTS: list[Any] = [
    "text", "code", "tester", "s1", "run-1", "ingest",
    {"exists": True}, {"exists": False}, {"!=": "text"}, {"prefix": "Ti"}, {"contains": "o"}, {">": "c"},
]  # fmt: skip
HEADER_TESTS: list[Any] = ["H1", ["H2", "H3"], {"exists": True}, {"prefix": "H"}, {"contains": "H2"}, {"<": "H2"}]
NUMBER_TESTS: list[Any] = [0, 3, 6, "3", 7.5, {">": 2}, {"<=": 4}, {"between": [2, 4]}, {"exists": True}]
TIME_TESTS: list[Any] = [{">": "2024-01-01"}, {"<": "2024-01-01T00:00Z"}, {"exists": True}, {"exists": False}]


def leaves(sources: list[str]) -> st.SearchStrategy[Any]:
    """One comparison: of an attribute, or of a column with what it can be compared with."""
    of = st.sampled_from(sources)
    columns = (
        (st.just("source"), st.one_of(of, st.sampled_from([{"prefix": "/b"}, {"contains": "1"}]), ranges(of))),
        (st.sampled_from(TEXT_COLUMNS), st.sampled_from(TEXT_TESTS)),
        (st.just("parent_headers"), st.sampled_from(HEADER_TESTS)),
        (st.sampled_from(["operation", "position"]), st.sampled_from(NUMBER_TESTS)),
        (st.just("published_at"), st.sampled_from(TIME_TESTS)),
        (NAMES, ASKED),
        (NAMES, ASKED),
        (NAMES, ASKED),
    )
    return st.one_of(*(st.tuples(*pair) for pair in columns)).map(lambda pair: {pair[0]: pair[1]})


def filters(sources: list[str]) -> st.SearchStrategy[Any]:
    """Comparisons under and, or and not."""
    return st.recursive(
        leaves(sources),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$and": parts}),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$or": parts}),
            inner.map(lambda part: {"$not": part}),
            st.tuples(leaves(sources), inner).map(lambda two: {**two[0], "$and": [two[1]]}),
        ),
        max_leaves=5,
    )


def passes(chunk: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
    """Whether a chunk, as columns with `attributes` of its document and `own` ones, is left by the filter."""
    return all(_holds(chunk, key, wanted) for key, wanted in filters.items())


def _holds(chunk: Mapping[str, Any], key: str, wanted: Any) -> bool:
    if key == "$and":
        return all(passes(chunk, one) for one in wanted)
    if key == "$or":
        return any(passes(chunk, one) for one in wanted)
    if key == "$not":
        return not passes(chunk, wanted)
    value = _value(chunk, key)
    if not isinstance(wanted, Mapping):
        wanted = {"in": wanted if isinstance(wanted, list) else [wanted]}
    return all(_compare(value, operator, operand, key) for operator, operand in wanted.items())


def _value(chunk: Mapping[str, Any], key: str) -> Any:
    if key in COLUMNS:
        return MISSING if chunk[key] is None else chunk[key]
    path = key.removeprefix("attributes.").split(".")
    value = chunk["own"].get(path[0], chunk["attributes"].get(path[0], MISSING))
    for step in path[1:]:
        value = value.get(step, MISSING) if isinstance(value, Mapping) else MISSING
    return MISSING if value is None else value


def _compare(value: Any, operator: str, operand: Any, key: str) -> bool:
    if operator in ("!=", "not in"):
        return not _compare(value, "in", operand if isinstance(operand, list) else [operand], key)
    if operator == "exists":
        return (value is not MISSING and value != () and (value != [] or key not in COLUMNS)) is operand
    if operator == "contains" and not isinstance(value, (list, tuple)):
        return isinstance(value, str) and _spelled(operand) in value
    elements = value if isinstance(value, (list, tuple)) else [] if value is MISSING else [value]
    return any(_matches(element, operator, operand) for element in elements)


def _matches(element: Any, operator: str, operand: Any) -> bool:
    if operator in ("in", "contains"):
        return any(_equal(element, one) for one in (operand if operator == "in" else [operand]))
    if operator == "prefix":
        return isinstance(element, str) and element.startswith(operand)
    low, high = operand if operator == "between" else (operand, operand)
    pair = _ordered(element, low), _ordered(element, high)
    if None in pair:
        return False
    (value, bottom), (_, top) = pair  # type: ignore[misc]
    tests = {
        "<": value < bottom, "<=": value <= bottom, ">": value > bottom, ">=": value >= bottom,
        "between": bottom <= value <= top,
    }  # fmt: skip
    return bool(tests[operator])


def _equal(element: Any, operand: Any) -> bool:
    if element is None or isinstance(element, (list, dict)):
        return False
    if isinstance(element, datetime):
        return element == _moment(operand)
    if isinstance(element, str) or isinstance(operand, str):
        return (
            _spelled(element) == _spelled(operand)
            if isinstance(element, str)
            else _unspelled(operand) == (type(element) is bool, element)
        )
    return (type(element) is bool) == (type(operand) is bool) and element == operand


def _spelled(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _unspelled(text: str) -> tuple[bool, Any] | None:
    if text in ("true", "false"):
        return True, text == "true"
    return (False, float(text)) if re.fullmatch(r"-?\d+(\.\d+)?", text) else None


def _ordered(element: Any, bound: Any) -> tuple[Any, Any] | None:
    """Both as what they are compared as; None where they aren't comparable."""
    if isinstance(element, datetime):
        return element, _moment(bound)
    if isinstance(bound, (int, float)):
        found = _unspelled(element) if isinstance(element, str) else (isinstance(element, bool), element)
        numeric = found is not None and not found[0] and isinstance(found[1], (int, float))
        return (found[1], bound) if numeric and found is not None else None
    if _moment(bound) is None:
        return (element, bound) if isinstance(element, str) else None
    moment = _moment(element) if isinstance(element, str) else None
    return (moment, _moment(bound)) if moment is not None else None


def _moment(text: Any) -> datetime | None:
    if not isinstance(text, str) or not re.match(r"\d{4}-\d{2}-\d{2}", text):
        return None
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
