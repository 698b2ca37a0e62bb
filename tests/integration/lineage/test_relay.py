"""The relay as it runs: beside writers, collectors that fail, databases that go away, and other relays."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest

from recant.installation.ports import free_port
from recant.installation.postgres import EmbeddedPostgres
from recant.lineage import lineage_status
from recant.lineage.outbox import pause_seconds
from recant.lineage.relay import Relay, deliver_pending, main
from recant.oplog import OperationLog
from recant.settings import Settings, read_settings
from recant.store import Database, migrate
from tests.integration.lineage.lineage_collector import Collector
from tests.integration.lineage.lineage_writers import (
    lines,
    open_ingest,
    publish_ingest,
    running,
    told,
    wait_until,
)


def owed(log: OperationLog, destination: str) -> int:
    """How many events a destination has still to get; -1 before its history is put down."""
    with log.database.snapshot() as connection:
        row = connection.execute("SELECT count(*) AS events FROM lineage_event").fetchone()
    for line in lineage_status(log.database):
        known: list[Any] = [line[state] for state in ("pending", "delivered", "dead")]
        if line["destination"] == destination and row and sum(known) == row["events"]:
            return int(known[0])
    return -1


def listening(log: OperationLog, settings: Settings) -> bool:
    """Whether a relay has delivered everything to the file."""
    return owed(log, "file") == 0


@contextmanager
def relay_process(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m recant.lineage.relay` as the installation starts it, killed at the end."""
    path = str(Path(__file__).parents[3] / "include")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RECANT_", "MARQUEZ_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "recant.lineage.relay", *arguments],
        env={**kept, "PYTHONPATH": path, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_news_is_delivered_at_once(log: OperationLog, settings: Settings) -> None:
    """An operation that is published while the relay runs is in the file within a second: it listens."""
    with running(Relay(log.database, settings)):
        wait_until(lambda: listening(log, settings))
        begun = time.monotonic()
        operation = publish_ingest(log, settings)
        wait_until(lambda: told(lines(settings)) == [(operation, "START"), (operation, "COMPLETE")])
        assert time.monotonic() - begun < 1


def test_a_silent_collector_delays_nothing_else(log: OperationLog, settings: Settings) -> None:
    """While Marquez says nothing for seconds, operations are published and told to the file as fast as ever."""
    with (
        Collector(lambda event, attempt: 30.0) as collector,
        running(Relay(log.database, replace(settings, marquez_url=collector.url))),
    ):
        publish_ingest(log, settings)
        wait_until(lambda: bool(collector.attempts))
        begun = time.monotonic()
        for _ in range(20):
            publish_ingest(log, settings)
        wait_until(lambda: len(lines(settings)) == 42)
        assert time.monotonic() - begun < 3
        assert collector.events == []


def test_a_collector_that_comes_back_is_told_everything(log: OperationLog, settings: Settings) -> None:
    """Events that nobody was there for wait; when somebody is, all arrive, START before COMPLETE in every run."""
    with Collector() as gone:
        address, port = gone.url, gone.port
    with running(Relay(log.database, replace(settings, marquez_url=address))):
        operations = [publish_ingest(log, settings) for _ in range(10)]
        wait_until(lambda: len(lines(settings)) == 20)
        wait_until(lambda: owed(log, "marquez") == 20)
        with Collector(port=port) as collector:
            wait_until(lambda: owed(log, "marquez") == 0, seconds=40)
            assert sorted(told(collector.events)) == sorted((o, t) for o in operations for t in ("START", "COMPLETE"))
            assert set(map(tuple, collector.runs.values())) == {("START", "COMPLETE")}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_lost_whatever_the_collector_does(log: OperationLog, settings: Settings, seed: int) -> None:
    """Errors, resets, silence and refusals at random: once it is sane every event has arrived, in order in its run."""
    moods = random.Random(seed)
    answers: list[Any] = [201, 201, 201, 500, 503, 429, 404, "reset"]
    sane = Event()

    def answer(event: dict[str, Any], attempt: int) -> Any:
        return 201 if sane.is_set() else moods.choice(answers)

    with (
        Collector(answer) as collector,
        running(Relay(log.database, replace(settings, marquez_url=collector.url))),
    ):
        for number in range(25):
            operation = open_ingest(log, settings)
            log.abort(operation, "odd") if number % 2 else log.publish(operation)
        wait_until(lambda: len(lines(settings)) == 50)
        sane.set()
        wait_until(lambda: owed(log, "marquez") == 0, seconds=60)
        assert collector.malformed == []
        assert len(collector.runs) == 25
        for kinds in collector.runs.values():
            assert [*dict.fromkeys(kinds)] in (["START", "COMPLETE"], ["START", "ABORT"])


def test_an_answer_that_is_lost_makes_a_duplicate(log: OperationLog, settings: Settings) -> None:
    """At least once: an event that was taken, but whose answer never came, is sent again, and only that one."""
    publish_ingest(log, settings)
    taken: list[dict[str, Any]] = []

    def answer(event: dict[str, Any], attempt: int) -> Any:
        taken.append(event)
        return "reset" if len(taken) == 1 else 201

    with (
        Collector(answer) as collector,
        running(Relay(log.database, replace(settings, marquez_url=collector.url))),
    ):
        wait_until(lambda: owed(log, "marquez") == 0)
    assert [event["eventType"] for event in taken] == ["START", "START", "COMPLETE"]
    assert taken[0] == taken[1]


def test_one_relay_a_database(log: OperationLog, settings: Settings) -> None:
    """A second relay waits while the first runs, and a pass by hand leaves the work to it."""
    with running(Relay(log.database, settings)) as second:
        wait_until(lambda: listening(log, settings))
        assert deliver_pending(log.database, settings) == {}
        late = Relay(log.database, replace(settings, home=settings.home / "late"))
        with running(late) as waiting:
            publish_ingest(log, settings)
            wait_until(lambda: len(lines(settings)) == 2)
            time.sleep(1.5)
            assert waiting.is_alive()
            assert second.is_alive()
            assert not (settings.home / "late").exists()


def test_the_next_relay_takes_over(log: OperationLog, settings: Settings) -> None:
    """When the first relay has gone, the one that waited delivers."""
    first = Relay(log.database, settings)
    second = Relay(log.database, replace(settings, home=settings.home / "second"))
    with running(first):
        wait_until(lambda: listening(log, settings))
        with running(second):
            first.stop()
            publish_ingest(log, settings)
            wait_until(lambda: owed(log, "file") == 0)
            later = publish_ingest(log, settings)
            wait_until(lambda: (later, "COMPLETE") in told(lines(replace(settings, home=settings.home / "second"))))


def test_broken_connections_are_made_again(log: OperationLog, settings: Settings, database: str) -> None:
    """Every connection of the relay cut by the server: it connects again and delivers what came meanwhile."""
    with running(Relay(Database(database), settings)):
        wait_until(lambda: listening(log, settings))
        log.database.close()
        with psycopg.connect(database, autocommit=True) as administrator:
            administrator.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()"""
            )
        later = publish_ingest(log, settings)
        wait_until(lambda: (later, "COMPLETE") in told(lines(settings)))


def test_a_restart_of_the_database_is_survived(tmp_path: Path) -> None:
    """The server stops and starts again: the relay waits for it and delivers what is published afterwards."""
    settings = read_settings({"RECANT_HOME": str(tmp_path / "home")})
    server = EmbeddedPostgres(
        tmp_path / "data",
        secrets_dir=tmp_path / "secrets",
        log_file=tmp_path / "postgres.log",
        preferred_port=free_port(21_000 + os.getpid() % 5_000),  # nobody else takes it while the server is away
        durable=False,
    )
    server.start()
    try:
        migrate(server.dsn("postgres"), settings.init_scripts)
        with Database(server.dsn("postgres")) as database, running(Relay(Database(server.dsn("postgres")), settings)):
            with database.transaction() as connection:
                connection.execute("SELECT ensure_collection('docs', 'm', 'd', 3, true)")
            log = OperationLog(database)
            publish_ingest(log, settings)
            wait_until(lambda: len(lines(settings)) == 2)
            database.close()
            server.stop()
            time.sleep(1)
            server.start()
            later = publish_ingest(log, settings)
            wait_until(lambda: (later, "COMPLETE") in told(lines(settings)), seconds=30)
            assert len(set(told(lines(settings)))) == 4
    finally:
        server.stop()


def test_the_process_ends_within_two_seconds(log: OperationLog, settings: Settings, database: str) -> None:
    """SIGTERM while Marquez keeps an answer back: the process is gone in two seconds, with exit code 0."""
    publish_ingest(log, settings)
    with (
        Collector(lambda event, attempt: 30.0) as collector,
        relay_process(RECANT_DSN=database, RECANT_HOME=str(settings.home), MARQUEZ_URL=collector.url) as process,
    ):
        wait_until(lambda: bool(collector.attempts) and len(lines(settings)) == 2)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - begun < 2


def test_a_killed_relay_loses_nothing(log: OperationLog, settings: Settings, database: str) -> None:
    """SIGKILL at any moment: the next relay delivers the rest; every event is there, in order in its run."""
    environment = {"RECANT_DSN": database, "RECANT_HOME": str(settings.home)}
    for _ in range(2):
        with relay_process(**environment) as process:
            for _ in range(40):
                publish_ingest(log, settings)
            wait_until(lambda: bool(lines(settings)))
            process.kill()
    deliver_eventually(log, settings)
    events = told(lines(settings))
    assert len(set(events)) == 160
    first = {event: place for place, event in reversed(list(enumerate(events)))}
    assert all(first[(operation, "START")] < first[(operation, "COMPLETE")] for operation, _ in events)


def deliver_eventually(log: OperationLog, settings: Settings) -> None:
    """By hand, as soon as the server has noticed that the killed relay is gone."""
    wait_until(lambda: deliver_pending(log.database, settings) != {} and owed(log, "file") == 0)


def test_the_dsn_can_come_from_a_file(log: OperationLog, settings: Settings, database: str, tmp_path: Path) -> None:
    """--dsn-file names a file that holds the DSN, so that no password is in the environment or on a command line."""
    file = tmp_path / "dsn"
    file.write_text(database + "\n")
    publish_ingest(log, settings)
    with relay_process("--dsn-file", str(file), RECANT_HOME=str(settings.home)):
        wait_until(lambda: len(lines(settings)) == 2)


def test_without_a_database_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """No RECANT_DSN, a file that isn't there, a bad variable: exit code 3 and one clear line."""
    monkeypatch.setenv("RECANT_HOME", str(tmp_path))
    assert main([]) == 3
    assert "set RECANT_DSN, or give --dsn-file" in caplog.text
    assert main(["--dsn-file", str(tmp_path / "none")]) == 3
    assert "can't be read: No such file" in caplog.text
    monkeypatch.setenv("RECANT_POSTGRES_PORT", "many")
    assert main([]) == 3
    assert "RECANT_POSTGRES_PORT" in caplog.text


def test_a_wrong_password_ends_the_relay(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, database: str, tmp_path: Path
) -> None:
    """Waiting wouldn't help: exit code 3, and the password that was tried isn't shown."""
    wrong = re.sub(r":[^:@/]+@", ":not-the-password@", database)
    assert wrong != database
    monkeypatch.setenv("RECANT_HOME", str(tmp_path))
    monkeypatch.setenv("RECANT_DSN", wrong)
    assert main([]) == 3
    assert "refused the user or the password" in caplog.text
    assert "not-the-password" not in caplog.text


def test_a_database_without_the_schema_is_waited_for(empty_database: str, settings: Settings) -> None:
    """A relay that is started before `recant migrate` delivers once the schema is there."""
    with Database(empty_database) as waiting, running(Relay(waiting, settings)) as thread:
        time.sleep(0.5)
        assert thread.is_alive()
        migrate(empty_database, settings.init_scripts)
        with Database(empty_database) as database:
            with database.transaction() as connection:
                connection.execute("SELECT ensure_collection('docs', 'm', 'd', 3, true)")
            publish_ingest(OperationLog(database), settings)
            wait_until(lambda: len(lines(settings)) == 2)


def test_pauses_grow_to_a_minute() -> None:
    """After a first half second at most they double, never beyond a minute, and no two destinations go in step."""
    assert all(0.25 <= pause_seconds(0) <= 0.5 for _ in range(100))
    assert all(30 <= pause_seconds(attempts) <= 60 for attempts in (7, 20, 100_000))
    assert len({pause_seconds(5) for _ in range(10)}) > 1
