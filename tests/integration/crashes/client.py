"""A process that runs one scenario and is interrupted at a point of it. Started once; forks for every order it reads.

An order is one line of JSON: scenario, facts, dsn, and either `record` (a file: run to the end and write down what there
is to interrupt) or `point`. The answer is one line: how the fork ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psutil
import psycopg

from recant.errors import RecantError
from recant.store import Database
from tests.integration.crashes.scenarios import FLAWED, SCENARIOS
from tests.integration.crashes.snapshot import snapshot
from tests.integration.library import Library

TOLD = 3
"""Exit status of a client that was told of the crash as a RecantError."""
_wait = psycopg.Connection.wait
_IN_TRANSACTION, _IDLE = psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.IDLE


class Watch:
    """Sees every exchange with the server: numbers it, and interrupts before it or while it is under way."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.dsn, self.point = order["dsn"], order.get("point")
        self.number = 0
        self.exchanges: list[dict[str, Any]] = []

    def wait(self, connection: psycopg.Connection, gen: Generator[Any, Any, Any], *args: Any, **named: Any) -> Any:
        """Stands in for psycopg.Connection.wait, through which every exchange goes."""
        self.number += 1
        begins = connection.pgconn.transaction_status == _IDLE
        exchange = {"number": self.number, "has_flight": False}
        self.interrupt(connection, "before")
        try:
            return _wait(connection, self.watched(connection, gen, exchange), *args, **named)
        finally:
            if self.point is None:
                self.note(connection, exchange, begins)

    def watched(self, connection: psycopg.Connection, gen: Generator[Any, Any, Any], exchange: dict[str, Any]) -> Any:
        """The same generator; once it waits for an answer, everything has been sent."""
        try:
            request = next(gen)
            exchange["has_flight"] = True
            self.interrupt(connection, "in flight")
            while True:
                request = gen.send((yield request))
        except StopIteration as stop:
            return stop.value

    def interrupt(self, connection: psycopg.Connection, moment: str) -> None:
        if self.point and self.point["moment"] == moment and self.point["number"] == self.number:
            for pid in victims(self.point, connection):
                os.kill(pid, signal.SIGKILL)

    def note(self, connection: psycopg.Connection, exchange: dict[str, Any], begins: bool) -> None:
        """What the database holds, between transactions; and how many changes were made so far.

        Nothing is asked right after BEGIN: the isolation level can be set only before the first question.
        """
        status = connection.pgconn.transaction_status
        if status == _IDLE or (status == _IN_TRANSACTION and not begins):
            asked = connection.pgconn.exec_(b"SELECT current_setting('crash.seen', true)")
            exchange["changes"] = int(asked.get_value(0, 0) or 0)
        exchange["snapshot"] = snapshot_apart(self.dsn) if status == _IDLE else None
        self.exchanges.append(exchange)


def snapshot_apart(dsn: str) -> Any:
    """Read on a connection that isn't watched."""
    watching, psycopg.Connection.wait = psycopg.Connection.wait, _wait  # type: ignore[method-assign]
    try:
        return snapshot(dsn)
    finally:
        psycopg.Connection.wait = watching  # type: ignore[method-assign]


def victims(point: dict[str, Any], connection: psycopg.Connection) -> list[int]:
    """The processes to kill, the postmaster first."""
    if point["victim"] == "client":
        return [os.getpid()]
    if point["victim"] == "backend":
        return [connection.info.backend_pid]
    postmaster = psutil.Process(point["postmaster"])
    return [postmaster.pid, *(child.pid for child in postmaster.children(recursive=True))]


def arm(connection: psycopg.Connection, point: dict[str, Any] | None) -> None:
    """Has the database kill from inside, at the n-th change (the trigger is in conftest.py)."""
    inside = point is not None and point["moment"] == "inside"
    settings = {
        "crash.at": str(point["number"]) if inside and point else "",
        "crash.victims": " ".join(map(str, victims(point, connection))) if inside and point else "",
        "crash.seen": "0",
    }
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])


def run(order: dict[str, Any]) -> int:
    """One scenario to its end, or to its interruption."""
    watch, scenario = Watch(order), (SCENARIOS | FLAWED)[order["scenario"]]
    with Database(order["dsn"], max_connections=1) as database:
        library = Library(database)
        assert library.collection is not None
        with database.transaction() as connection:
            arm(connection, order.get("point"))
        psycopg.Connection.wait = lambda self, gen, *a, **n: watch.wait(self, gen, *a, **n)  # type: ignore[method-assign]
        try:
            scenario.act(library, order["facts"])
        except RecantError:
            return TOLD
        finally:
            psycopg.Connection.wait = _wait  # type: ignore[method-assign]
    if "record" in order:
        Path(order["record"]).write_text(json.dumps(watch.exchanges), "utf-8")
    return 0


def fork(order: dict[str, Any]) -> int:
    """The exit status of a fork that carries the order out; negative when a signal ended it."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        os._exit(run(order))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps({"status": fork(json.loads(line))}), flush=True)
