"""Counting what searches outside of sessions show: in memory, bounded, written now and then by a thread of its own.

A search only adds to a dictionary. What can't be written is forgotten: a count is no promise. Names neither who searched nor
for what. Ranking doesn't change by it until the next recalculation.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from threading import Event as Signal
from threading import Lock, Thread

from recant.store import Database, load

INTERVAL_SECONDS = 10.0
MOST_VERSIONS = 10_000
"""Document versions held in memory between two writes; more of them aren't counted."""
_SQL = load(__package__, "scores.sql")
logger = logging.getLogger(__name__)


class AccessCounter:
    """Counts for one database. Safe to share between threads; `close` writes what is left."""

    def __init__(
        self, database: Database, *, interval_seconds: float = INTERVAL_SECONDS, most_versions: int = MOST_VERSIONS
    ) -> None:
        self._database = database
        self._interval_seconds = interval_seconds
        self._most_versions = most_versions
        self._counts: Counter[tuple[int, int]] = Counter()
        self._lock = Lock()
        self._closing = Signal()
        self._writer: Thread | None = None

    def note(self, shown: Iterable[tuple[int, int]]) -> None:
        """Document versions that a search showed, each as its operation and its document's record."""
        with self._lock:
            for version in set(shown):
                if version in self._counts or len(self._counts) < self._most_versions:
                    self._counts[version] += 1
            if self._counts and self._writer is None:
                self._closing.clear()
                self._writer = Thread(target=self._write_now_and_then, name="recant-access-counter", daemon=True)
                self._writer.start()

    def flush(self) -> None:
        """Writes what was counted; forgets it where that fails."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        ordered = sorted(counts.items())
        given = {
            "operations": [operation_id for (operation_id, _), _ in ordered],
            "records": [record_id for (_, record_id), _ in ordered],
            "shown": [count for _, count in ordered],
        }
        try:
            with self._database.transaction() as connection:
                connection.execute(_SQL["count_accesses"], given)
        except Exception as error:
            logger.debug("Accesses of %d document versions were not counted: %s", len(ordered), error)

    def close(self) -> None:
        """Ends the thread and writes what is left. Noting again starts it again."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            self._closing.set()
            writer.join()
        self.flush()

    def _write_now_and_then(self) -> None:
        while not self._closing.wait(self._interval_seconds):
            self.flush()
