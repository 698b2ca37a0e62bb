"""Delivers what the outbox owes to one destination: in order, at least once, with growing pauses while it fails."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from threading import Event

from recant.errors import TransientError
from recant.lineage.destinations import Destination, NeverDeliverable, NotDelivered
from recant.lineage.events import render_event
from recant.lineage.outbox import Delivery, Outbox, pause_seconds
from recant.store import Database, Row

log = logging.getLogger("recant.lineage")

PASS_EVENTS = 500
FAILURES_IN_A_ROW = 5
POLL_SECONDS = 5.0
SHORTEST_WAIT_SECONDS = 0.05

Letter = tuple[Delivery, bytes]


class Courier:
    """One destination's deliveries. `stop` ends it between two of them; `wake` tells it that there is something new."""

    def __init__(self, database: Database, destination: Destination, namespace: str, stop: Event) -> None:
        self.outbox = Outbox(database, destination.name)
        self.wake = Event()
        self._destination = destination
        self._namespace = namespace
        self._stop = stop
        self._failed_passes = 0

    def deliver(self) -> int:
        """Whatever is due now, once; ends early when the destination is down. Returns how many were delivered."""
        delivered = 0
        while not self._stop.is_set():
            deliveries, rows = self.outbox.due(PASS_EVENTS)
            done, failure = self._deliver_all(self._render_all(deliveries, rows))
            delivered += done
            self._note(failure)
            if failure or len(deliveries) < PASS_EVENTS:
                break
        return delivered

    def run(self) -> None:
        """Deliver until told to stop: when something new is announced, something postponed is due, or time passes."""
        while not self._stop.is_set():
            self.wake.clear()
            try:
                self.deliver()
                pause = self._pause()
            except Exception as error:  # the database is away, or worse: a courier outlives it
                self._note(one_line(error))
                pause = pause_seconds(self._failed_passes)
            self._wait(pause)

    def _pause(self) -> float:
        if self._failed_passes:
            return pause_seconds(self._failed_passes)
        seconds = self.outbox.seconds_until_next_attempt()
        return POLL_SECONDS if seconds is None else min(POLL_SECONDS, max(SHORTEST_WAIT_SECONDS, seconds))

    def _wait(self, seconds: float) -> None:
        """While the destination fails, news doesn't shorten the pause."""
        (self._stop if self._failed_passes else self.wake).wait(seconds)

    def _note(self, failure: str | None) -> None:
        """Tells the log when things turn, and not at every attempt."""
        if failure and not self._failed_passes:
            log.warning("%s doesn't take events now (%s): they wait", self._destination.name, failure)
        elif self._failed_passes and not failure:
            log.info("%s takes events again", self._destination.name)
        self._failed_passes = self._failed_passes + 1 if failure else 0

    def _render_all(self, deliveries: Sequence[Delivery], rows: Sequence[Row]) -> list[Letter]:
        """An event that can't be rendered waits for a Recant that can, and its operation's later ones with it."""
        by_id = {row["event_id"]: row for row in rows}
        letters: list[Letter] = []
        held_back: set[int] = set()
        for delivery in deliveries:
            if delivery.operation_id in held_back:
                continue
            try:
                letters.append((delivery, _encode(by_id[delivery.event_id], self._namespace)))
            except Exception as error:  # a defect of ours must not stop the other operations' events
                log.exception("event %s can't be rendered", delivery.event_id)
                self.outbox.postpone([delivery], f"can't be rendered: {one_line(error)}")
                held_back.add(delivery.operation_id)
        return letters

    def _deliver_all(self, letters: Sequence[Letter]) -> tuple[int, str | None]:
        """How many were delivered, and why the destination takes no more now (None: it takes events)."""
        held_back: set[int] = set()
        delivered = failures = 0
        for group in _groups(letters, self._destination.events_at_once):
            ready = [letter for letter in group if letter[0].operation_id not in held_back]
            if self._stop.is_set() or not ready:
                continue
            try:
                delivered += self._deliver_group(ready)
                failures = 0
            except NotDelivered as failure:
                self.outbox.postpone([delivery for delivery, _ in ready], str(failure))
                held_back.update(delivery.operation_id for delivery, _ in ready)
                failures += 1
                if failure.whole_destination or failures >= FAILURES_IN_A_ROW:
                    return delivered, str(failure)
        return delivered, None

    def _deliver_group(self, letters: Sequence[Letter]) -> int:
        deliveries = [delivery for delivery, _ in letters]
        try:
            self._destination.send([event for _, event in letters])
        except NeverDeliverable as refusal:
            log.error("%s refused event %s for good: %s", self._destination.name, deliveries[0].event_id, refusal)
            self.outbox.bury(deliveries, str(refusal))
            return 0
        self.outbox.delivered(deliveries)
        return len(deliveries)


def one_line(error: BaseException) -> str:
    """What went wrong, short enough for a log's line."""
    kind = "" if isinstance(error, TransientError) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())[:300]


def _encode(row: Row, namespace: str) -> bytes:
    event = render_event(row, namespace=namespace)
    return json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def _groups(letters: Sequence[Letter], size: int) -> Iterator[list[Letter]]:
    rest = iter(letters)
    while group := list(islice(rest, size)):
        yield group
