"""Checking and rebuilding the index, and clearing away what was left behind."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from recant.errors import UsageError
from recant.monitoring import Health
from recant.monitoring.health import values
from recant.oplog import Attribution
from recant.settings import read_settings
from recant.store import Database
from recant.upkeep import Upkeep
from recant.upkeep import upkeep as rooms
from tests.integration.search.search_library import Library, Part, sign_vector


@pytest.fixture
def filled(library: Library) -> Library:
    """Sixty chunks, the first thirty superseded."""
    random = np.random.default_rng(2)
    for n in range(2):
        library.publish({f"{d}": [Part(f"{n} {d} {i}", sign_vector(random)) for i in range(3)] for d in range(10)})
    library.build_index()
    return library


def owner(library: Library) -> Database:
    """As whoever owns the tables."""
    return Database(library.database.dsn, role="recant_owner")


def test_a_sound_index_is_left_alone(filled: Library, upkeep: Upkeep) -> None:
    """Its recall is measured against exact search and kept, where monitoring finds it."""
    report = upkeep.run(queries=5)
    (check,) = report.checks
    assert (check.collection, check.recall, check.bloat) == ("knowledge", 1.0, None)
    assert 1 <= check.queries <= 5
    assert (report.rebuilt, report.aborted, report.pruned_searches, report.vacuumed, report.hints) == (
        [],
        [],
        0,
        [],
        [],
    )
    found = values(Health(filled.database, read_settings({})).metrics())
    space = check.space_id
    assert found[f'recant_vector_index_recall{{space="{space}"}}'] == 1
    assert found[f'recant_vector_index_outside{{space="{space}"}}'] == 30
    assert found[f'recant_vector_index_untended{{space="{space}"}}'] == 0
    assert report.to_dict()["indexes"][0]["taken_out"] == 30
    with pytest.raises(UsageError):
        upkeep.check_indexes(queries=0)


def test_a_damaged_index_is_found_and_built_anew(filled: Library, upkeep: Upkeep) -> None:
    """An index that misses half of what it should hold: its recall tells, and a new one finds all."""
    space = filled.corpus.collection("knowledge").space_id
    with owner(filled) as database, database.transaction() as connection:
        connection.execute("ALTER TABLE embedding DISABLE TRIGGER USER")
        connection.execute(f"DROP INDEX embedding_vector_{space}")
        connection.execute("UPDATE embedding SET indexed = false WHERE id % 2 = 0")
        connection.execute("SELECT build_vector_index(%s)", [space])
    (check,) = upkeep.check_indexes(queries=10)
    assert check.recall < 0.9
    assert upkeep.mend_indexes([check]) == [space]
    with owner(filled) as database, database.transaction() as connection:
        connection.execute("UPDATE embedding SET indexed = true")
    assert upkeep.rebuild_indexes() == [space]
    assert upkeep.rebuild_indexes([]) == []
    assert upkeep.check_indexes(queries=10)[0].recall == 1.0


def test_an_interrupted_rebuild_leaves_nothing(filled: Library, upkeep: Upkeep) -> None:
    """The invalid index that a killed REINDEX CONCURRENTLY left is dropped by the next rebuild."""
    space = filled.corpus.collection("knowledge").space_id
    left = "SELECT count(*) AS n FROM pg_class WHERE relname LIKE 'embedding_vector_%%_cc%%'"
    with owner(filled) as database, database.transaction() as connection:
        connection.execute(f"CREATE INDEX embedding_vector_{space}_ccnew ON embedding (id) WHERE indexed")
    with Database(filled.database.dsn, role="postgres") as database, database.transaction() as connection:
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)",
            [f"recant.embedding_vector_{space}_ccnew"],
        )
        assert connection.execute(left).fetchone() == {"n": 1}
    upkeep.rebuild_indexes()
    with filled.database.transaction() as connection:
        assert connection.execute(left).fetchone() == {"n": 0}


def test_what_was_left_behind_is_aborted(filled: Library, upkeep: Upkeep) -> None:
    """An operation whose lease has run out; one that is being written stays, and so does what is held."""
    gone = filled.log.open("ingest", Attribution("a"), collection="knowledge", lease_seconds=0.0)
    stays = filled.log.open("ingest", Attribution("a"), collection="knowledge")
    assert upkeep.run(queries=1).aborted == [gone]
    assert (filled.log.get(gone).state, filled.log.get(stays).state) == ("aborted", "open")


def test_searches_of_long_ago_are_forgotten(filled: Library, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that nobody can be asked about any more, with what they showed; in shares, as many as there are."""
    monkeypatch.setattr(rooms, "PRUNE_AT_ONCE", 2)
    vector = sign_vector(np.random.default_rng(1))
    old = datetime.now(UTC) - timedelta(days=100)

    def search(session: str, times: int = 1) -> None:
        for _ in range(times):
            filled.search(vector, session=session, limit=2)

    search("gone", 5)
    search("taken")
    operation = filled.open(session="taken")
    filled.write(operation, {"taken": [Part("taken", vector)]})
    filled.log.publish(operation)
    search("writing")
    open_operation = filled.open(session="writing")
    with owner(filled) as database, database.transaction() as connection:
        connection.execute("INSERT INTO session (name, agent, mode, opened_at) VALUES ('opened', 'a', 'normal', now())")
    search("opened")
    with owner(filled) as database, database.transaction() as connection:
        connection.execute("UPDATE session_search SET searched_at = %s", [old])
    search("today")
    assert upkeep.prune_searches() == 5

    def left() -> Counter[str]:
        with filled.database.transaction() as connection:
            rows = connection.execute(
                "SELECT s.session FROM session_search s JOIN session_read r ON r.search_id = s.id"
            ).fetchall()
        return Counter(row["session"] for row in rows)

    assert left() == {"taken": 2, "writing": 2, "opened": 2, "today": 2}
    with owner(filled) as database, database.transaction() as connection:
        connection.execute("UPDATE operation SET closed_at = %s WHERE id = %s", [old, operation])
    filled.log.abort(open_operation, "never mind")
    assert upkeep.prune_searches() == 2
    assert upkeep.prune_searches(older_than_days=0) == 1
    assert left() == {"opened": 2}
    forever = Upkeep(filled.database, read_settings({"RECANT_RETENTION_DAYS": "forever"}))
    assert forever.prune_searches() == 0


def test_dead_rows_are_vacuumed_or_hinted_at(filled: Library, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that upkeep may vacuum are; of the others it says so."""
    monkeypatch.setattr(rooms, "LEAST_DEAD", 0)
    monkeypatch.setattr(rooms, "DEAD_SHARE", 0.0)
    with owner(filled) as database, database.connection() as connection:
        connection.execute("UPDATE chunk SET token_count = token_count + 1")
        connection.execute("UPDATE collection SET created_at = now()")
        connection.execute("SELECT pg_stat_force_next_flush()")
    vacuumed, hints = upkeep.vacuum()
    assert "chunk" in vacuumed
    assert any(hint.startswith("VACUUM recant.collection") for hint in hints)
