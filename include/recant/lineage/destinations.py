"""Where events go: a file of this machine, and Marquez. Each says what its failures mean for the next attempt."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import httpx

from recant.lineage.naming import MARQUEZ_PATH, marquez_place

CONNECT_TIMEOUT_SECONDS = 2.0
ANSWER_TIMEOUT_SECONDS = 60.0
"""Nothing waits for the relay, and an event that a slow server takes in the end needn't be sent again."""
MARQUEZ_CONNECTIONS = 4
"""Marquez takes 39 events a second one after the other and about 70 over four connections; more bring nothing."""
ABOUT_THE_ADDRESS = (401, 403, 404, 405, 407, 408, 429)
"""Refusals that say nothing of the event: a missing login, a wrong path, a proxy's answer, too many requests."""


class NotDelivered(Exception):
    """Not taken this time. `whole_destination`: nothing else would be, either, so it is no use going on now."""

    def __init__(self, reason: str, *, whole_destination: bool) -> None:
        super().__init__(reason)
        self.whole_destination = whole_destination


class NeverDeliverable(Exception):
    """Understood and refused: the same event would be refused again."""


class Destination(Protocol):
    """What takes events."""

    name: str
    """Its kind; the first of a kind is known by it."""
    identity: str | None
    """Which of its kind it is; None: there is only one. Another identity is owed the whole history."""
    connections: int
    """How many threads may `send` at once."""
    events_at_once: int
    """How many events one `send` takes; they succeed or fail together."""

    def send(self, events: Sequence[bytes]) -> None:
        """Deliver JSON documents in order. Raises NotDelivered or NeverDeliverable."""

    def close(self) -> None:
        """Let go of files and connections."""


class FileDestination:
    """One JSON document a line, appended whole and on the disk before it counts as delivered. Only the owner reads it.

    The file may be moved away at any time: it is opened anew for each delivery.
    """

    name = "file"
    identity: str | None = None
    connections = 1
    events_at_once = 500

    def __init__(self, path: Path) -> None:
        self.path = path

    def send(self, events: Sequence[bytes]) -> None:
        """Append the lines. Raises NotDelivered with the system's reason (a full disk, a missing permission)."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                _append(descriptor, events)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise NotDelivered(f"{self.path.name}: {error.strerror or error}", whole_destination=True) from error

    def close(self) -> None:
        """Nothing is held between deliveries."""


def _append(descriptor: int, events: Sequence[bytes]) -> None:
    """What fails half-way is taken back, as is what an earlier crash left unfinished: the file holds whole lines."""
    start = _cut_unfinished_line(descriptor)
    try:
        for event in events:
            line = event + b"\n"
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, start)
        raise


def _cut_unfinished_line(descriptor: int) -> int:
    """The length of the file, after cutting what follows its last line feed."""
    size = end = os.fstat(descriptor).st_size
    while end > 0:
        begin = max(0, end - 65536)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            end = begin + found + 1
            break
        end = begin
    if end < size:
        os.ftruncate(descriptor, end)
    return end


class MarquezDestination:
    """Marquez, or whatever answers to its `POST /api/v1/lineage`: one event a request, without retries of its own.

    Several threads may use it. `identity` is the address without user and password, unless another is given.
    """

    name = "marquez"
    events_at_once = 1

    def __init__(self, url: str, *, identity: str | None = None, connections: int = MARQUEZ_CONNECTIONS) -> None:
        self.address = url.rstrip("/").removesuffix(MARQUEZ_PATH) + MARQUEZ_PATH
        self.connections = connections
        self.identity: str | None = identity or marquez_place(url)
        timeout = httpx.Timeout(ANSWER_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS)
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._client = httpx.Client(timeout=timeout, limits=limits, headers={"Content-Type": "application/json"})

    def send(self, events: Sequence[bytes]) -> None:
        """Post each. Raises NotDelivered when it can't be reached or answers that it can't, else NeverDeliverable."""
        for event in events:
            try:
                response = self._client.post(self.address, content=event)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise NotDelivered(_reason(error), whole_destination=True) from error
            _require_taken(response)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _require_taken(response: httpx.Response) -> None:
    code = response.status_code
    if response.is_success:
        return
    reason = f"{code} {response.reason_phrase}: {response.text[:300]}".rstrip(": ")
    if 400 <= code < 500 and code not in ABOUT_THE_ADDRESS:
        raise NeverDeliverable(reason)
    raise NotDelivered(reason, whole_destination=code < 500)


def _reason(error: Exception) -> str:
    """Without the address, which may hold a password."""
    if isinstance(error, httpx.TimeoutException):
        return f"no answer in time ({type(error).__name__})"
    return f"{type(error).__name__}: {error}"
