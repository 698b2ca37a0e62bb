"""The library that searches are tested on, its collections always searched by the index where that is allowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from recant.search import nearest
from recant.settings import read_settings
from recant.store import Database
from recant.upkeep import Upkeep, tending
from tests.integration.search.conftest import ways
from tests.integration.search.search_library import Library

__all__ = ["ways"]


@pytest.fixture
def library(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """An empty library; however small, it is large enough for the index. Tending goes in small steps."""
    monkeypatch.setattr(nearest, "EXACT_BELOW", 0)
    monkeypatch.setattr(nearest, "TIE_MARGIN", 12)  # its vectors are often equally near
    monkeypatch.setattr(tending, "SHARE", 3)
    with Database(database) as opened:
        yield Library(opened)


@pytest.fixture
def upkeep(library: Library) -> Upkeep:
    """Of the library."""
    return Upkeep(library.database, read_settings({}))


@pytest.fixture
def counted(ways: Counter[str]) -> Counter[str]:
    """How often hits came from the index and from comparing everything."""
    return ways
