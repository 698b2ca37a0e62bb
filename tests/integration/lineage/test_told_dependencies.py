"""What an operation was built on is in its events, however much it is; and how much was delivered is known without reading it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from recant.lineage import Deliveries, Start, lineage_status
from recant.lineage.relay import deliver_pending
from recant.oplog import Attribution, OperationLog
from recant.settings import Settings
from recant.store import Database, load
from tests.benchmarks.synthetic_log import SyntheticLog
from tests.integration.library import Library
from tests.integration.lineage.lineage_collector import Collector
from tests.integration.lineage.lineage_histories import lineage_of, publish
from tests.integration.lineage.lineage_writers import lines, publish_ingest
from tests.integration.lineage.retold import events_of, tell, ties
from tests.integration.lineage.test_lineage_answers import show
from tests.openlineage_reader import read_event

MANY = 2_500


def built_on(event: dict[str, Any]) -> dict[str, Any] | None:
    """The facet."""
    return event["run"]["facets"].get("recant_dependencies")  # type: ignore[no-any-return]


def test_the_end_of_a_run_says_what_it_was_built_on(library: Library) -> None:
    """Operation, run, class and how many records, definite ones first; what merely was shown to its session is possible."""
    first = publish(library, {"a": "one", "b": "two"})
    other = publish(library, {"c": "three"})
    show(library, "s", other, "c")
    by = Attribution("reader", "s")
    last = publish(library, {"d": "four"}, {"a": "derived", "b": "affirmed"}, by=by)
    start, end = events_of(library.database)[-2:]
    assert built_on(start) is None
    runs = {operation: library.log.get(operation).lineage_run_id for operation in (first, other, last)}
    sure = {"operation_id": first, "run_id": runs[first], "records": 1, "certainty": "definite"}
    shown = {"operation_id": other, "run_id": runs[other], "records": 1, "certainty": "possible"}
    facet = built_on(end)
    assert facet is not None
    assert (facet["first"], facet["total"]) == (1, 3)
    assert facet["built_on"] == [sure | {"class": "affirmed"}, sure | {"class": "derived"}, shown | {"class": "read"}]


def test_what_was_given_up_is_not_said_to_be_built_on_anything(library: Library) -> None:
    """Nobody saw it, and what it was made from is forgotten."""
    publish(library, {"a": "one"})
    operation = library.open()
    library.build_on(operation, "a", "derived")
    library.log.abort(operation, "called off")
    assert [built_on(event) for event in events_of(library.database)] == [None] * 4


@pytest.fixture
def built_on_many(library: Library, database: str) -> tuple[Library, int]:
    """One operation that was built on thousands."""
    with Database(database, role="postgres").connection() as superuser:
        SyntheticLog(operations=MANY, careless=1).fill(superuser, library.collection.id)
        operation = library.open()
        library.write(operation, {"all of it": "a summary"})
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(
            "INSERT INTO recant.dependency (operation_id, batch_id, input_operation_id, input_version_id, class) "
            "SELECT %s, 1, n, n, 'derived' FROM generate_series(1, %s) n",
            [operation, MANY],
        )
    library.log.publish(operation)
    return library, operation


def test_thousands_are_told_in_parts_before_the_end(built_on_many: tuple[Library, int], settings: Settings) -> None:
    """A thousand an event, each valid, in order, none twice; together they are what the log has, however late they are told."""
    library, operation = built_on_many
    assert deliver_pending(library.database, settings) == {"file": 4}
    events = lines(settings)
    assert [event["eventType"] for event in events] == ["START", "RUNNING", "RUNNING", "COMPLETE"]
    assert all(read_event(event) for event in events)
    times = [event["eventTime"] for event in events]
    assert times == sorted({*times})
    facets = [built_on(event) or {} for event in events[1:]]
    assert [(f["first"], len(f["built_on"]), f["total"]) for f in facets] == [
        (1, 1000, MANY),
        (1001, 1000, MANY),
        (2001, 500, MANY),
    ]
    assert [each["operation_id"] for f in facets for each in f["built_on"]] == list(range(1, MANY + 1))
    assert {event["run"]["facets"]["recant_operation"]["state"] for event in events[:3]} == {"open"}
    assert [json.loads(line) for line in Deliveries(library.database, settings).export()] == events
    nearest = lineage_of(library).upstream(Start(operation=operation), depth=1, limit=10_000)
    assert {n.operation_id for n in nearest.operations} == {operation, *range(1, MANY + 1)}


def test_an_end_that_no_part_went_before_tells_all(built_on_many: tuple[Library, int], database: str) -> None:
    """Of operations that were published before there were parts."""
    library, operation = built_on_many
    with Database(database, role="postgres").connection() as superuser:
        superuser.execute("DELETE FROM recant.lineage_event WHERE event_type = 'RUNNING'")
    _, end = events_of(library.database)
    assert len((built_on(end) or {})["built_on"]) == MANY
    facet = end["run"]["facets"]["recant_operation"]
    assert facet["operation_id"] == operation


def test_the_graph_of_a_delivered_history_is_the_logs(library: Library, settings: Settings) -> None:
    """From the file alone: what was built on what, over several hops."""
    first = publish(library, {"a": "one"})
    second = publish(library, {"b": "from a"}, {"a": "derived"})
    third = publish(library, {"c": "from b"}, {"b": "cited"})
    deliver_pending(library.database, settings)
    known = ties(tell(lines(settings)))
    assert known.closure(first, upstream=False, position=3) == ({first: 0, second: 1, third: 2}, {})


def plan_of(log: OperationLog, query: str) -> str:
    """How the status is found, as text."""
    statement = load("recant.lineage", "lineage.sql")[query]
    with log.database.transaction() as connection:
        rows = connection.execute("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, FORMAT JSON) " + statement).fetchall()
    return json.dumps(rows[0]["QUERY PLAN"])


def rows_read(plan: Any) -> int:
    """Rows of lineage_delivery that were looked at."""
    if isinstance(plan, list):
        return sum(map(rows_read, plan))
    if not isinstance(plan, dict):
        return 0
    own = plan.get("Relation Name") == "lineage_delivery"
    rows = int(plan.get("Actual Rows", 0) + plan.get("Rows Removed by Filter", 0)) * int(plan.get("Actual Loops", 0))
    return (rows if own else 0) + sum(rows_read(part) for part in plan.values() if isinstance(part, list | dict))


def test_the_status_reads_nothing_that_was_delivered(log: OperationLog, settings: Settings, database: str) -> None:
    """With tens of thousands of events delivered it looks at the few that are owed, and still says how many went."""
    publish_ingest(log, settings)
    deliver_pending(log.database, settings)
    with Database(database, role="postgres").connection() as superuser:
        superuser.execute("SET search_path = recant, public")
        superuser.execute(
            "INSERT INTO operation (kind, agent, lineage_run_id, base_position, opened_at) "
            "SELECT 'ingest', 'x', gen_random_uuid(), 0, now() FROM generate_series(1, 20000)"
        )
        superuser.execute(
            "INSERT INTO lineage_event (operation_id, event_type, event_time) "
            "SELECT id, 'START', now() FROM operation WHERE agent = 'x'"
        )
        superuser.execute(
            "INSERT INTO lineage_delivery (destination, event_id) SELECT 'file', e.id FROM lineage_event e "
            "ON CONFLICT DO NOTHING"
        )
        superuser.execute(
            "UPDATE lineage_delivery SET state = 'delivered', delivered_at = now() WHERE state = 'pending'"
        )
        superuser.execute(
            "UPDATE lineage_delivery SET state = 'dead', error = 'no' "
            "WHERE event_id IN (SELECT max(event_id) FROM lineage_delivery)"
        )
        superuser.execute("VACUUM ANALYZE lineage_delivery, lineage_event, lineage_tally")
    publish_ingest(log, settings)
    (status,) = lineage_status(log.database)
    assert (status["delivered"], status["pending"], status["dead"]) == (20_001, 2, 1)
    assert status["last_error"] == "no"
    assert rows_read(json.loads(plan_of(log, "lineage_status"))) <= 20


def test_what_was_delivered_is_counted_through_every_turn(log: OperationLog, settings: Settings) -> None:
    """Delivered, owed anew, refused, by two destinations at once: the count is that of the rows."""

    def counted() -> dict[str, int]:
        with log.database.snapshot() as connection:
            rows = connection.execute(
                "SELECT destination, count(*) FILTER (WHERE state = 'delivered') AS n FROM lineage_delivery GROUP BY 1"
            ).fetchall()
        assert {row["destination"]: row["n"] for row in rows} == {
            str(row["destination"]): row["delivered"] for row in lineage_status(log.database)
        }
        return {row["destination"]: row["n"] for row in rows}

    operations = [publish_ingest(log, settings) for _ in range(4)]
    refused = {operations[0]}

    def answer(event: dict[str, Any], attempt: int) -> int:
        return 422 if event["run"]["facets"]["recant_operation"]["operation_id"] in refused else 201

    with Collector(answer) as collector:
        both = replace(settings, marquez_url=collector.url)
        deliver_pending(log.database, both)
        assert counted() == {"file": 8, "marquez": 6}
        refused.clear()
        known = Deliveries(log.database, both)
        assert known.replay(dead=True) == {"marquez": 2}
        deliver_pending(log.database, both)
        assert counted() == {"file": 8, "marquez": 8}
        known.replay(everything=True)
        assert counted() == {"file": 0, "marquez": 0}
        deliver_pending(log.database, both)
        assert counted() == {"file": 8, "marquez": 8}
