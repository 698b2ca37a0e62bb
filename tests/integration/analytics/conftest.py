"""An export with something in each table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import recant
from recant import Selector
from recant.export import TABLES, ExportRequest
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
    """Two ingests, one of them rolled back, one quarantined, and feedback."""
    library = Library(kb.database)
    library.publish({"a": "one", "b": "two"})
    bad, odd = library.publish({"c": "bad"}, agent="rogue"), library.publish({"d": "odd"}, agent="rogue")
    kb.rollback(Selector(operations=(bad,)), message="poison")
    kb.quarantine(Selector(operations=(odd,)))
    with kb.database.transaction() as connection:
        rows = connection.execute(
            "SELECT max(c.id) AS id FROM record r JOIN version v ON v.record_id = r.id JOIN chunk c USING (version_id) "
            "WHERE r.key IN ('a', 'b') GROUP BY r.key ORDER BY r.key"
        ).fetchall()
    a, b = (row["id"] for row in rows)
    for chunk, verdict, agent in ((a, "helpful", "ada"), (b, "outdated", "ada"), (b, "incorrect", "bob")):
        kb.submit_feedback(chunk, verdict, agent=agent)
    return library


@pytest.fixture
def folder(kb: recant.KnowledgeBase, library: Library, tmp_path: Path) -> Path:
    """Every table, as Parquet."""
    target = tmp_path / "export"
    request = ExportRequest(str(target), tuple(TABLES), "library", "parquet", "zstd")
    kb.exports.write(request, kb.attribution())
    return target
