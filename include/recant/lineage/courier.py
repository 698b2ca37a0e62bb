"""Delivers what the outbox owes to one destination: in order, at least once, with growing pauses while it fails."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from threading import Event

from recant.errors import TransientError
from recant.lineage.crew import Crew, Place
from recant.lineage.destinations import Destination, NeverDeliverable, NotDelivered
from recant.lineage.events import render_event
from recant.lineage.facets import ENDS
from recant.lineage.outbox import Delivery, Outbox, pause_seconds
from recant.store import Database, Row

log = logging.getLogger("recant.lineage")

PASS_EVENTS = 500
FAILURES_IN_A_ROW = 5
GIVE_UP_AFTER_ATTEMPTS = 12
"""So often an event is tried, some four minutes long, that a destination fails on while it takes others."""
POLL_SECONDS = 5.0
SHORTEST_WAIT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Letter:
    """An event on its way."""

    delivery: Delivery
    text: bytes
    place: Place


@dataclass(slots=True)
class Pass:
    """What came of one pass so far."""

    delivered: int = 0
    failures_in_a_row: int = 0
    failed: list[tuple[Sequence[Delivery], str]] = field(default_factory=list)
    reason: str | None = None
    """Why the destination takes no more now; None: it takes events."""

    def note_failure(self, deliveries: Sequence[Delivery], failure: NotDelivered) -> None:
        """One `send` failed."""
        self.failed.append((deliveries, str(failure)))
        self.failures_in_a_row += 1
        if failure.whole_destination or self.failures_in_a_row >= FAILURES_IN_A_ROW:
            self.reason = str(failure)

    def note_delivered(self, number: int) -> None:
        """One `send` was taken."""
        self.delivered += number
        self.failures_in_a_row = 0


class Courier:
    """One destination's deliveries. `stop` ends it between two of them; `wake` tells it that there is something new.

    `known_as` is the destination's name in the outbox.
    """

    def __init__(
        self, database: Database, destination: Destination, namespace: str, stop: Event, *, known_as: str | None = None
    ) -> None:
        self.outbox = Outbox(database, known_as or destination.name)
        self.wake = Event()
        self._destination = destination
        self._namespace = namespace
        self._stop = stop
        self._filled = False
        self._failed_passes = 0

    def deliver(self) -> int:
        """Whatever is due now, once; ends early when the destination is down. Returns how many were delivered."""
        delivered = 0
        while not self._stop.is_set():
            self._filled = self._filled or self.outbox.fill()
            deliveries, rows = self.outbox.due(PASS_EVENTS)
            result = self._deliver_all(self._render_all(deliveries, rows))
            delivered += result.delivered
            self._note(result.reason)
            if result.reason or len(deliveries) < PASS_EVENTS:
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
            log.warning("%s doesn't take events now (%s): they wait", self.outbox.destination, failure)
        elif self._failed_passes and not failure:
            log.info("%s takes events again", self.outbox.destination)
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
                letters.append(_letter(delivery, by_id[delivery.event_id], self._namespace))
            except Exception as error:  # a defect of ours must not stop the other operations' events
                log.exception("event %s can't be rendered", delivery.event_id)
                self.outbox.postpone([delivery], f"can't be rendered: {one_line(error)}")
                held_back.add(delivery.operation_id)
        return letters

    def _deliver_all(self, letters: Sequence[Letter]) -> Pass:
        result = Pass()
        if self._destination.events_at_once > 1:
            self._deliver_in_groups(letters, result)
        elif letters:
            self._deliver_side_by_side(letters, result)
        for deliveries, reason in result.failed:
            self._try_again(deliveries, reason, others_were_taken=result.delivered > 0)
        return result

    def _deliver_in_groups(self, letters: Sequence[Letter], result: Pass) -> None:
        for group in _groups(letters, self._destination.events_at_once):
            if self._stop.is_set() or result.reason:
                return
            deliveries = [letter.delivery for letter in group]
            try:
                self._destination.send([letter.text for letter in group])
            except NotDelivered as failure:
                result.note_failure(deliveries, failure)
                return
            self.outbox.delivered(deliveries)
            result.note_delivered(len(deliveries))

    def _deliver_side_by_side(self, letters: Sequence[Letter], result: Pass) -> None:
        def goes_on() -> bool:
            return not (self._stop.is_set() or result.reason)

        with Crew(self._send, self._destination.connections) as crew:
            for outcomes in crew.deliver([(letter, letter.place) for letter in letters], goes_on):
                taken = [letter.delivery for letter, failure in outcomes if failure is None]
                if taken:
                    self.outbox.delivered(taken)
                    result.note_delivered(len(taken))
                for letter, failure in outcomes:
                    if failure is not None:
                        self._set_aside(letter, failure, result)

    def _send(self, letter: Letter) -> None:
        self._destination.send([letter.text])

    def _set_aside(self, letter: Letter, failure: Exception, result: Pass) -> None:
        if isinstance(failure, NotDelivered):
            result.note_failure([letter.delivery], failure)
        elif isinstance(failure, NeverDeliverable):
            self._bury([letter.delivery], str(failure))
        else:
            raise failure

    def _try_again(self, deliveries: Sequence[Delivery], reason: str, *, others_were_taken: bool) -> None:
        attempts = max(delivery.attempts for delivery in deliveries) + 1
        if others_were_taken and attempts >= GIVE_UP_AFTER_ATTEMPTS:
            self._bury(deliveries, f"given up after {attempts} attempts: {reason}")
        else:
            self.outbox.postpone(deliveries, reason)

    def _bury(self, deliveries: Sequence[Delivery], reason: str) -> None:
        log.error("%s: event %s is set aside: %s", self.outbox.destination, deliveries[0].event_id, reason)
        self.outbox.bury(deliveries, reason)


def one_line(error: BaseException) -> str:
    """What went wrong, short enough for a log's line."""
    kind = "" if isinstance(error, TransientError) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())[:300]


def encoded(row: Row, namespace: str) -> tuple[bytes, Place]:
    """The event of a row of `read_events` as one line of JSON, and where it stands among the others."""
    event = render_event(row, namespace=namespace)
    text = json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    ends = event["job"]["name"] if row["event_type"] in ENDS else None  # type: ignore[index,call-overload]
    return text, Place(row["operation_id"], ends)  # type: ignore[arg-type]


def _letter(delivery: Delivery, row: Row, namespace: str) -> Letter:
    return Letter(delivery, *encoded(row, namespace))


def _groups(letters: Sequence[Letter], size: int) -> Iterator[list[Letter]]:
    rest = iter(letters)
    while group := list(islice(rest, size)):
        yield group
