"""The metrics over HTTP, for a Prometheus server on the same machine: loopback only, with a bearer token."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from recant.errors import RecantError, UsageError
from recant.monitoring.metrics import CONTENT_TYPE

LOOPBACK = "127.0.0.1"
PATH = "/metrics"


class MetricsServer:
    """Answers `GET /metrics` with what `render` gives, to whoever shows the token. Nothing else is answered.

    Bound when it is made; `serve` answers until `stop`, which another thread calls.
    """

    def __init__(self, render: Callable[[], str], token: str, port: int = 0) -> None:
        """Port 0: any that is free. Raises UsageError when the port is taken."""
        handler = type("MetricsHandler", (_Handler,), {"render": staticmethod(render), "token": token})
        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), handler)
        except OSError as error:
            raise UsageError(f"Port {port} can't be listened on ({error.strerror}): name another one.") from error
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where to ask."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}{PATH}"

    def serve(self) -> None:
        """Answers until it is stopped."""
        with self._server:
            self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """Ends `serve`."""
        self._server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    render: Callable[[], str]
    token: str
    timeout = 10
    server_version = "recant"
    sys_version = ""

    def do_GET(self) -> None:
        if not self._may():
            self._answer(HTTPStatus.UNAUTHORIZED, "A bearer token is needed.\n", {"WWW-Authenticate": "Bearer"})
        elif self.path.partition("?")[0] != PATH:
            self._answer(HTTPStatus.NOT_FOUND, f"Ask for {PATH}.\n")
        else:
            self._tell()

    def _tell(self) -> None:
        try:
            text = self.render()
        except RecantError as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n")
        else:
            self._answer(HTTPStatus.OK, text, {"Content-Type": CONTENT_TYPE})

    def _may(self) -> bool:
        scheme, _, shown = self.headers.get("Authorization", "").partition(" ")
        known = self.token.encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode("utf-8", "replace"), known)

    def _answer(self, status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not worth a line each."""
