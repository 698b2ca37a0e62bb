"""Sends events over several connections at once, in the order that a receiver needs.

An event goes after the one before it of its run; a run's end goes after the end before it of the same job, as Marquez takes
a job's edges from the run that ended last. Everything else may go side by side. Kept out: the database (`outbox`), what
follows from a failure (`courier`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

from recant.lineage.destinations import NeverDeliverable

Item = TypeVar("Item")
Outcome = tuple[Item, Exception | None]
"""What came of it: None when it was taken, else why not. After a NeverDeliverable its run goes on."""


@dataclass(slots=True, eq=False)
class _Node(Generic[Item]):
    item: Item
    run: Hashable
    waits_for: int = 0
    next_of_run: _Node[Item] | None = None
    next_end: _Node[Item] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands: its run, and for a run's end its job."""

    run: Hashable
    ends_job: Hashable | None = None


class Crew(Generic[Item]):
    """`threads` threads that send. They are daemons: a server that keeps an answer back holds no process up."""

    def __init__(self, send: Callable[[Item], None], threads: int) -> None:
        self._threads = threads
        self._work: SimpleQueue[_Node[Item] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[_Node[Item], Exception | None]] = SimpleQueue()
        self._send = send
        self._going = 0

    def __enter__(self) -> Crew[Item]:
        for number in range(self._threads):
            Thread(target=self._serve, name=f"sender-{number}", daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        for _ in range(self._threads):
            self._work.put(None)

    def deliver(
        self, items: Sequence[tuple[Item, Place]], goes_on: Callable[[], bool]
    ) -> Iterator[Sequence[Outcome[Item]]]:
        """Sends them, and yields what came of those that are done, as they are done; a run ends where one has to wait.

        Until something was answered only one is on its way at a time, so that a server that is down is asked once. Asks
        `goes_on` before each; those on their way are waited for.
        """
        order = _Order(items)
        wide = 1
        while True:
            while self._going < wide and order.ready and goes_on():
                self._work.put(order.ready.popleft())
                self._going += 1
            if not self._going:
                return
            finished = [self._done.get()]
            while not self._done.empty():
                finished.append(self._done.get())
            self._going -= len(finished)
            for node, failure in finished:
                answered = failure is None or isinstance(failure, NeverDeliverable)
                order.settle(node, sent=answered)
                wide = self._threads if answered else wide
            yield [(node.item, failure) for node, failure in finished]

    def _serve(self) -> None:
        while (node := self._work.get()) is not None:
            failure: Exception | None = None
            try:
                self._send(node.item)
            except Exception as error:  # told to whoever reads the outcomes
                failure = error
            self._done.put((node, failure))


@dataclass(slots=True)
class _Order(Generic[Item]):
    """What may go now. An end that fails, or never gets its turn, holds up no other run's."""

    items: Sequence[tuple[Item, Place]]
    ready: deque[_Node[Item]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        last_of_run: dict[Hashable, _Node[Item]] = {}
        last_end: dict[Hashable, _Node[Item]] = {}
        for item, place in self.items:
            node = _Node(item, place.run)
            if (before := last_of_run.get(place.run)) is not None:
                before.next_of_run = node
                node.waits_for += 1
            last_of_run[place.run] = node
            if place.ends_job is not None:
                if (end := last_end.get(place.ends_job)) is not None:
                    end.next_end = node
                    node.waits_for += 1
                last_end[place.ends_job] = node
            if node.waits_for == 0:
                self.ready.append(node)

    def settle(self, node: _Node[Item], *, sent: bool) -> None:
        """An event was sent, or wasn't: those that waited for it alone are ready; of its run none is, if it wasn't."""
        if sent:
            self._release(node.next_of_run)
            self._release(node.next_end)
            return
        lost: _Node[Item] | None = node
        while lost is not None:
            self._release(lost.next_end)
            lost = lost.next_of_run

    def _release(self, node: _Node[Item] | None) -> None:
        if node is not None:
            node.waits_for -= 1
            if node.waits_for == 0:
                self.ready.append(node)
