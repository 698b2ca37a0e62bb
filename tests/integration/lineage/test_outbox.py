"""One pass over the outbox: what is delivered, what waits, what is given up."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recant.lineage import lineage_status
from recant.lineage.destinations import FileDestination, MarquezDestination, NotDelivered
from recant.lineage.outbox import Outbox, attach_destination
from recant.lineage.relay import deliver_pending
from recant.oplog import Attribution, OperationLog
from recant.settings import Settings
from tests.integration.lineage.lineage_collector import Collector
from tests.integration.lineage.lineage_writers import lines, open_ingest, publish_ingest, told
from tests.openlineage_reader import read_event


def deliveries(log: OperationLog, destination: str) -> list[dict[str, Any]]:
    """The destination's rows, in order of the events."""
    query = "SELECT * FROM lineage_delivery WHERE destination = %s ORDER BY event_id"
    with log.database.snapshot() as connection:
        return list(connection.execute(query, [destination]))


def due_now(log: OperationLog) -> None:
    """Makes what was postponed due, as if its pause were over."""
    with log.database.transaction() as connection:
        connection.execute("UPDATE lineage_delivery SET next_attempt_at = now() WHERE state = 'pending'")


def status_of(log: OperationLog, destination: str) -> dict[str, Any]:
    """One destination's line of the status."""
    return next(line for line in lineage_status(log.database) if line["destination"] == destination)


def ends(events: list[dict[str, Any]]) -> list[int]:
    """The operations whose ends these are, in order."""
    return [operation for operation, kind in told(events) if kind != "START"]


def roll_back(log: OperationLog, operation: int) -> int:
    """Withdraws an operation and returns the id of the one that did."""
    output = [{"direction": "output", "namespace": "postgres://recant", "name": "recant.recant.docs"}]
    query = """SELECT control_id FROM apply_verdicts('rollback', 'bob', NULL, NULL, gen_random_uuid(), '', '{}', '{}',
                                                     %s, '{}', %s, ARRAY[false])"""
    with log.database.transaction() as connection:
        row = connection.execute(query, [json.dumps(output), [operation]]).fetchone()
    assert row
    return int(row["control_id"])


def test_every_operation_is_told_to_the_file(log: OperationLog, settings: Settings) -> None:
    """Published, aborted and failed operations each have a START and their end, as valid events, in order."""
    published, aborted, failed = [publish_ingest(log, settings), *(open_ingest(log, settings) for _ in range(2))]
    log.abort(aborted, "called off")
    log.abort(failed, "the gate failed", failed=True)
    assert deliver_pending(log.database, settings) == {"file": 6}
    events = lines(settings)
    assert told(events) == [
        (published, "START"),
        (published, "COMPLETE"),
        (aborted, "START"),
        (failed, "START"),
        (aborted, "ABORT"),
        (failed, "FAIL"),
    ]
    for event in events:
        read_event(event)
    assert events[1]["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert events[1]["outputs"][0]["facets"]["schema"]["fields"][-1]["type"] == "halfvec(3)"
    assert events[5]["run"]["facets"]["errorMessage"]["message"] == "the gate failed"


def test_the_run_is_the_operations(log: OperationLog, settings: Settings) -> None:
    """Both events carry the run id that the log gave the operation, and its collection's dataset."""
    operation = publish_ingest(log, settings)
    deliver_pending(log.database, settings)
    assert {event["run"]["runId"] for event in lines(settings)} == {log.get(operation).lineage_run_id}
    assert {event["outputs"][0]["name"] for event in lines(settings)} == {"recant.recant.docs"}


def test_a_rollback_is_a_run_that_names_what_it_withdrew(log: OperationLog, settings: Settings) -> None:
    """The rollback's COMPLETE names operation and run; the withdrawn operation's own events stay as they were."""
    operation = publish_ingest(log, settings)
    deliver_pending(log.database, settings)
    control = roll_back(log, operation)
    before = lines(settings)
    deliver_pending(log.database, settings)
    start, complete = lines(settings)[len(before) :]
    facet = complete["run"]["facets"]["recant_operation"]
    assert (facet["operation_id"], facet["withdrew"]) == (control, [operation])
    assert facet["withdrew_runs"] == [log.get(operation).lineage_run_id]
    assert complete["outputs"][0]["facets"]["version"]["datasetVersion"] == "2"
    assert "withdrew" not in start["run"]["facets"]["recant_operation"]
    assert lines(settings)[: len(before)] == before


def test_a_second_pass_delivers_nothing_twice(log: OperationLog, settings: Settings) -> None:
    """What is delivered is marked so, and the status says it."""
    publish_ingest(log, settings)
    deliver_pending(log.database, settings)
    assert deliver_pending(log.database, settings) == {"file": 0}
    assert len(lines(settings)) == 2
    status = status_of(log, "file")
    assert (status["pending"], status["failing"], status["delivered"], status["dead"]) == (0, 0, 2, 0)
    assert (status["oldest_pending_seconds"], status["next_attempt_seconds"], status["last_error"]) == (
        None,
        None,
        None,
    )
    assert (status["attached"], status["address"]) == (True, None)
    assert datetime.fromisoformat(status["last_delivered_at"]) <= datetime.now(UTC)


def test_a_repeated_delivery_is_the_same_event(log: OperationLog, settings: Settings, tmp_path: Path) -> None:
    """An event told again after a rollback equals the first telling: consumers can drop it by run and type."""
    operation = publish_ingest(log, settings)
    deliver_pending(log.database, settings)
    roll_back(log, operation)
    late = FileDestination(tmp_path / "late.ndjson")
    late.name = "late"
    deliver_pending(log.database, settings, [late])
    assert [json.loads(line) for line in late.path.read_text().splitlines()][:2] == lines(settings)


def test_a_destination_attached_later_gets_the_whole_history(log: OperationLog, settings: Settings) -> None:
    """Marquez, configured when operations have long been told to the file, is told all of them, in order."""
    operations = [publish_ingest(log, settings) for _ in range(3)]
    deliver_pending(log.database, settings)
    with Collector() as collector:
        assert deliver_pending(log.database, replace(settings, marquez_url=collector.url)) == {"file": 0, "marquez": 6}
        assert ends(collector.events) == operations
        assert [*collector.runs.values()] == [["START", "COMPLETE"]] * 3


def test_no_event_falls_between_attaching_and_emitting(log: OperationLog, settings: Settings) -> None:
    """Destinations that are attached while many writers emit are owed every event exactly once."""

    def write(number: int) -> None:
        operation = open_ingest(log, settings)
        log.abort(operation, f"number {number}")

    def attach(name: str) -> None:
        attach_destination(log.database, name, None)
        Outbox(log.database, name).fill()

    with ThreadPoolExecutor(6) as pool:
        for number in range(60):
            pool.submit(write, number)
            if number % 10 == 0:
                pool.submit(attach, f"destination-{number}")
    names = [f"destination-{number}" for number in range(0, 60, 10)]
    assert all(Outbox(log.database, name).fill() for name in names)
    with log.database.snapshot() as connection:
        rows = connection.execute(
            "SELECT destination, count(*) AS owed FROM lineage_delivery GROUP BY destination"
        ).fetchall()
    assert {row["destination"]: row["owed"] for row in rows} == dict.fromkeys(names, 120)


def test_the_file_is_for_its_owner_only(log: OperationLog, settings: Settings) -> None:
    """The folder and the file that hold agents' names and messages are closed to others, whatever the umask."""
    before = os.umask(0)
    try:
        publish_ingest(log, settings)
        deliver_pending(log.database, settings)
    finally:
        os.umask(before)
    path = settings.home / "lineage" / "events.ndjson"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_unfinished_line_is_cut_before_the_next(tmp_path: Path) -> None:
    """What a crash left half-written was never marked delivered: the file goes on with whole lines."""
    path = tmp_path / "events.ndjson"
    path.write_bytes(b'{"a":1}\n' + b"x" * 200_000)
    FileDestination(path).send([b'{"b":2}'])
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n'
    path.write_bytes(b"x" * 200_000)
    FileDestination(path).send([b'{"b":2}'])
    assert path.read_bytes() == b'{"b":2}\n'


def test_a_file_that_cannot_be_written_waits(log: OperationLog, settings: Settings) -> None:
    """A folder in the file's place delays the events; they come when it is gone."""
    publish_ingest(log, settings)
    path = settings.home / "lineage" / "events.ndjson"
    path.mkdir(parents=True)
    assert deliver_pending(log.database, settings) == {"file": 0}
    assert status_of(log, "file")["pending"] == 2
    assert "directory" in status_of(log, "file")["last_error"]
    path.rmdir()
    due_now(log)
    assert deliver_pending(log.database, settings) == {"file": 2}


def test_a_full_disk_says_so() -> None:
    """On a device without space the failure gives the system's reason, and concerns all events."""
    with pytest.raises(NotDelivered, match="space") as failure:
        FileDestination(Path("/dev/full")).send([b"{}"])
    assert failure.value.whole_destination


def test_what_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    """Where only a part of the lines can be written (a file size limit stands in for a disk), none of them stay."""
    path = tmp_path / "events.ndjson"
    path.write_bytes(b'{"a":1}\n')
    program = f"""
import resource
from pathlib import Path
from recant.lineage.destinations import FileDestination, NotDelivered
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    FileDestination(Path({str(path)!r})).send([b"x" * 400] * 5)
except NotDelivered as failure:
    print(failure)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("events.ndjson: ")
    assert path.read_bytes() == b'{"a":1}\n'


def test_a_refused_event_is_dead_with_its_reason(log: OperationLog, settings: Settings) -> None:
    """422 is final for that event; the operation's next one is sent all the same."""
    publish_ingest(log, settings)
    with Collector(lambda event, attempt: 422 if event["eventType"] == "START" else 201) as collector:
        configured = replace(settings, marquez_url=collector.url)
        assert deliver_pending(log.database, configured)["marquez"] == 1
        start, complete = deliveries(log, "marquez")
        assert (start["state"], start["attempts"], complete["state"]) == ("dead", 1, "delivered")
        assert start["error"] == "422 Unprocessable Entity: the collector's reason"
        due_now(log)
        deliver_pending(log.database, configured)
        assert set(collector.attempts.values()) == {1}


@pytest.mark.parametrize("status", [500, 503, 408, 429, 401, 404, 302])
def test_what_is_not_the_events_fault_is_tried_again(log: OperationLog, settings: Settings, status: int) -> None:
    """A broken server, a busy one, a wrong path, a missing login: the event waits, and arrives once that is mended."""
    publish_ingest(log, settings)
    with Collector(lambda event, attempt: status if attempt == 1 else 201) as collector:
        configured = replace(settings, marquez_url=collector.url)
        deliver_pending(log.database, configured)
        start, complete = deliveries(log, "marquez")
        assert (start["state"], start["attempts"], complete["attempts"]) == ("pending", 1, 0)
        assert start["error"].startswith(str(status))
        for _ in range(2):
            due_now(log)
            deliver_pending(log.database, configured)
        assert [event["eventType"] for event in collector.events] == ["START", "COMPLETE"]


def test_a_later_event_never_overtakes_an_earlier_one(log: OperationLog, settings: Settings) -> None:
    """While an operation's START waits for its next attempt its COMPLETE waits too; other operations go on."""
    stuck, free = publish_ingest(log, settings), publish_ingest(log, settings)

    def answer(event: dict[str, Any], attempt: int) -> int:
        return 500 if told([event]) == [(stuck, "START")] and attempt == 1 else 201

    with Collector(answer) as collector:
        configured = replace(settings, marquez_url=collector.url)
        deliver_pending(log.database, configured)
        for _ in range(2):
            due_now(log)
            deliver_pending(log.database, configured)
        events = told(collector.events)
        assert sorted(events[:2]) == [(free, "COMPLETE"), (free, "START")]
        assert events[2:] == [(stuck, "START"), (stuck, "COMPLETE")]


def test_a_dead_server_is_tried_once_a_pass(log: OperationLog, settings: Settings) -> None:
    """Nobody at the address: one attempt, however many events are owed, and the file has them all."""
    for _ in range(5):
        publish_ingest(log, settings)
    with Collector() as collector:
        gone = replace(settings, marquez_url=collector.url)
    assert deliver_pending(log.database, gone) == {"file": 10, "marquez": 0}
    assert sum(row["attempts"] for row in deliveries(log, "marquez")) == 1
    assert "refused" in status_of(log, "marquez")["last_error"]


def test_a_server_that_always_fails_is_left_after_five_events(log: OperationLog, settings: Settings) -> None:
    """500 to everything: five events are tried in a pass, not all of them."""
    for _ in range(8):
        publish_ingest(log, settings)
    with Collector(lambda event, attempt: 500) as collector:
        deliver_pending(log.database, replace(settings, marquez_url=collector.url))
        assert len(collector.attempts) == 5


def test_an_address_that_is_none_delays_marquez_only(log: OperationLog, settings: Settings) -> None:
    """A MARQUEZ_URL without a scheme shows in the status; nothing is lost."""
    publish_ingest(log, settings)
    assert deliver_pending(log.database, replace(settings, marquez_url="marquez:5000")) == {"file": 2, "marquez": 0}
    assert "UnsupportedProtocol" in status_of(log, "marquez")["last_error"]


def test_a_password_in_the_address_stays_out_of_the_status() -> None:
    """What a failed attempt leaves behind doesn't show the user and password of MARQUEZ_URL."""
    destination = MarquezDestination("http://me:topsecret@127.0.0.1:1/")
    assert destination.address == "http://me:topsecret@127.0.0.1:1/api/v1/lineage"
    with pytest.raises(NotDelivered) as failure:
        destination.send([b"{}"])
    destination.close()
    assert "topsecret" not in str(failure.value)


def test_an_event_that_cannot_be_rendered_waits_alone(log: OperationLog, settings: Settings, database: str) -> None:
    """A row that this version can't make an event of stops its own operation's events and no other's."""
    bad = open_ingest(log, settings)
    batch = log.begin_batch(bad, "gate")
    with log.database.transaction() as connection:
        connection.execute(
            "INSERT INTO quality_check (operation_id, batch_id, suite, success, result) VALUES (%s, %s, 's', true, %s)",
            [bad, batch, json.dumps({"expectations": [{"name": "from another version"}]})],
        )
    log.finish_batch(batch, {})
    log.publish(bad)
    good = publish_ingest(log, settings)
    deliver_pending(log.database, settings)
    assert told(lines(settings)) == [(bad, "START"), (good, "START"), (good, "COMPLETE")]
    waiting = [row for row in deliveries(log, "file") if row["state"] == "pending"]
    assert [row["error"] for row in waiting] == ["can't be rendered: KeyError: 'success'"]


def test_texts_with_any_characters_survive(log: OperationLog, settings: Settings) -> None:
    """Line feeds, quotes and other alphabets in a message stay on their one line of the file."""
    message = 'a "quoted"\nline\r\n\u2028 with \\ and 知識 \U0001f9e0'
    publish_ingest(log, settings, attribution=Attribution("ágens", message=message))
    deliver_pending(log.database, settings)
    raw = (settings.home / "lineage" / "events.ndjson").read_bytes()
    events = [json.loads(line) for line in raw.split(b"\n") if line]
    assert {event["run"]["facets"]["recant_operation"]["message"] for event in events} == {message}
