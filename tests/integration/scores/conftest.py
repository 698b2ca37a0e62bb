"""A knowledge base with a small library in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import recant
from recant.settings import read_settings
from tests.integration.library import Library


@pytest.fixture
def kb(database: str, tmp_path: Path) -> Iterator[recant.KnowledgeBase]:
    """On a database of its own."""
    given = {"RECANT_AGENT": "tester", "RECANT_COLLECTION": "library"}
    with recant.connect(settings=replace(read_settings(given), home=tmp_path, dsn=database)) as found:
        yield found


@pytest.fixture
def library(kb: recant.KnowledgeBase) -> Library:
    """Three documents of one chunk each."""
    library = Library(kb.database)
    library.publish({"a": "one", "b": "two", "c": "three"})
    return library
