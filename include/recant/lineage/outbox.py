"""The outbox as the relay sees it: which events a destination is owed, and what became of each attempt.

States: pending -> delivered | dead. Rows come into being with the change they tell of (the database's `emit_lineage`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from recant.json_types import JSON
from recant.store import Connection, Database, Row, load

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
ERROR_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event that one destination is owed. `attempts`: how often it was tried before."""

    event_id: int
    operation_id: int
    attempts: int


class Outbox:
    """What one destination is owed. Safe to use from its thread; each call is a transaction of its own."""

    def __init__(self, database: Database, destination: str) -> None:
        self._database = database
        self.destination = destination

    def due(self, at_most: int) -> tuple[list[Delivery], list[Row]]:
        """Deliveries that may be tried now, oldest first, each with the log's row that its event is rendered from."""
        queries = load(__package__, "lineage.sql")
        with self._database.transaction() as connection:
            found = connection.execute(
                queries["due_deliveries"], {"destination": self.destination, "at_most": at_most}
            ).fetchall()
            if not found:
                return [], []
            events = [row["event_id"] for row in found]
            rows = connection.execute(queries["read_events"], {"events": events}).fetchall()
        return [Delivery(row["event_id"], row["operation_id"], row["attempts"]) for row in found], rows

    def delivered(self, deliveries: Sequence[Delivery]) -> None:
        """The destination has them."""
        self._record("mark_delivered", deliveries)

    def postpone(self, deliveries: Sequence[Delivery], error: str) -> None:
        """Try again after a pause that grows with the attempts."""
        seconds = pause_seconds(max(delivery.attempts for delivery in deliveries))
        self._record("postpone", deliveries, error=error[:ERROR_CHARACTERS], seconds=seconds)

    def bury(self, deliveries: Sequence[Delivery], error: str) -> None:
        """The destination will never take them; the reason stays with each."""
        self._record("mark_dead", deliveries, error=error[:ERROR_CHARACTERS])

    def seconds_until_next_attempt(self) -> float | None:
        """None when nothing is pending; 0 or less when something is due."""
        query = load(__package__, "lineage.sql")["seconds_until_next_attempt"]
        with self._database.transaction() as connection:
            row = connection.execute(query, {"destination": self.destination}).fetchone()
        return row["seconds"] if row else None

    def _record(self, query: str, deliveries: Sequence[Delivery], **values: JSON) -> None:
        parameters = {"destination": self.destination, "events": [d.event_id for d in deliveries], **values}
        with self._database.transaction() as connection:
            connection.execute(load(__package__, "lineage.sql")[query], parameters)


def register_destinations(database: Database, names: Sequence[str]) -> None:
    """Make destinations known: from now on every event is owed to them, and the whole history at once.

    Looks first: registering waits for every operation that is being opened or published at the moment.
    """
    queries = load(__package__, "lineage.sql")
    with database.transaction() as connection:
        known = {row["name"] for row in connection.execute(queries["find_destinations"], {"destinations": list(names)})}
        for name in names:
            if name not in known:
                connection.execute(queries["register_destination"], {"destination": name})


def lineage_status(database: Database) -> list[dict[str, JSON]]:
    """For each destination: pending, delivered, dead, oldest_pending_seconds (None: nothing pending), last_error."""
    with database.snapshot() as connection:
        return [dict(row) for row in connection.execute(load(__package__, "lineage.sql")["lineage_status"])]


def take_the_relays_lock(connection: Connection) -> bool:
    """Whether this connection is now the one that may deliver; it is until it closes."""
    row = connection.execute(load(__package__, "lineage.sql")["take_the_relays_lock"]).fetchone()
    return bool(row and row["taken"])


def pause_seconds(attempts: int) -> float:
    """The pause after a failure that `attempts` others went before: doubling to a minute, by half of it at random."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempts, 20))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads attempts, keeps no secret
