"""What can be said in a filter, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from recant.errors import UsageError
from recant.search.filters import compile_filters


@pytest.mark.parametrize("filters", [None, {}])
def test_no_filter_is_no_condition(filters: Any) -> None:
    """Without filters nothing is added to a search."""
    assert compile_filters(filters) == ("", {})


def test_every_filter_binds_its_values() -> None:
    """Whatever a caller says, key or value, is bound and never part of the statement."""
    condition, parameters = compile_filters({"x'; DROP TABLE chunk": "y'; --", "source": ["a", "b"]})
    assert "DROP" not in condition
    assert "%(key_1)s" in condition
    assert parameters == {"values_0": ["a", "b"], "values_1": ["y'; --"], "key_1": "x'; DROP TABLE chunk"}


@pytest.mark.parametrize("key", ["", "  ", "a\0b", "new\nline", "k" * 201, 5])
def test_malformed_key_is_refused(key: Any) -> None:
    """A key is printable, not blank, and not longer than 200 characters."""
    with pytest.raises(UsageError, match="key"):
        compile_filters({key: "value"})


@pytest.mark.parametrize("values", [[], [1], "a\0b", None, [None]])
def test_malformed_values_are_refused(values: Any) -> None:
    """Values are texts, one at least, without NUL."""
    with pytest.raises(UsageError, match="'format'"):
        compile_filters({"format": values})


def test_too_many_filters_are_refused() -> None:
    """There are 32 filters at most."""
    with pytest.raises(UsageError, match="32"):
        compile_filters({f"key{i}": "value" for i in range(33)})
