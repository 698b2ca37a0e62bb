"""What lineage costs a write, whatever the backend does; and how fast the outbox is drained.

A write is an operation of 200 chunks whose vectors are there, appended and published on a durable server, while the relay
runs as a process of its own, as in an installation. Each way of a backend has a database and a relay; they take turns
write by write, in random order, so that whatever else the machine does meets all of them: no destination at all (lineage
off), a Marquez that nobody answers for, one that is silent for 30 seconds, one that answers 500, one that dies whenever it
is told something and is back for the third attempt. Both the time of a write is taken and the processor's time that it took,
of the writer's thread and of its server process: other work on the machine meets the former, hardly the latter. Draining is measured
against a collector that checks every event and answers after 20 ms, about what Marquez takes; and against a real Marquez
where MARQUEZ_URL or MARQUEZ_JAR names one.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event

import psycopg
from psycopg import sql

from recant.installation.ports import free_port
from recant.installation.postgres import EmbeddedPostgres
from recant.lineage import collection_dataset, lineage_status
from recant.lineage.courier import Courier
from recant.lineage.destinations import MarquezDestination
from recant.lineage.outbox import attach_destination
from recant.oplog import Attribution, Dataset, OperationLog
from recant.settings import Settings, inherited_environment, read_settings
from recant.store import Database, migrate
from tests.benchmarks.measure import Measure, at_least, at_most, median, milliseconds, stopwatch
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import CHUNKS_PER_DOCUMENT, Clusters, Writer, drafts
from tests.integration.lineage.lineage_collector import Answer, Collector, always_created
from tests.marquez_server import own_marquez

CHUNKS_PER_WRITE = 200
COLLECTIONS = 5
WARM_UP_WRITES = 5
SETTLE_SECONDS = 0.2
"""For a relay to be done with the write before: its work isn't charged to the next one."""
OFF = "lineage off"
MARQUEZ_ANSWERS_AFTER_SECONDS = 0.02


def run(writes: int = 60, events: int = 400, marquez_events: int = 200, seed: int = 5) -> list[Measure]:
    """Measures with `writes` writes for each way of a backend, and with so many events to drain."""
    with measured_server() as (_, dsn):
        measures = writing(dsn, writes, seed)
    measures += draining(events)
    with real_marquez() as url:
        return measures + (draining_marquez(url, marquez_events) if url else [])


def writing(dsn: str, writes: int, seed: int) -> list[Measure]:
    """Milliseconds of a write, by what the backend does, and their ratios to lineage off."""
    clusters, order = Clusters(seed, centres=50), random.Random(seed)
    taken: dict[str, list[float]] = {}
    busy: dict[str, list[float]] = {}
    with ExitStack() as until_done:
        writers: dict[str, Writer] = {}
        for name, url in until_done.enter_context(backends()).items():
            database = until_done.enter_context(own_database(dsn))
            until_done.enter_context(relay(database, url))
            writers[name] = Writer(database)
        names = [*writers]
        for number in range(WARM_UP_WRITES + writes):
            order.shuffle(names)
            for name in names:
                documents = CHUNKS_PER_WRITE // CHUNKS_PER_DOCUMENT
                drafted = drafts(clusters, documents, label=f"written-{number}", first=0)
                time.sleep(SETTLE_SECONDS)
                before = processor_milliseconds(writers[name].database)
                elapsed = milliseconds(writers[name].publish, drafted)
                after = processor_milliseconds(writers[name].database)
                if number >= WARM_UP_WRITES:
                    taken.setdefault(name, []).append(elapsed)
                    busy.setdefault(name, []).append(after - before)
    off, idle = median(taken[OFF]), median(busy[OFF])
    measures = [Measure(f"write of {CHUNKS_PER_WRITE} chunks, {name}", median(taken[name]), "ms") for name in writers]
    ratios = {name: median(ms) / off for name, ms in taken.items() if name != OFF}
    measures += [at_most(f"{name} / {OFF}", ratios[name], "x", 1.05) for name in writers if name != OFF]
    return measures + [
        at_most(f"{name} / {OFF}, processor time", median(busy[name]) / idle, "x", 1.05)
        for name in writers
        if name != OFF
    ]


def processor_milliseconds(database: Database) -> float:
    """What this thread has used of the processor so far, and the server process of the database's one connection."""
    with database.transaction() as connection:
        row = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
    assert row
    nanoseconds = int(Path(f"/proc/{row['pid']}/schedstat").read_text("ascii").split()[0])
    return time.thread_time() * 1000 + nanoseconds / 1e6


@contextmanager
def own_database(dsn: str) -> Iterator[Database]:
    """A migrated database on this server, beside the others."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(dsn, autocommit=True) as administrator:
        administrator.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    own = f"{dsn.rpartition('/')[0]}/{name}"
    migrate(own, read_settings({}).init_scripts)
    with Database(own, max_connections=1) as database:
        yield database


@contextmanager
def backends() -> Iterator[dict[str, str | None]]:
    """Addresses by what answers there; None: no relay, and no destination."""
    silent: Answer = lambda event, attempt: 30.0  # noqa: E731
    failing: Answer = lambda event, attempt: 500  # noqa: E731
    dying: Answer = lambda event, attempt: "reset" if attempt < 3 else 201  # noqa: E731
    with answering(silent) as slow, answering(failing) as broken, answering(dying) as mortal:
        yield {
            OFF: None,
            "Marquez absent": f"http://127.0.0.1:{free_port(39_000)}",
            "Marquez silent": slow,
            "Marquez answers 500": broken,
            "Marquez dies and comes back": mortal,
        }


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """A collector's address. It runs in a process of its own: in the writer's it would hold the writer up."""
    here, there = Pipe(duplex=False)
    process = get_context("fork").Process(target=_collect, args=(answer, there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _collect(answer: Answer, told: Connection) -> None:
    with Collector(answer) as collector:
        told.send(collector.url)
        Event().wait()


@contextmanager
def relay(database: Database, url: str | None) -> Iterator[None]:
    """A relay beside the writer, that has begun; without an address neither a relay nor a destination."""
    if url is None:
        yield
        return
    home = Path(tempfile.mkdtemp(prefix="recant-bench-"))
    kept = {k: v for k, v in inherited_environment().items() if not k.startswith(("RECANT_", "MARQUEZ_"))}
    recant = {"RECANT_DSN": database.dsn, "RECANT_HOME": str(home), "MARQUEZ_URL": url}
    process = subprocess.Popen(
        [sys.executable, "-m", "recant.lineage.relay"],
        env={**kept, "PYTHONPATH": "include", **recant},
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(lambda: any(row["address"] == url for row in lineage_status(database)))
        yield
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(home, ignore_errors=True)


def draining(events: int) -> list[Measure]:
    """Events a second, over one connection and over four, into a strict collector that takes its time."""

    def answer(event: object, attempt: int) -> int:
        time.sleep(MARQUEZ_ANSWERS_AFTER_SECONDS)
        return always_created({}, attempt)

    rates = {}
    for connections in (1, 4):
        with Collector(answer) as collector:
            rates[connections] = _drained(collector.url, events, connections)
    return [
        *(Measure(f"drained into a collector, {n} connections", rate, "events/s") for n, rate in rates.items()),
        at_least("4 connections / 1", rates[4] / rates[1], "x", 2),
    ]


def draining_marquez(url: str, events: int) -> list[Measure]:
    """The same into a real Marquez."""
    return [Measure(f"drained into Marquez, {n} connections", _drained(url, events, n), "events/s") for n in (1, 4, 8)]


@contextmanager
def real_marquez() -> Iterator[str | None]:
    """The address of one that exists, or of one that runs for as long."""
    url, jar = os.environ.get("MARQUEZ_URL"), os.environ.get("MARQUEZ_JAR")
    if url or not jar:
        yield url
        return
    with ExitStack() as until_done:
        folder = Path(tempfile.mkdtemp(prefix="recant-bench-"))
        until_done.callback(shutil.rmtree, folder, ignore_errors=True)
        server = EmbeddedPostgres(folder / "data", secrets_dir=folder / "secrets", log_file=folder / "postgres.log")
        server.start()
        until_done.callback(server.stop)
        for marquez in own_marquez(Path(jar), server, folder / "marquez"):
            yield marquez.url


def _drained(url: str, events: int, connections: int) -> float:
    """Events a second of a history that is all owed at the beginning; every one arrives."""
    namespace = f"recant_bench_{uuid.uuid4().hex[:12]}"
    settings = replace(read_settings({"RECANT_LINEAGE_NAMESPACE": namespace}), marquez_url=url)
    with measured_server() as (database, _):
        _write_history(OperationLog(database), settings, events // 2)
        destination = MarquezDestination(url, connections=connections)
        name = attach_destination(database, destination.name, destination.identity)
        with stopwatch() as watch:
            delivered = Courier(database, destination, namespace, Event(), known_as=name).deliver()
        destination.close()
    if delivered != events:
        raise AssertionError(f"{delivered} of {events} events were delivered")
    return events / watch.seconds


def _write_history(log: OperationLog, settings: Settings, operations: int) -> None:
    for number in range(operations):
        name = f"shelf-{number % COLLECTIONS}"
        with log.database.transaction() as connection:
            connection.execute("SELECT ensure_collection(%s, 'test-model', 'digest', 3, true)", [name])
        datasets = [Dataset("input", "file", "/srv/docs"), Dataset("output", *collection_dataset(settings, name))]
        log.publish(log.open("ingest", Attribution("bench"), collection=name, datasets=datasets))


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError("the relay didn't come or go in time")
        time.sleep(0.05)
