"""An ingestion into a database of its own, and documents for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from recant.ingestion.pipeline import Ingestion
from recant.settings import read_settings
from recant.store import Database


@pytest.fixture
def ingestion(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingestion]:
    """Ingests into a fresh database with all-MiniLM-L6-v2, embedding in this process."""
    home = tmp_path_factory.mktemp("home")
    (home / "run").mkdir()
    with Database(database) as db:
        yield Ingestion(db, replace(read_settings({}), home=home, embedder="local"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two documents."""
    place = tmp_path / "docs"
    place.mkdir()
    (place / "tides.md").write_text(
        "# Tides\n\nThe tide turns twice a day.\n\n## Spring tides\n\nAt new and full moon.\n"
    )
    (place / "sort.py").write_text(
        '"""Sorting."""\n\n\ndef smallest(values):\n    """The least of them."""\n    return min(values)\n'
    )
    return place
