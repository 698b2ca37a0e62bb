"""Receivers that come, go and change; events that are set aside, delivered again, or written to a file."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from recant.errors import UsageError
from recant.lineage import Deliveries, lineage_status
from recant.lineage import courier as courier_module
from recant.lineage.destinations import MarquezDestination
from recant.lineage.outbox import Outbox, attach_destination, detach_destinations
from recant.lineage.relay import OWN_MARQUEZ, Relay, deliver_pending, destinations_of
from recant.oplog import Attribution, OperationLog
from recant.settings import Settings
from tests.integration.lineage.lineage_collector import Collector
from tests.integration.lineage.lineage_writers import lines, open_ingest, publish_ingest, running, told, wait_until


@pytest.fixture
def deliveries(log: OperationLog, settings: Settings) -> Deliveries:
    """What became of this log's events."""
    return Deliveries(log.database, settings)


def marquez(settings: Settings, collector: Collector) -> Settings:
    """Settings under which this collector is Marquez."""
    return replace(settings, marquez_url=collector.url)


def due_now(log: OperationLog) -> None:
    """Makes what was postponed due, as if its pause were over."""
    with log.database.transaction() as connection:
        connection.execute("UPDATE lineage_delivery SET next_attempt_at = now() WHERE state = 'pending'")


def by_name(log: OperationLog) -> dict[str, dict[str, Any]]:
    """The status, by destination."""
    return {str(row["destination"]): row for row in lineage_status(log.database)}


@contextmanager
def unfinished(database: str) -> Iterator[psycopg.Connection]:
    """A writer's transaction that is still open."""
    with psycopg.connect(database) as connection:
        connection.execute("SET search_path = recant, public")
        yield connection


def test_another_marquez_is_given_the_whole_history(log: OperationLog, settings: Settings) -> None:
    """Delivery is noted for each receiver: at another address nothing counts as delivered, and the first one's notes stay."""
    publish_ingest(log, settings)
    with Collector() as first, Collector() as second:
        deliver_pending(log.database, marquez(settings, first))
        assert deliver_pending(log.database, marquez(settings, second))["marquez-2"] == 2
        assert [*first.runs.values()] == [*second.runs.values()] == [["START", "COMPLETE"]]
        assert deliver_pending(log.database, marquez(settings, first))["marquez"] == 0
        assert by_name(log)["marquez-2"]["address"] == second.url


def test_a_marquez_from_before_there_were_addresses_is_known_again(log: OperationLog, settings: Settings) -> None:
    """An installation that was upgraded doesn't deliver its whole history anew."""
    publish_ingest(log, settings)
    attach_destination(log.database, "marquez", None)
    Outbox(log.database, "marquez").fill()
    with Collector() as collector:
        assert deliver_pending(log.database, marquez(settings, collector))["marquez"] == 2
        assert by_name(log)["marquez"]["address"] == collector.url


def test_its_own_marquez_is_the_same_at_any_port(settings: Settings, log: OperationLog) -> None:
    """What `recant up` runs from a jar is known by what it is, not by the port it has today."""
    jar = settings.home / "marquez.jar"
    addresses = []
    for port in (5000, 5001):
        (_, own) = destinations_of(replace(settings, marquez_jar=jar, marquez_url=f"http://127.0.0.1:{port}"))
        addresses.append(attach_destination(log.database, own.name, own.identity))
        own.close()
    assert addresses == ["marquez", "marquez"]
    assert by_name(log)["marquez"]["address"] == OWN_MARQUEZ


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
        ("HTTP://Me:pass@Marquez:5000/api/v1/lineage", "http://marquez:5000"),
        ("https://host/Under/A/path", "https://host/Under/A/path"),
        ("me:pass@marquez:5000", "marquez:5000"),
    ],
)
def test_an_address_is_kept_without_user_and_password(url: str, identity: str) -> None:
    """What the status shows, and a receiver is known by, opens nothing."""
    destination = MarquezDestination(url)
    destination.close()
    assert destination.identity == identity


def test_one_that_was_detached_gets_what_it_missed(log: OperationLog, settings: Settings) -> None:
    """While Marquez isn't configured nothing is put down for it; attached again it is given what happened meanwhile."""
    with Collector() as collector:
        publish_ingest(log, settings)
        deliver_pending(log.database, marquez(settings, collector))
        with running(Relay(log.database, settings)):
            wait_until(lambda: not by_name(log)["marquez"]["attached"])
            publish_ingest(log, settings)
            wait_until(lambda: len(lines(settings)) == 4)
        assert by_name(log)["marquez"]["pending"] == 0
        assert deliver_pending(log.database, marquez(settings, collector))["marquez"] == 2
        assert len(collector.runs) == 2


def test_attaching_waits_for_no_writer_and_no_writer_for_it(
    log: OperationLog, settings: Settings, database: str
) -> None:
    """A transaction that emitted and isn't over delays nobody: what it wrote is put down once it is."""
    with unfinished(database) as writer:
        writer.execute("SELECT ensure_collection('other', 'test-model', 'digest', 3, true)")
        writer.execute(
            """SELECT open_operation('ingest', 'bob', NULL, NULL, gen_random_uuid(), 'other', '', '{}', '{}', '[]',
                                     false, 60, NULL)"""
        )
        attach_destination(log.database, "late", None)
        outbox = Outbox(log.database, "late")
        assert not outbox.fill()
        publish_ingest(log, settings)
        assert not outbox.fill()
        assert by_name(log)["late"]["pending"] == 2
        writer.commit()
    assert outbox.fill()
    assert by_name(log)["late"]["pending"] == 3
    assert by_name(log)["late"]["filled"]


def test_a_writer_that_began_while_it_was_attached_is_waited_for(
    log: OperationLog, settings: Settings, database: str
) -> None:
    """Its transaction is younger than the one that attaches, and wrote before that was committed: not forgotten either."""
    with unfinished(database) as attaching, unfinished(database) as writer:
        attaching.execute("SELECT attach_lineage_destination('late', NULL)")
        writer.execute(
            """SELECT open_operation('ingest', 'bob', NULL, NULL, gen_random_uuid(), 'docs', '', '{}', '{}', '[]',
                                     false, 60, NULL)"""
        )
        attaching.commit()
        outbox = Outbox(log.database, "late")
        assert not outbox.fill()
        assert not outbox.fill()
        writer.commit()
    assert outbox.fill()
    assert by_name(log)["late"]["pending"] == 1


def test_an_end_waits_for_a_start_that_is_not_put_down_yet(
    log: OperationLog, settings: Settings, database: str
) -> None:
    """Attached between a START and its COMPLETE, a destination isn't sent the COMPLETE first."""
    attach_destination(log.database, "late", None)
    operation = publish_ingest(log, settings)
    with psycopg.connect(database, autocommit=True) as administrator:
        administrator.execute(
            """DELETE FROM recant.lineage_delivery WHERE event_id =
               (SELECT id FROM recant.lineage_event WHERE operation_id = %s AND event_type = 'START')""",
            [operation],
        )
    assert Outbox(log.database, "late").due(10) == ([], [])
    Outbox(log.database, "late").fill()
    assert [delivery.operation_id for delivery in Outbox(log.database, "late").due(10)[0]] == [operation] * 2


def test_several_connections_send_at_once_and_in_order(log: OperationLog, settings: Settings) -> None:
    """Four events are on their way at a time; START comes before its end, and the ends of a job as they happened."""
    operations = [publish_ingest(log, settings) for _ in range(12)]
    arrived, four_at_once = threading.Semaphore(0), threading.Event()

    def answer(event: dict[str, Any], attempt: int) -> int:
        if told([event]) != [(operations[0], "START")]:  # the first goes alone
            arrived.release()
            assert four_at_once.wait(30)
        return 201

    def watch() -> None:
        for _ in range(4):
            arrived.acquire(timeout=30)
        four_at_once.set()

    threading.Thread(target=watch, daemon=True).start()
    with Collector(answer) as collector:
        assert deliver_pending(log.database, marquez(settings, collector))["marquez"] == 24
        assert four_at_once.is_set()
        assert set(map(tuple, collector.runs.values())) == {("START", "COMPLETE")}
        assert [operation for operation, kind in told(collector.events) if kind == "COMPLETE"] == operations


def test_an_event_that_always_fails_is_set_aside(log: OperationLog, settings: Settings, deliveries: Deliveries) -> None:
    """500 to one event while others are taken: after a dozen attempts it is dead with the reason, and its run goes on."""
    bad = publish_ingest(log, settings)

    def answer(event: dict[str, Any], attempt: int) -> int:
        return 500 if told([event]) == [(bad, "START")] else 201

    with Collector(answer) as collector:
        for _ in range(courier_module.GIVE_UP_AFTER_ATTEMPTS):
            publish_ingest(log, settings)
            deliver_pending(log.database, marquez(settings, collector))
            due_now(log)
        (dead,) = deliveries.dead()
        assert (dead["operation_id"], dead["event_type"], dead["attempts"]) == (bad, "START", 12)
        assert str(dead["error"]).startswith("given up after 12 attempts: 500")
        assert (bad, "COMPLETE") not in told(collector.events)
        deliver_pending(log.database, marquez(settings, collector))
        assert (bad, "COMPLETE") in told(collector.events)


def test_nothing_is_given_up_while_nothing_is_taken(log: OperationLog, settings: Settings) -> None:
    """A Marquez that answers 500 to everything, however often, makes no event dead."""
    publish_ingest(log, settings)
    with Collector(lambda event, attempt: 500) as collector:
        for _ in range(courier_module.GIVE_UP_AFTER_ATTEMPTS + 2):
            deliver_pending(log.database, marquez(settings, collector))
            due_now(log)
    assert (by_name(log)["marquez"]["dead"], by_name(log)["marquez"]["pending"]) == (0, 2)
    assert by_name(log)["marquez"]["failing"] == 1


def test_what_was_set_aside_can_be_delivered_again(
    log: OperationLog, settings: Settings, deliveries: Deliveries
) -> None:
    """`replay` of the dead ones makes them owed once more, those and no others; the relay is told."""
    publish_ingest(log, settings)
    with Collector(lambda event, attempt: 422 if event["eventType"] == "START" and attempt == 1 else 201) as collector:
        deliver_pending(log.database, marquez(settings, collector))
        assert [row["event_type"] for row in deliveries.dead()] == ["START"]
        assert deliveries.replay(dead=True) == {"marquez": 1}
        assert deliveries.dead() == []
        assert deliver_pending(log.database, marquez(settings, collector)) == {"file": 0, "marquez": 1}


def test_a_run_or_an_operation_can_be_delivered_again(
    log: OperationLog, settings: Settings, deliveries: Deliveries
) -> None:
    """By its writer's run id, by OpenLineage's, or by the operation; to one destination or to each."""
    named = publish_ingest(log, settings, attribution=Attribution("alice", run_id="nightly"))
    publish_ingest(log, settings, attribution=Attribution("bob", run_id="other"))
    with Collector() as collector:
        deliver_pending(log.database, marquez(settings, collector))
        assert deliveries.replay(run="nightly") == {"file": 2, "marquez": 2}
        assert deliveries.replay(run=log.get(named).lineage_run_id, destination="file") == {"file": 2}
        assert deliveries.replay(operation=named, destination="marquez") == {"marquez": 2}
        assert deliveries.replay(run="nobody's") == {}
        collector.events.clear()
        deliver_pending(log.database, marquez(settings, collector))
        assert told(collector.events) == [(named, "START"), (named, "COMPLETE")]


def test_the_whole_history_can_be_delivered_again(
    log: OperationLog, settings: Settings, deliveries: Deliveries
) -> None:
    """For a Marquez that lost its database: everything, as it was told the first time."""
    for _ in range(3):
        publish_ingest(log, settings)
    deliver_pending(log.database, settings)
    first = lines(settings)
    assert deliveries.replay(everything=True, destination="file") == {"file": 6}
    deliver_pending(log.database, settings)
    assert lines(settings) == first * 2


def test_a_replay_of_nothing_in_particular_is_refused(log: OperationLog, deliveries: Deliveries) -> None:
    """Without a choice, or to a destination that isn't known: the message says what there is."""
    with pytest.raises(UsageError, match="Say what to deliver again"):
        deliveries.replay()
    with pytest.raises(UsageError, match="there is none yet"):
        deliveries.replay(dead=True, destination="nowhere")
    attach_destination(log.database, "file", None)
    with pytest.raises(UsageError, match="there is file"):
        deliveries.replay(dead=True, destination="nowhere")


def test_a_running_relay_delivers_a_replay_at_once(
    log: OperationLog, settings: Settings, deliveries: Deliveries
) -> None:
    """It is told of what is owed anew; the status says that it runs."""
    with running(Relay(log.database, settings)):
        operation = publish_ingest(log, settings)
        # written is not yet put down as delivered, and what is still owed isn't owed once more
        wait_until(lambda: [row["delivered"] for row in lineage_status(log.database)] == [2])
        assert deliveries.relay_runs()
        assert len(lines(settings)) == 2
        deliveries.replay(operation=operation)
        wait_until(lambda: len(lines(settings)) == 4)
    wait_until(lambda: not deliveries.relay_runs())


def test_an_export_is_what_a_destination_is_sent(
    log: OperationLog, settings: Settings, deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every event, page by page, or those of one operation or run; nothing counts as delivered by it."""
    monkeypatch.setattr("recant.lineage.deliveries.EXPORT_EVENTS", 3)
    operations = [publish_ingest(log, settings) for _ in range(3)]
    open_ingest(log, settings, attribution=Attribution("bob", run_id="other"))
    exported = [json.loads(line) for line in deliveries.export()]
    assert by_name(log) == {}
    deliver_pending(log.database, settings)
    assert exported == lines(settings)
    assert len(exported) == 7
    assert [*map(json.loads, deliveries.export(operation=operations[1]))] == lines(settings)[2:4]
    assert [event["eventType"] for event in map(json.loads, deliveries.export(run="other"))] == ["START"]


def test_detaching_all_but_some_is_seen_in_the_status(log: OperationLog) -> None:
    """Whoever isn't kept is shown as detached, and is kept in mind."""
    for name in ("file", "late"):
        attach_destination(log.database, name, None)
    detach_destinations(log.database, ["file"])
    assert {name: row["attached"] for name, row in by_name(log).items()} == {"file": True, "late": False}
