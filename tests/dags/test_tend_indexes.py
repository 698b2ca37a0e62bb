"""tend_indexes: withdrawn vectors leave the index, what a redo brings back enters it, and searches stay the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from recant.search import nearest
from recant.store import Database
from tests.integration.search.search_library import Library, Part, sign_vector

pytestmark = pytest.mark.airflow


@pytest.fixture
def library(installation: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """Thirty chunks and an index, in the database that the tasks work on; small as it is, it is searched by the index."""
    monkeypatch.setattr(nearest, "EXACT_BELOW", 0)
    random = np.random.default_rng(4)
    with Database(installation) as database:
        library = Library(database)
        for n in range(3):
            library.publish({f"{n}-{d}": [Part(f"{n} {d}", sign_vector(random))] for d in range(10)})
        library.build_index()
        yield library


def test_the_index_follows_what_is_seen(run_dag, library: Library):
    """Out with a rollback, back with a redo; what was left behind is aborted; the reports are the tasks' XComs."""
    vector = sign_vector(np.random.default_rng(9))
    before = [hit.chunk_id for hit in library.search(vector).hits]
    left_behind = library.log.open("ingest", attribution(), collection="knowledge", lease_seconds=0.0)
    undone = library.control("rollback", {2: False})
    run = run_dag("tend_indexes", {"queries": 3, "retention_days": 0})
    assert (run.state, run.xcom("abort_abandoned")) == ("success", {"aborted": [left_behind]})
    (tended,) = run.xcom("tend_vectors")["indexes"]
    assert (tended["taken_out"], tended["put_back"], tended["outside"]) == (10, 0, 10)
    assert [check["recall"] for check in run.xcom("check_recall")["checks"]] == [1.0]
    assert [k["collection"] for k in run.xcom("tend_keywords")["keywords"]] == ["knowledge"]
    assert run.xcom("clear") == {"pruned_searches": 0, "vacuumed": [], "hints": []}
    without = [hit.chunk_id for hit in library.search(vector).hits]
    library.control("redo", {undone: False})
    assert [hit.chunk_id for hit in library.search(vector).hits] == before != without
    (tended,) = run_dag("tend_indexes", {}).xcom("tend_vectors")["indexes"]
    assert (tended["taken_out"], tended["put_back"], tended["outside"]) == (0, 10, 0)
    assert [hit.chunk_id for hit in library.search(vector).hits] == before


def attribution():
    """Somebody who is gone."""
    from recant.oplog import Attribution

    return Attribution("somebody")
