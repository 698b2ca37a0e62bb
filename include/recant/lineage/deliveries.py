"""What became of the events: looked at, owed again, written to a file. Delivering them is the relay's work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from recant.errors import UsageError
from recant.json_types import JSON
from recant.lineage.outbox import lineage_status
from recant.settings import Settings
from recant.store import Database, Row, load

EXPORT_EVENTS = 500


class Deliveries:
    """The state of delivery over one database. Each call is a transaction of its own."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._namespace = settings.lineage_namespace

    def status(self) -> list[dict[str, JSON]]:
        """One dict a destination, as `lineage_status` describes it."""
        return lineage_status(self._database)

    def relay_runs(self) -> bool:
        """Whether a relay is at work on this database."""
        row = self._one("relay_at_work")
        return bool(row and row["running"])

    def dead(self, *, limit: int = 100) -> list[dict[str, JSON]]:
        """Events that a destination won't be sent any more, oldest first.

        destination, event_id, operation_id, event_type, kind, agent, run_id (OpenLineage's), attempts, error.
        """
        return [dict(row) for row in self._all("find_dead", at_most=limit)]

    def replay(
        self,
        *,
        destination: str | None = None,
        dead: bool = False,
        operation: int | None = None,
        run: str | None = None,
        everything: bool = False,
    ) -> dict[str, int]:
        """Have events delivered once more: `dead` ones, those of an operation or of a run, or the whole history.

        `run` is a run id as its writer calls it, or OpenLineage's. The choices narrow each other down. Returns how many
        events each destination is owed anew; receivers know an event that they had by its run and type. Raises
        UsageError when nothing is chosen, or when there is no such destination.
        """
        if not (dead or everything or operation is not None or run is not None):
            raise UsageError("Say what to deliver again: dead events, those of an operation or a run, or everything.")
        self._require_known(destination)
        parameters = {"destination": destination, "dead": dead, "operation": operation, "run": run}
        queries = load(__package__, "lineage.sql")
        with self._database.transaction() as connection:
            owed = {row["destination"]: row["events"] for row in connection.execute(queries["replay"], parameters)}
            connection.execute(queries["tell_the_relay"])
        return owed

    def export(self, *, operation: int | None = None, run: str | None = None) -> Iterator[bytes]:
        """Every event so far, or those of an operation or a run, as lines of JSON in the order in which they came to be.

        They equal what a destination is sent; nothing is noted as delivered.
        """
        from recant.lineage.courier import encoded

        for rows in self._pages(operation, run):
            for row in rows:
                yield encoded(row, self._namespace)[0] + b"\n"

    def _pages(self, operation: int | None, run: str | None) -> Iterator[Sequence[Row]]:
        after = 0
        while True:
            found = self._all("find_events", after=after, operation=operation, run=run, at_most=EXPORT_EVENTS)
            if found:
                after = found[-1]["event_id"]
                yield self._all("read_events", events=[row["event_id"] for row in found])
            if len(found) < EXPORT_EVENTS:
                return

    def _require_known(self, destination: str | None) -> None:
        known = [str(row["destination"]) for row in self.status()]
        if destination is not None and destination not in known:
            raise UsageError(f'No destination is called "{destination}"; there is {", ".join(known) or "none yet"}.')

    def _all(self, query: str, **parameters: Any) -> list[Row]:
        with self._database.snapshot(on_primary=True) as connection:
            return connection.execute(load(__package__, "lineage.sql")[query], parameters).fetchall()

    def _one(self, query: str, **parameters: Any) -> Row | None:
        return next(iter(self._all(query, **parameters)), None)
