"""What an operation may be called, whoever inserts it."""

from __future__ import annotations

import psycopg
import pytest

from recant.oplog import Attribution, OperationLog
from recant.store import Database

GOOD = {"kind": "ingest", "agent": "a", "session": None, "run_id": None}


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "Bad Kind"}, {"agent": ""}, {"agent": "a" * 201}, {"session": ""}, {"session": "s" * 201}, {"run_id": ""},
        {"run_id": "r" * 251},
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_name_is_refused_by_the_database(database: str, bad: dict[str, str]) -> None:
    """By the superuser's own INSERT, and by a later UPDATE; the message names the column."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET search_path = recant, public")
        insert = """INSERT INTO operation (kind, agent, session, run_id, lineage_run_id, base_position, opened_at)
                    VALUES (%(kind)s, %(agent)s, %(session)s, %(run_id)s, gen_random_uuid(), 0, now())"""
        connection.execute(insert, GOOD)
        (column,) = bad
        with pytest.raises(psycopg.errors.CheckViolation, match=f"operation_{column}_check"):
            connection.execute(insert, GOOD | bad)
        with pytest.raises(psycopg.errors.CheckViolation, match=f"operation_{column}_check"):
            connection.execute(f"UPDATE operation SET {column} = %s", [bad[column]])


def test_the_longest_names_are_taken(database: str) -> None:
    """200 characters of agent and session, 250 of a run."""
    log = OperationLog(Database(database))
    found = log.get(log.open("ingest", Attribution("a" * 200, "s" * 200, "r" * 250)))
    assert (len(found.agent), len(found.session or ""), len(found.run_id or "")) == (200, 200, 250)
    log.database.close()
