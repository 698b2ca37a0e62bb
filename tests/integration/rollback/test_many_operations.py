"""Rollbacks of thousands of operations take time by their number, whatever the planner knows of them."""

from __future__ import annotations

import pytest

from recant.errors import HasDependents
from recant.oplog import Attribution, Selector
from recant.rollback import verify_log
from recant.rollback.rendering import MAX_ROWS, plan_markdown
from recant.rollback.targets import MOST_NAMED
from recant.store import Database
from recant.store.database import connect_once
from tests.benchmarks.synthetic import CONTROL, control_parameters
from tests.benchmarks.synthetic_log import CARELESS, SyntheticLog
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
            connection.execute("SELECT * FROM dependents_of(%s, NULL)", [[operation]]).fetchone()
            for operation in (MANY.first_of_a_family, MANY.built_upon)
        )
    assert few["ids"] == list(range(MANY.first_of_a_family + 1, MANY.half + 1))
    assert many["ids"] == list(range(MANY.built_upon + 1, MANY.operations + 1))
    hops = [*zip(few["ids"], few["vias"], strict=True), *zip(many["ids"], many["vias"], strict=True)]
    assert all(via < operation for operation, via in hops)


def test_of_many_operations_a_plan_describes_the_first_and_counts_all(long_log: Library):
    """Every id is in it; whose they are is told of all; the certificate and the redo are about all."""
    plan = long_log.rollback.plan(Selector(agents=(CARELESS,)), policy="force", agent="tester")
    radius = plan.blast_radius
    assert (len(plan.withdraw), len(radius["operations"])) == (MANY.careless, MOST_NAMED)
    assert radius["counts"] == {"selected": MANY.careless, "definite": 0, "possible": 0}
    assert (radius["agents"], len(radius["sessions"])) == ([CARELESS], len({n // 10 for n in plan.withdraw}))
    assert [o["operation_id"] for o in radius["operations"]] == list(plan.withdraw[:MOST_NAMED])
    assert f"and {MANY.careless - MAX_ROWS} more" in plan_markdown(plan.to_dict())
    report = long_log.rollback.run(plan, Attribution("tester"))
    assert report.certificate.verified
    assert report.certificate.kinds["document"]["after"] == MANY.operations - MANY.careless
    again = long_log.rollback.redo(report.rollback_operation_id, Attribution("tester"))
    assert again.certificate.verified
    assert visible(long_log) == MANY.operations


def test_half_a_log_of_dependents_is_counted_and_cascaded(long_log: Library):
    """The refusal names the first; a cascade takes all of them."""
    selector, half = Selector(operations=(MANY.built_upon,)), MANY.operations - MANY.half
    with pytest.raises(HasDependents, match=f"{half - 1} operations were built"):
        long_log.rollback.plan(selector, agent="tester")
    plan = long_log.rollback.plan(selector, policy="cascade", agent="tester")
    assert len(plan.withdraw) == half
    assert plan.blast_radius["counts"] == {"selected": 1, "definite": half - 1, "possible": 0}
    assert len(plan.blast_radius["operations"]) == 1 + MOST_NAMED
    assert plan.records == {"document": half}


@pytest.mark.parametrize("later", [False, True])
def test_what_is_redone_is_what_the_verdicts_say(long_log: Library, later: bool):
    """Whether the control operation was the last one, which is told at once, or another came after it."""
    first = say(long_log, "rollback", [1, 2], shows=False)
    second = say(long_log, "quarantine", [2, 3], shows=False)
    if later:
        say(long_log, "rollback", [MANY.operations], shows=False)
    redone = say(long_log, "redo", [second], shows=False)
    gone = 1 if later else 0
    assert visible(long_log) == MANY.operations - 2 - gone
    say(long_log, "redo", [redone], shows=False)
    assert visible(long_log) == MANY.operations - 3 - gone
    say(long_log, "redo", [first], shows=False)
    assert visible(long_log) == MANY.operations - 2 - gone
    checks = {check.name: check.ok for check in verify_log(long_log.database).checks}
    assert checks["verdicts"]
    assert checks["visibility history"]
    assert checks["replay"]
