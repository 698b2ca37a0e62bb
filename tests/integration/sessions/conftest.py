"""Sessions of a small library."""

from __future__ import annotations

import pytest

from recant.sessions import Sessions
from tests.integration.library import Library


@pytest.fixture
def sessions(library: Library) -> Sessions:
    """The sessions of the library's database."""
    return Sessions(library.database)
