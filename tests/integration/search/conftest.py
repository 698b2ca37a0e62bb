"""A fresh library for each test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from recant.search.nearest import Neighbourhood
from recant.store import Database
from tests.integration.search.search_library import Library


@pytest.fixture
def library(database: str) -> Iterator[Library]:
    """An empty library."""
    with Database(database) as opened:
        yield Library(opened)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often hits came from the index and from comparing everything."""
    counted: Counter[str] = Counter()
    for name in ("search_index", "search_exact"):
        search = getattr(Neighbourhood, name)

        def count(around: Neighbourhood, *given: Any, name: str = name, search: Any = search, **options: Any) -> Any:
            counted[name] += 1
            return search(around, *given, **options)

        monkeypatch.setattr(Neighbourhood, name, count)
    return counted
