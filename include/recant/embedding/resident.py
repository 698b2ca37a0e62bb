"""A process that keeps the model loaded, so that short-lived ones (Airflow tasks) need not load it.

Serves on loopback only: `GET /health` says what it is, `POST /embed` takes {"texts": […], "purpose": "documents" or
"query"} with the bearer token of the state file and answers rows of little-endian float32. Queries are computed as the
lean path computes them wherever that is possible, so they get the same vector with and without this process, and don't
wait for documents. What is kept out: starting it in the background and restarting it (the installation's part).

    python -m recant.embedding.resident --state-file FILE [--model MODEL] [--dtype DTYPE] [--device DEVICE]
"""

from __future__ import annotations

import argparse
import contextlib
import hmac
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from recant.embedding.embedder import Purpose
from recant.embedding.model import ModelCard, resolve_model
from recant.embedding.resident_model import ResidentModel
from recant.embedding.resident_state import (
    CHALLENGE_HEADER,
    DIGEST_HEADER,
    MAX_BODY_BYTES,
    MAX_TEXTS,
    ResidentState,
    new_token,
    remove_state,
    write_state,
)
from recant.errors import ConfigurationError, RecantError
from recant.settings import read_settings

logger = logging.getLogger(__name__)

_READ_TIMEOUT_SECONDS = 60.0


class AlreadyRunning(ConfigurationError):
    """Another resident embedder holds the same state file."""


class ResidentServer(ThreadingHTTPServer):
    """The listening socket with its model and token; a thread for each connection."""

    daemon_threads = True

    def __init__(self, model: ResidentModel, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Binds at once (port 0: a free one). Raises ConfigurationError for an address other than loopback's."""
        _check_loopback(host)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.model = model
        try:
            super().__init__((host, port), _Request)
        except OSError as error:
            raise ConfigurationError(f"can't listen on {host} port {port}: {error}; choose another port") from error
        self.state = ResidentState(
            host, self.server_address[1], os.getpid(), model.card.name, model.card.digest, new_token()
        )

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that goes away is no news; anything else is logged."""
        if not isinstance(sys.exception(), OSError):
            logger.exception("request failed")


class _Request(BaseHTTPRequestHandler):
    """The two routes. Nothing is read from a caller without the token but the headers."""

    protocol_version = "HTTP/1.1"
    server_version = "recant"
    sys_version = ""
    timeout = _READ_TIMEOUT_SECONDS
    server: ResidentServer

    def do_GET(self) -> None:
        if self.path != "/health":
            return self._refuse(404, f"no such path: {self.path}")
        health: dict[str, str] = dict(self.server.model.health())
        challenge = self.headers.get(CHALLENGE_HEADER)
        if challenge:
            health["proof"] = self.server.state.proof(challenge)
        return self._answer(200, "application/json", json.dumps(health).encode())

    def do_POST(self) -> None:
        if self.path != "/embed":
            return self._refuse(404, f"no such path: {self.path}")
        if not self._authorised():
            return self._refuse(401, "the bearer token is missing or not the one of the state file")
        if self.headers.get(DIGEST_HEADER, self.server.model.card.digest) != self.server.model.card.digest:
            return self._refuse(409, "another model is served here")
        try:
            texts, purpose = _parse(self.rfile.read(self._body_bytes()))
        except _BadRequest as error:
            return self._refuse(error.status, str(error))
        return self._embed(texts, purpose)

    def _embed(self, texts: list[str], purpose: Purpose) -> None:
        try:
            vectors = self.server.model.embed(texts, purpose)
        except Exception as error:
            # whatever it is, the caller must learn of it and the server must go on
            logger.exception("can't embed %d texts", len(texts))
            return self._refuse(500, f"{type(error).__name__}: {error}")
        return self._answer(200, "application/octet-stream", vectors.astype("<f4", copy=False).tobytes())

    def _authorised(self) -> bool:
        given = self.headers.get("Authorization", "").encode("latin-1", "replace")
        return hmac.compare_digest(given, f"Bearer {self.server.state.token}".encode())

    def _body_bytes(self) -> int:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            raise _BadRequest(411, "a Content-Length is needed")
        if int(length) > MAX_BODY_BYTES:
            raise _BadRequest(413, f"more than {MAX_BODY_BYTES} bytes: send fewer texts at a time")
        return int(length)

    def _refuse(self, status: int, reason: str) -> None:
        """Say why and hang up: what was sent with the request may be unread."""
        self.close_connection = True
        self._answer(status, "application/json", json.dumps({"error": reason}).encode())

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header(DIGEST_HEADER, self.server.model.card.digest)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        logger.debug(format, *args)


class _BadRequest(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def _parse(body: bytes) -> tuple[list[str], Purpose]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _BadRequest(400, f"not JSON: {error}") from error
    texts = content.get("texts") if isinstance(content, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _BadRequest(400, 'want {"texts": [string, …], "purpose": "documents" or "query"}')
    if len(texts) > MAX_TEXTS:
        raise _BadRequest(413, f"{len(texts)} texts: send at most {MAX_TEXTS} at a time")
    purpose = content.get("purpose", "documents")
    if purpose not in ("documents", "query"):
        raise _BadRequest(400, f"purpose {purpose!r}: want documents or query")
    return texts, purpose


def _check_loopback(host: str) -> None:
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigurationError(f"{host} is not a loopback address: texts and token would travel unencrypted")


@contextlib.contextmanager
def running(
    card: ModelCard,
    *,
    state_file: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    preload: bool = True,
) -> Iterator[ResidentServer]:
    """A server on a thread of its own, with its state file while it lasts; `preload` loads the model beside it.

    Raises AlreadyRunning when another process serves under this state file.
    """
    state_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{state_file}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise AlreadyRunning(f"a resident embedder runs already under {state_file}: recant down stops it") from None
    with lock, ResidentServer(ResidentModel(card, dtype=dtype, device=device), host=host, port=port) as server:
        threading.Thread(target=server.serve_forever, name="resident-embedder", daemon=True).start()
        write_state(state_file, server.state)
        if preload:
            threading.Thread(target=server.model.load, name="load-model", daemon=True).start()
        try:
            yield server
        finally:
            remove_state(state_file, server.state)
            server.shutdown()


def serve(card: ModelCard, *, state_file: Path, **options: Any) -> None:
    """Serve until SIGTERM or SIGINT; `options` are those of `running`. To be called in the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with running(card, state_file=state_file, **options) as server:
        logger.info("%s at %s, process %d", card.name, server.state.address, server.state.pid)
        stop.wait()
    logger.info("stopped")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve from the command line; ends with the error's exit code when it can't."""
    given = _parse_arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        serve(
            resolve_model(given.model, cache_dir=given.state_file.parent),
            state_file=given.state_file,
            host=given.host,
            port=given.port,
            dtype=given.dtype,
            device=given.device,
            preload=not given.lazy,
        )
    except RecantError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Model, dtype and device default to the settings', so that the callers' model is the one that is served."""
    parser = argparse.ArgumentParser(prog="recant.embedding.resident", description="Keep an embedding model loaded.")
    try:
        settings = read_settings()
    except ValueError as error:
        parser.error(str(error))
    parser.add_argument("--state-file", type=Path, required=True, help="where address and token are written")
    parser.add_argument("--model", default=settings.model, help="name or path (default: all-MiniLM-L6-v2)")
    parser.add_argument("--dtype", default=settings.model_dtype, choices=("auto", "float32", "bfloat16", "float16"))
    parser.add_argument("--device", default=settings.device, help="auto, cpu, cuda, mps")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--lazy", action="store_true", help="load the model at the first documents")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # a thread may be inside torch, loading or computing: waiting for it would keep `recant down` waiting
    os._exit(code)
