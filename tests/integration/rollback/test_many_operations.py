"""Rollbacks of thousands of operations take time by their number, whatever the planner knows of them."""

from __future__ import annotations

import pytest

from recant.store import Database
from recant.store.database import connect_once
from tests.benchmarks.synthetic import CONTROL, control_parameters
from tests.benchmarks.synthetic_log import SyntheticLog
from tests.integration.library import Library

MANY = SyntheticLog(operations=49_600, careless=15_500)


@pytest.fixture
def long_log(library: Library, database: str) -> Library:
    """A log of thousands of operations."""
    with Database(database, role="postgres").connection() as superuser:
        MANY.fill(superuser, library.collection.id)
    return library


def say(library: Library, kind: str, operations: list[int], *, shows: bool) -> int:
    """A control operation, given up after five seconds."""
    with library.database.transaction() as connection:
        connection.execute("SET LOCAL statement_timeout = '5s'")
        row = connection.execute(CONTROL, control_parameters(kind, operations, shows=shows)).fetchone()
    return row["control_id"]


def visible(library: Library) -> int:
    with library.database.transaction() as connection:
        row = connection.execute("SELECT count(*) AS n FROM operation WHERE visible AND NOT control").fetchone()
    return row["n"]


def test_a_redo_that_statistics_do_not_know_yet_is_as_quick_as_any(long_log: Library, database: str):
    """Once compared each target with each: the planner expected one row of a control operation that is newer than the statistics."""
    careless = list(range(1, MANY.careless + 1))
    for _ in range(2):
        control = say(long_log, "rollback", careless, shows=False)
        assert visible(long_log) == MANY.operations - MANY.careless
        say(long_log, "redo", [control], shows=False)
        assert visible(long_log) == MANY.operations
        say(long_log, "rollback", careless, shows=False)
        say(long_log, "restore", careless, shows=True)
        assert visible(long_log) == MANY.operations
        with connect_once(database, autocommit=True) as superuser:
            superuser.execute("ANALYZE recant.verdict")


def test_thousands_of_dependents_are_found_at_once(long_log: Library):
    """Each once, with the first hop that leads to it; few of a family, or half of the log."""
    with long_log.database.transaction() as connection:
        connection.execute("SET LOCAL statement_timeout = '5s'")
        few, many = (
            connection.execute("SELECT * FROM dependents_of(%s)", [[operation]]).fetchall()
            for operation in (MANY.first_of_a_family, MANY.built_upon)
        )
    assert [row["operation_id"] for row in few] == list(range(MANY.first_of_a_family + 1, MANY.half + 1))
    assert [row["operation_id"] for row in many] == list(range(MANY.built_upon + 1, MANY.operations + 1))
    assert all(row["via"] < row["operation_id"] for row in few + many)
