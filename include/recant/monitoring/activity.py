"""What searches take, counted in the process that makes them and written to the database now and then.

The log knows of every write; of reads nothing is kept but these sums.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Protocol, TypeVar

from recant.errors import RecantError
from recant.store import Database, load

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram's buckets, in seconds; one more bucket is for what took longer."""
WRITE_EVERY_SECONDS = 5.0
_SQL = load(__package__, "monitoring.sql")


class Timed(Protocol):
    """Says how long it took."""

    @property
    def seconds(self) -> float: ...


ResultT = TypeVar("ResultT", bound=Timed)


@dataclass(slots=True)
class _Sums:
    calls: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))


class ActivityRecorder:
    """Adds calls up by kind and minute. Safe to share between threads.

    The first call is written at once, later ones at most every `WRITE_EVERY_SECONDS` and when it is closed: a statement
    that doesn't wait for the disk. What can't be written is dropped: counting never makes a search fail.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = Lock()
        self._sums: dict[tuple[str, datetime], _Sums] = {}
        self._written_at = float("-inf")

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Counts what is done inside, unless it raises."""
        started = self._clock()
        yield
        self.add(what, self._clock() - started)

    def counted(self, what: str, results: Iterable[ResultT]) -> Iterator[ResultT]:
        """The same results; each is a call that took as long as it says."""
        for result in results:
            self.add(what, result.seconds)
            yield result

    def add(self, what: str, seconds: float) -> None:
        """One call that took so long."""
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        with self._lock:
            sums = self._sums.setdefault((what, minute), _Sums())
            sums.calls += 1
            sums.seconds += seconds
            sums.buckets[bisect_left(BOUNDS, seconds)] += 1
            due = self._clock() - self._written_at >= WRITE_EVERY_SECONDS
        if due:
            self.write()

    def write(self) -> None:
        """Writes what was counted since the last time."""
        with self._lock:
            sums, self._sums, self._written_at = self._sums, {}, self._clock()
        if not sums:
            return
        with suppress(RecantError), self._database.statements() as connection:
            for (what, minute), one in sums.items():
                given = {"what": what, "minute": minute, "calls": one.calls, "seconds": one.seconds}
                connection.execute(_SQL["record_activity"], given | {"buckets": one.buckets})


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """The time within which this share of the calls was done: linear within its bucket, as Prometheus has it.

    None where there were no calls; the largest bound where it lies beyond.
    """
    wanted, before = share * sum(buckets), 0
    if not wanted:
        return None
    for number, upper in enumerate(BOUNDS):
        inside = buckets[number]
        if before + inside >= wanted:
            lower = BOUNDS[number - 1] if number else 0.0
            return lower + (upper - lower) * (wanted - before) / inside
        before += inside
    return BOUNDS[-1]
