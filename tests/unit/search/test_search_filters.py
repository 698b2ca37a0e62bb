"""What can be said in a filter, written or as a mapping, without a database."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recant.errors import UsageError
from recant.search.conditions import Comparison, Condition, Either, Every, Field, Negation
from recant.search.filters import both, compile_filters, read_filters


def attribute(*path: str) -> Field:
    return Field(path, "json")


def equal(name: str, *values: Any) -> Comparison:
    return Comparison(attribute(*name.split(".")), "=", values)


@pytest.mark.parametrize("filters", [None, {}])
def test_no_filter_is_no_condition(filters: Any) -> None:
    """Without filters nothing is added to a search."""
    assert compile_filters(filters) == ("", {})


def test_every_filter_binds_its_values() -> None:
    """Whatever a caller says, key or value, is bound and never part of the statement."""
    condition, parameters = compile_filters({"x'; DROP TABLE chunk": "y'; --", "source": ["a", "b"]})
    assert "DROP" not in condition
    assert "--" not in condition
    assert {"x'; DROP TABLE chunk", '"y\'; --"', "a"} <= set(map(str, _flat(parameters.values())))
    assert all(f"%({name})s" in condition for name in parameters)


def _flat(values: Any) -> Any:
    for value in values:
        yield from value if isinstance(value, list) else [value]


@settings(deadline=None)
@given(st.recursive(st.text(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner), max_leaves=8))
def test_nothing_of_a_callers_stands_in_the_statement(filters: Any) -> None:
    """Any text at all is refused with a UsageError, or becomes SQL that is made of our parts and of numbered parameters."""
    try:
        condition, parameters = compile_filters(filters)
    except UsageError:
        return
    for name in sorted(parameters, key=len, reverse=True):
        condition = condition.replace(f"%({name})s", "?")
    assert "%" not in condition
    known = "".join(compile_filters(one)[0] for one in ({}, {"a": "b"}, {"$or": [{"a": "b"}], "$not": {"source": "c"}}))
    words = {word for word in condition.replace("(", " ").replace(")", " ").split() if word.isalpha()}
    assert words <= set(known.replace("(", " ").replace(")", " ").split()) | {"AND", "OR", "true", "false", "d", "c"}


WRITTEN = [
    ('doc_type = "adr"', equal("doc_type", "adr")),
    ("doc_type='adr'", equal("doc_type", "adr")),
    ("year = 2024", equal("year", Decimal(2024))),
    ("year = -1.5", equal("year", Decimal("-1.5"))),
    ("draft = TRUE", equal("draft", True)),
    ("day = 2024-05-01", equal("day", "2024-05-01")),
    ('a = "it\\"s \\\\ 100%"', equal("a", 'it"s \\ 100%')),
    ('year != "x"', Negation(equal("year", "x"))),
    ('tag in ("a", 2)', equal("tag", "a", Decimal(2))),
    ('tag not in ("a")', Negation(equal("tag", "a"))),
    ("year >= 2024", Comparison(attribute("year"), ">=", (Decimal(2024),))),
    (
        "day between 2024-01-01 and 2024-12-31T23:59Z",
        Comparison(attribute("day"), "between", ("2024-01-01", "2024-12-31T23:59Z")),
    ),
    ('not topics contains "draft"', Negation(Comparison(attribute("topics"), "contains", ("draft",)))),
    ('topics not contains "draft"', Negation(Comparison(attribute("topics"), "contains", ("draft",)))),
    ('source prefix "/docs/"', Comparison(Field(("source",), "text"), "prefix", ("/docs/",))),
    ("reviewed_by exists", Comparison(attribute("reviewed_by"), "exists")),
    ("reviewed_by not exists", Negation(Comparison(attribute("reviewed_by"), "exists"))),
    ('owner.team = "x"', equal("owner.team", "x")),
    ('attributes.title = "x"', equal("title", "x")),
    ('"title" = "x"', equal("title", "x")),
    ('"a.b" = "x"', Comparison(attribute("a.b"), "=", ("x",))),
    ("operation = 12", Comparison(Field(("operation",), "number"), "=", (Decimal(12),))),
    ("naïve-key = 1", equal("naïve-key", Decimal(1))),
    ('a = "1" and b = "2" or c = "3"', Either((Every((equal("a", "1"), equal("b", "2"))), equal("c", "3")))),
    ('a = "1" AND (b = "2" Or c = "3")', Every((equal("a", "1"), Either((equal("b", "2"), equal("c", "3")))))),
    ('not (a = "1" and b = "2")', Negation(Every((equal("a", "1"), equal("b", "2"))))),
    ('not a = "1" and b = "2"', Every((Negation(equal("a", "1")), equal("b", "2")))),
]


@pytest.mark.parametrize(("text", "meant"), WRITTEN, ids=[text for text, _ in WRITTEN])
def test_written_form(text: str, meant: Condition) -> None:
    """`not` binds closer than `and`, `and` closer than `or`; words are known in small and capital letters."""
    assert read_filters(text) == meant


MAPPED = [
    ({"doc_type": "adr"}, 'doc_type = "adr"'),
    ({"topics": ["a", "b"], "doc_type": "adr"}, 'doc_type = "adr" and topics in ("a", "b")'),
    ({"year": {">=": 2024, "<": 2026}}, "year < 2026 and year >= 2024"),
    ({"year": {"between": [2024, 2025.5]}}, "year between 2024 and 2025.5"),
    ({"year": {"in": [1, 2]}, "tag": {"not in": ["a"]}}, 'tag not in ("a") and year in (1, 2)'),
    ({"draft": {"!=": True}}, "draft != true"),
    ({"reviewed_by": {"exists": False}}, "not reviewed_by exists"),
    ({"owner.team": {"prefix": "x"}}, 'owner.team prefix "x"'),
    ({'"owner.team"': {"contains": "x"}}, '"owner.team" contains "x"'),
    ({"two words": "x"}, '"two words" = "x"'),
    ({"$or": [{"a": "1"}, 'b = "2"'], "c": "3"}, '(a = "1" or b = "2") and c = "3"'),
    ({"$not": {"a": "1"}}, 'not a = "1"'),
    ({"$and": ['a = "1"', 'b = "2"']}, 'a = "1" and b = "2"'),
]


@pytest.mark.parametrize(("mapping", "text"), MAPPED, ids=[text for _, text in MAPPED])
def test_mappings_say_the_same(mapping: Any, text: str) -> None:
    """The form for libraries and JSON reads as the written one does."""
    assert read_filters(mapping) == read_filters(text)


REFUSED = [
    ("", 1, "a field's name"),
    ("   ", 4, "a field's name"),
    ("year", 5, "a comparison"),
    ("year >=", 8, "a value"),
    ("doc_type = adr", 12, 'a text stands in quotes: "adr"'),
    ('a = "x" b = "y"', 9, '"and", "or", or the end'),
    ('(a = "x"', 9, '"\\)"'),
    ('a in "x"', 6, '"\\("'),
    ('a in ("x" "y")', 11, '"\\)"'),
    ("a in ()", 7, "a value"),
    ('a = "x', 5, "closing quote"),
    ("a & b", 3, "'&' can't stand here"),
    ("and = 1", 1, "a field's name, or one in quotes"),
    ("a between 1", 12, '"and"'),
    ("a not = 1", 7, "in, between"),
    ("x = 1 and year between 1 and 'b'", 11, "both ends"),
    ('operation = "x"', 1, "numbers"),
    ("published_at < 5", 1, "times"),
    ('operation prefix "x"', 1, "texts and lists"),
    ("a prefix 5", 1, "takes a text"),
    ("a < true", 1, "no order"),
    ("a = 2024-13", 5, "can't stand here"),
    ("(" * 60 + "a = 1" + ")" * 60, 51, "nested too deeply"),
    ("not " * 60 + "a = 1", 201, "nested too deeply"),
    ('a = "x\0"', 1, "needs a text"),
]


@pytest.mark.parametrize(("text", "position", "complaint"), REFUSED, ids=[text[:20] for text, _, _ in REFUSED])
def test_what_is_wrong_is_told_with_its_place(text: str, position: int, complaint: str) -> None:
    """The message says what was expected, and at which character; `position` is in the details."""
    with pytest.raises(UsageError, match=complaint) as refused:
        read_filters(text)
    assert refused.value.details["position"] == position
    assert f"at character {position}:" in str(refused.value)


@pytest.mark.parametrize("key", ["", "  ", "a\0b", "new\nline", "k" * 201, 5])
def test_malformed_key_is_refused(key: Any) -> None:
    """A key is printable, not blank, and not longer than 200 characters."""
    with pytest.raises(UsageError, match="key"):
        compile_filters({key: "value"})


@pytest.mark.parametrize(
    "values", [[], "a\0b", None, [None], float("nan"), object(), 10**41, {}, {"like": "x"}, ["x"] * 1001]
)
def test_malformed_values_are_refused(values: Any) -> None:
    """Values are texts without NUL, numbers, times or truth values, one at least, a thousand at most."""
    with pytest.raises(UsageError, match="'format'"):
        compile_filters({"format": values})


@pytest.mark.parametrize(
    "filters", [5, [], {"$and": []}, {"$or": "x"}, {"$not": 5}, {"a": {"exists": "yes"}}, {"a": {"between": [1]}}]
)
def test_malformed_filters_are_refused(filters: Any) -> None:
    """A filter is a mapping or a text; `$and` and `$or` take lists, `exists` true or false, `between` two values."""
    with pytest.raises(UsageError):
        compile_filters(filters)


def test_too_much_is_refused() -> None:
    """A hundred comparisons, fifty levels and 20,000 characters at most."""
    with pytest.raises(UsageError, match="100"):
        compile_filters({f"key{i}": "value" for i in range(101)})
    deep: Any = {"a": "b"}
    for _ in range(60):
        deep = {"$not": deep}
    with pytest.raises(UsageError, match="deeply"):
        compile_filters(deep)
    with pytest.raises(UsageError, match="characters"):
        compile_filters("a = 1" + " " * 20_000)


def test_times_are_of_utc_where_they_name_no_zone() -> None:
    """Dates and times of Python's are taken as they are meant; equality with one is equality of the moment."""
    noon = datetime(2024, 5, 1, 12)
    assert read_filters({"published_at": {"<": noon}}) == Comparison(
        Field(("published_at",), "time"), "<", (noon.replace(tzinfo=UTC),)
    )
    midnight = datetime(2024, 5, 1, tzinfo=UTC)
    assert read_filters({"day": date(2024, 5, 1)}) == Either(
        (Comparison(attribute("day"), "between", (midnight, midnight)),)
    )


def test_filters_are_joined() -> None:
    """What must hold of several is that all of them do; of none, nothing."""
    assert both(None, {}) is None
    assert both({"a": "1"}, None) == {"a": "1"}
    assert read_filters(both({"a": "1"}, 'b = "2"')) == read_filters('a = "1" and b = "2"')
