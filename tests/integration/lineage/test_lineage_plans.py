"""How questions of lineage are answered in a long log: by indexes, whatever is in the rest of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from recant.lineage import Start
from recant.lineage.question import Question, ask
from recant.lineage.runs import trace_operations
from recant.settings import read_settings
from recant.store import Database
from tests.benchmarks.bench_lineage_graph import add_datasets
from tests.benchmarks.synthetic_log import FAMILY, SyntheticLog
from tests.integration.library import Library

LOG = SyntheticLog(operations=12_400, careless=1_000)
STARTS = (
    Start(operation=LOG.first_of_a_family),
    Start(position=LOG.first_of_a_family),
    Start(run=f"scheduled__{LOG.first_of_a_family}"),
    Start(document=f"/log/{LOG.first_of_a_family}"),
)
LONG = {"operation", "dependency", "operation_dataset", "visibility_history", "version", "record"}
SEARCHES = (
    "SET session_replication_role = replica",
    """INSERT INTO session_search (id, session, agent, collection_id, position, searched_at, operation_id) OVERRIDING SYSTEM VALUE
       SELECT o.id, o.session, o.agent, o.collection_id, o.position - 1, now(), o.id FROM operation o WHERE o.id > 400""",
    """INSERT INTO session_read (search_id, operation_id, record_id, rank)
       SELECT s.id, s.id - 400 + n, s.id - 400 + n, n FROM session_search s, generate_series(1, 3) n""",
    "SET session_replication_role = origin",
    "VACUUM ANALYZE session_search, session_read",
)
"""Every operation took a search that showed three of some four hundred operations earlier."""


@pytest.fixture
def long_log(library: Library, database: str) -> Library:
    """Thousands of operations of a hundred DAGs, with their datasets."""
    with Database(database, role="postgres").connection() as superuser:
        LOG.fill(superuser, library.collection.id)
        add_datasets(superuser, library.name)
    return library


@pytest.fixture
def asked(long_log: Library, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How every query was carried out that is asked from here on."""
    plans: list[dict[str, Any]] = []
    run = Question.run

    def planned(self: Question, statement: Any, /, **given: Any) -> Any:
        told = self.connection.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) " + statement, {"position": self.position, "now": self.now, **given}
        ).fetchone()
        assert told is not None
        plans.append(told["QUERY PLAN"][0]["Plan"] | {"asked": statement.partition("\n")[0]})
        return run(self, statement, **given)

    monkeypatch.setattr(Question, "run", planned)
    return plans


def scans(plan: dict[str, Any]) -> Iterator[str]:
    """Tables that were read from end to end."""
    if plan["Node Type"] == "Seq Scan" and plan["Actual Loops"]:
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scans(part)


@pytest.mark.parametrize("as_of", [None, LOG.half], ids=["now", "earlier"])
def test_a_trace_reads_only_what_it_shows(long_log: Library, asked: list[dict[str, Any]], as_of: int | None):
    """No long table is read from end to end, from wherever it starts, up or down; each hop is one query."""
    for start in STARTS:
        for direction in ("down", "up"):
            asked.clear()
            with long_log.database.snapshot() as connection:
                found = trace_operations(ask(connection, read_settings({}), as_of), start, direction, None, 1_000)
            least = 1 if direction == "up" else 100 if start.document else FAMILY
            assert least <= len(found.operations) <= (1 if direction == "up" else FAMILY)
            assert len(asked) <= max(abs(node.distance) for node in found.operations) + 7
            assert not {(plan["asked"], table) for plan in asked for table in scans(plan) if table in LONG}


def test_reads_are_found_by_their_indexes(long_log: Library, database: str, asked: list[dict[str, Any]]):
    """Who was shown any of what is downstream: by no scan of what all sessions were ever shown."""
    with Database(database, role="postgres").connection() as superuser:
        superuser.execute("SET search_path = recant, public")
        for statement in SEARCHES:
            superuser.execute(statement)
    for direction in ("down", "up"):
        asked.clear()
        with long_log.database.snapshot() as connection:
            start = Start(operation=LOG.first_of_a_family)
            found = trace_operations(ask(connection, read_settings({}), None), start, direction, None, 1_000)
        possible = [node for node in found.operations if node.certainty == "possible"]
        assert len(possible) >= (FAMILY if direction == "down" else 3)
        assert not {
            (plan["asked"], table)
            for plan in asked
            for table in scans(plan)
            if table in LONG | {"session_search", "session_read"}
        }


def test_a_family_is_found_whole(long_log: Library):
    """Every one of it, over all its hops, and nobody else; by job all of them are counted."""
    from recant.lineage.answers import Lineage

    lineage = Lineage(long_log.database, read_settings({}))
    start = Start(operation=LOG.first_of_a_family)
    found = sorted(node.operation_id for node in lineage.downstream(start).operations)
    assert found == list(range(LOG.first_of_a_family, LOG.first_of_a_family + FAMILY))
    assert sum(job.runs for job in lineage.jobs(start, direction="down").jobs) == FAMILY
    many = lineage.downstream(Start(operation=LOG.built_upon))
    assert many.truncated
    assert len(many.operations) == 1_000
