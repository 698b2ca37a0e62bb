"""A library in a database of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recant.store import Database
from tests.integration.library import Library


@pytest.fixture
def library(database: str) -> Iterator[Library]:
    """An empty collection and the means to write to it."""
    with Database(database) as db:
        yield Library(db)
