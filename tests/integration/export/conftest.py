"""A library whose knowledge is exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import recant
from recant.export import ExportReport, ExportRequest
from recant.settings import read_settings
from tests.integration.library import Library


@pytest.fixture
def kb(database: str, tmp_path: Path) -> Iterator[recant.KnowledgeBase]:
    """A knowledge base of its own."""
    settings = replace(read_settings({"RECANT_AGENT": "reader"}), home=tmp_path / "home", dsn=database)
    with recant.connect(settings=settings) as found:
        yield found


@pytest.fixture
def library(kb: recant.KnowledgeBase) -> Library:
    """The same, to be written to without files or a model."""
    return Library(kb.database)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where exports go: not there yet."""
    return tmp_path / "out" / "export"


@pytest.fixture
def export(kb: recant.KnowledgeBase, library: Library, target: Path) -> Callable[..., ExportReport]:
    """Exports the library to the target, by default; takes what an ExportRequest does."""

    def run(**asked: object) -> ExportReport:
        request = ExportRequest(**{"target": str(target), "collection": library.name, **asked})
        return kb.exports.write(request, kb.attribution(agent="exporter"))

    return run
