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

    def fill(self) -> bool:
        """Put down what the destination hasn't been owed yet. True when nothing can be missing any more."""
        with self._database.transaction() as connection:
            row = connection.execute(
                load(__package__, "lineage.sql")["fill_destination"], {"destination": self.destination}
            ).fetchone()
        return bool(row and row["complete"])

    def delivered(self, deliveries: Sequence[Delivery]) -> None:
        """The destination has them."""
        self._record("mark_delivered", deliveries)

    def postpone(self, deliveries: Sequence[Delivery], error: str) -> None:
        """Try again after a pause that grows with the attempts."""
        seconds = pause_seconds(max(delivery.attempts for delivery in deliveries))
        self._record("postpone", deliveries, error=error[:ERROR_CHARACTERS], seconds=seconds)

    def bury(self, deliveries: Sequence[Delivery], error: str) -> None:
        """The destination will never take them; the reason stays with each, and `replay` makes them owed again."""
        self._record("mark_dead", deliveries, error=error[:ERROR_CHARACTERS])

    def seconds_until_next_attempt(self) -> float | None:
        """None when nothing is pending; 0 or less when something is due."""
        query = load(__package__, "lineage.sql")["seconds_until_next_attempt"]
        with self._database.transaction() as connection:
            row = connection.execute(query, {"destination": self.destination}).fetchone()
        return row["seconds"] if row else None

    def _record(self, query: str, deliveries: Sequence[Delivery], **values: JSON) -> None:
        queries = load(__package__, "lineage.sql")
        parameters = {"destination": self.destination, "events": [d.event_id for d in deliveries], **values}
        with self._database.transaction() as connection:
            connection.execute(queries["commit_lazily"])
            connection.execute(queries[query], parameters)


def attach_destination(database: Database, kind: str, address: str | None) -> str:
    """Make a receiver known, or wanted again: from now on every event is owed to it, and all that it hasn't had before.

    Returns the name it is known by, the kind's for the first of a kind. No write waits for it.
    """
    queries = load(__package__, "lineage.sql")
    with database.transaction() as connection:
        row = connection.execute(queries["attach_destination"], {"kind": kind, "address": address}).fetchone()
    assert row
    return str(row["name"])


def detach_destinations(database: Database, keep: Sequence[str]) -> None:
    """No new events are put down for any destination but these, until it is attached again."""
    with database.transaction() as connection:
        connection.execute(load(__package__, "lineage.sql")["detach_destinations"], {"keep": list(keep)})


def lineage_status(database: Database) -> list[dict[str, JSON]]:
    """What each destination has had and is owed, by name.

    pending (of these `failing` were tried in vain), delivered, dead; oldest_pending_seconds and next_attempt_seconds
    (None: nothing pending; 0 or less: due), last_delivered_at, last_error; address, attached, filled (False: part of
    its history is still to be put down).
    """
    with database.snapshot(on_primary=True) as connection:
        rows = [dict(row) for row in connection.execute(load(__package__, "lineage.sql")["lineage_status"])]
    for row in rows:
        row["last_delivered_at"] = row["last_delivered_at"].isoformat() if row["last_delivered_at"] else None
    return rows


def take_the_relays_lock(connection: Connection) -> bool:
    """Whether this connection is now the one that may deliver; it is until it closes."""
    row = connection.execute(load(__package__, "lineage.sql")["take_the_relays_lock"]).fetchone()
    return bool(row and row["taken"])


def pause_seconds(attempts: int) -> float:
    """The pause after a failure that `attempts` others went before: doubling to a minute, by half of it at random."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempts, 20))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads attempts, keeps no secret
