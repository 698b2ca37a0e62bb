"""Two transactions in an order of our choosing: one stops right before its commit, until the other waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from recant.errors import RecantError
from recant.store import Connection, Database

TIMEOUT_SECONDS = 10.0


class Halting(Database):
    """A database whose next transaction that changes something stops before its commit, once it was told to halt."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, max_connections=2)
        self.halt, self.reached, self.go_on = (threading.Event() for _ in range(3))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with super().transaction() as connection:
            yield connection
            if self.halt.is_set() and not self.reached.is_set() and _changes_something(connection):
                self.reached.set()
                assert self.go_on.wait(TIMEOUT_SECONDS), "nobody let it go on"


def _changes_something(connection: Connection) -> bool:
    asked = connection.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS changed").fetchone()
    return bool(asked and asked["changed"])


@dataclass
class Attempt:
    """A call in a thread of its own, and how it ended."""

    call: Callable[[], object]
    answer: object = None
    refusal: RecantError | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.answer = self.call()
        except RecantError as refusal:
            self.refusal = refusal

    def end(self) -> Attempt:
        self.thread.join(TIMEOUT_SECONDS)
        assert not self.thread.is_alive(), "it never came back"
        return self


def first_then_second(
    halting: Halting, other: Database, first: Callable[[], object], second: Callable[[], object]
) -> tuple[Attempt, Attempt]:
    """`first`, on `halting`, has done all but commit when `second` comes and has to wait for it."""
    halting.halt.set()
    one = Attempt(first)
    assert halting.reached.wait(TIMEOUT_SECONDS), f"the first never came to its commit: {one.refusal}"
    two = Attempt(second)
    _wait_for_a_waiter(other, two)
    halting.go_on.set()
    return one.end(), two.end()


def _wait_for_a_waiter(other: Database, attempt: Attempt) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    asked = "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"
    while attempt.thread.is_alive() and time.monotonic() < deadline:
        with other.transaction() as connection:
            if connection.execute(asked).fetchone() is not None:
                return
        time.sleep(0.005)
    raise AssertionError(f"the second did not wait for the first: it came to {attempt.refusal or attempt.answer}")
