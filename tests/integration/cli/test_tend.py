"""`tend`: each step and all of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from recant.oplog import Attribution
from recant.search import nearest
from recant.store import Database
from tests.integration.cli.command_line import Run
from tests.integration.search.search_library import Library, Part, sign_vector


@pytest.fixture
def written(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """Two operations, the second over the first; an index that is asked however small it is."""
    monkeypatch.setattr(nearest, "EXACT_BELOW", 0)
    random = np.random.default_rng(4)
    with Database(database) as opened:
        library = Library(opened)
        for n in range(2):
            library.publish({f"{d}": [Part(f"{n} {d}", sign_vector(random))] for d in range(10)})
        yield library


def test_tending(recant: Run, written: Library) -> None:
    """Says what it did; a second time there is nothing to do."""
    assert "no vector index yet" in recant("tend", "index").out
    assert "so nothing is missed" in recant("tend", "check").out
    written.build_index()
    gone = written.log.open("ingest", Attribution("a"), collection="knowledge", lease_seconds=0.0)
    first = recant("tend", "all", "--queries", "3", "--json").document
    assert [k["collection"] for k in first["keywords"]] == ["knowledge"]
    again = recant("tend", "keywords", "--json").document["keywords"]
    assert (first["keywords"][0]["indexed"], again[0]["indexed"]) == (20, 0)
    assert "segments" in recant("tend", "keywords").out
    assert (first["indexes"][0]["taken_out"], first["checks"][0]["recall"], first["aborted"]) == (10, 1.0, [gone])
    second = recant("tend", "index", "--json").document
    assert (second["indexes"][0]["taken_out"], second["indexes"][0]["outside"], second["rebuilt"]) == (0, 10, [])
    assert recant("tend", "index", "--rebuild", "--json").document["rebuilt"] == [first["indexes"][0]["space_id"]]
    assert "Built anew" in recant("tend", "index", "--rebuild").out
    assert recant("tend", "check", "--json").document["checks"][0]["recall"] == 1.0
    assert "1.0000" in recant("tend", "check").out
    shown = recant("tend", "all", "--queries", "1").out
    assert "taken out" in shown
    assert "0 searches of sessions were forgotten." in shown


def test_old_searches(recant: Run, written: Library) -> None:
    """Are forgotten by their age."""
    written.search(sign_vector(np.random.default_rng(1)), session="s")
    assert recant("tend", "searches").out == "0 searches of sessions were forgotten.\n"
    assert recant("tend", "searches", "--older-than", "0", "--json").document == {"pruned_searches": 1}
