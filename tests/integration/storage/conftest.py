"""A library and the room that frees its storage."""

from __future__ import annotations

import pytest

from recant.settings import read_settings
from recant.storage import Storage
from tests.integration.library import Library


@pytest.fixture
def storage(library: Library) -> Storage:
    """Of the library's database and collection."""
    return Storage(library.database, read_settings({"RECANT_COLLECTION": "library", "RECANT_AGENT": "keeper"}))
