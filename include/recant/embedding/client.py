"""The caller's side of a resident embedder: vectors without loading a model in this process.

Imports http.client and numpy only. A text goes only to a server that has proved to hold the state file's token.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recant.embedding.embedder import Progress, Purpose
from recant.embedding.model import ModelCard
from recant.embedding.resident_state import (
    CHALLENGE_HEADER,
    DIGEST_HEADER,
    MAX_BODY_BYTES,
    ResidentState,
    WrongModel,
    read_state,
)
from recant.errors import EmbedderUnreachable, UsageError

HANDSHAKE_TIMEOUT_SECONDS = 5.0
ANSWER_TIMEOUT_SECONDS = 600.0
"""A request may wait for those before it: one takes some seconds on two cores."""
_BATCH_TEXTS = 256
_BATCH_CHARACTERS = 1024 * 1024


class ResidentEmbedder:
    """Computes vectors in the process that a state file names. May be shared by threads."""

    def __init__(self, state_file: Path, card: ModelCard, *, purpose: Purpose = "documents") -> None:
        """Connects to nothing yet: the server may come and go, and be another one at each `embed`."""
        self.card = card
        self.purpose = purpose
        self._state_file = state_file

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """Vectors of unit length, shape (len(texts), dimensions), sent and fetched in batches of up to 256 texts.

        Raises EmbedderUnreachable when no server answers, breaks off, fails or can't prove itself; WrongModel when it
        serves other weights; UsageError for a text of more than 32 MB.
        """
        vectors = np.empty((len(texts), self.card.dimensions), np.float32)
        connection, state = self._connect()
        try:
            for batch in _batches(texts):
                vectors[batch] = self._request(connection, state, texts[batch])
                if progress is not None:
                    progress(batch.stop, len(texts))
        finally:
            connection.close()
        return vectors

    def health(self) -> dict[str, Any]:
        """What the server says of itself: state ("waiting", "loading", "ready", "failed"), model, digest, dtype, device.

        Raises EmbedderUnreachable.
        """
        state = read_state(self._state_file)
        connection = _open(state)
        try:
            return _handshake(connection, state)
        finally:
            connection.close()

    def _connect(self) -> tuple[HTTPConnection, ResidentState]:
        state = read_state(self._state_file)
        connection = _open(state)
        try:
            self._check_digest(_handshake(connection, state).get("digest"))
            if connection.sock is not None:
                connection.sock.settimeout(ANSWER_TIMEOUT_SECONDS)
        except BaseException:
            connection.close()
            raise
        return connection, state

    def _request(self, connection: HTTPConnection, state: ResidentState, texts: Sequence[str]) -> NDArray[np.float32]:
        body = json.dumps({"texts": list(texts), "purpose": self.purpose}).encode()
        if len(body) > MAX_BODY_BYTES:
            raise UsageError(f"a text of {len(body)} bytes is too long to embed: cut it into chunks")
        headers = {
            "Authorization": f"Bearer {state.token}",
            "Content-Type": "application/json",
            DIGEST_HEADER: self.card.digest,
        }
        response, answer = _exchange(connection, state, "POST", "/embed", body, headers)
        self._check_digest(response.headers.get(DIGEST_HEADER))
        if response.status != 200:
            raise EmbedderUnreachable(f"the resident embedder at {state.address} answers {_error(response, answer)}")
        if len(answer) != len(texts) * self.card.dimensions * 4:
            raise EmbedderUnreachable(
                f"the resident embedder at {state.address} sent {len(answer)} bytes, not whole rows"
            )
        return np.frombuffer(answer, "<f4").reshape(len(texts), self.card.dimensions)

    def _check_digest(self, served: str | None) -> None:
        if served is not None and served != self.card.digest:
            raise WrongModel(
                f"the resident embedder serves a model with weights {served[:12]}…, wanted is {self.card.name} with "
                f"{self.card.digest[:12]}…: recant down, then recant up starts it with the model of the settings",
                expected=self.card.digest,
                actual=served,
            )


def _batches(texts: Sequence[str]) -> Iterator[slice]:
    """Consecutive texts, at most 256 and some million characters together, a longer one by itself."""
    start = characters = 0
    for position, text in enumerate(texts):
        if position > start and (position - start >= _BATCH_TEXTS or characters + len(text) > _BATCH_CHARACTERS):
            yield slice(start, position)
            start, characters = position, 0
        characters += len(text)
    if start < len(texts):
        yield slice(start, len(texts))


def _open(state: ResidentState) -> HTTPConnection:
    return HTTPConnection(state.host, state.port, timeout=HANDSHAKE_TIMEOUT_SECONDS)


def _handshake(connection: HTTPConnection, state: ResidentState) -> dict[str, Any]:
    """The server's health, once it has proved to hold the token."""
    challenge = secrets.token_hex(16)
    response, answer = _exchange(connection, state, "GET", "/health", None, {CHALLENGE_HEADER: challenge})
    try:
        health = json.loads(answer)
        proof = str(health.pop("proof", ""))
    except (ValueError, AttributeError, TypeError) as error:
        raise EmbedderUnreachable(f"another program answers at {state.address}: recant down, then recant up") from error
    if response.status != 200 or not hmac.compare_digest(proof.encode(), state.proof(challenge).encode()):
        raise EmbedderUnreachable(f"another program answers at {state.address}: recant down, then recant up")
    return dict(health)


def _exchange(
    connection: HTTPConnection,
    state: ResidentState,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
) -> tuple[HTTPResponse, bytes]:
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response, response.read()
    except (OSError, HTTPException) as error:
        raise EmbedderUnreachable(
            f"the resident embedder at {state.address} does not answer ({type(error).__name__}: {error}): "
            "recant up starts it again"
        ) from error


def _error(response: HTTPResponse, answer: bytes) -> str:
    try:
        return f"{response.status}: {json.loads(answer)['error']}"
    except (ValueError, KeyError, TypeError):
        return str(response.status)
