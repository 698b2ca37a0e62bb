"""A strict OpenLineage collector on loopback that answers as Marquez does, or as a broken one would."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.openlineage_reader import Malformed, read_event

Answer = Callable[[dict[str, Any], int], int | str | float]


def always_created(event: dict[str, Any], attempt: int) -> int:
    """The healthy answer."""
    return 201


class Collector:
    """Keeps the events that it answered 201 to, in order of arrival.

    `answer(event, attempt)` gives a status, a number of seconds (float) to be silent for, or "reset". The attempt
    counts from 1, by run and type. An event that breaks the specification gets 422 whatever the answer says.
    """

    def __init__(self, answer: Answer = always_created, port: int = 0) -> None:
        self.answer = answer
        self.events: list[dict[str, Any]] = []
        self.malformed: list[str] = []
        self.attempts: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def runs(self) -> dict[str, list[str]]:
        """Event types by run, in order of arrival."""
        with self._lock:
            found: dict[str, list[str]] = {}
            for event in self.events:
                found.setdefault(event["run"]["runId"], []).append(event["eventType"])
            return found

    def judge(self, body: bytes) -> int | str | float:
        """What to answer to this body."""
        event = json.loads(body)
        try:
            read_event(event)
        except Malformed as error:
            self.malformed.append(str(error))
            return 422
        with self._lock:
            key = (event["run"]["runId"], event["eventType"])
            attempt = self.attempts[key] = self.attempts.get(key, 0) + 1
        answer = self.answer(event, attempt)
        if answer == 201:
            with self._lock:
                self.events.append(event)
        return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], collector: Collector) -> None:
        self.collector = collector
        super().__init__(address, _Requests)

    def handle_error(self, request: object, client_address: object) -> None:
        """A relay that has gone away in the middle is what some tests are about."""


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/api/v1/lineage":
            return self._send(404)
        answer = self.server.collector.judge(body)
        if answer == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return None
        if isinstance(answer, float):
            time.sleep(answer)
            answer = 201
        return self._send(int(answer))

    def _send(self, status: int) -> None:
        text = b"" if status == 201 else b"the collector's reason"
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        """Quiet."""
