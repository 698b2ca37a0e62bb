"""Where a resident embedder is and how to know it: the state file, and the proof that who answers has read it.

The file (mode 0600) holds address, process, model and a token generated at the start. A server that was killed leaves
the file behind, and another program may get its port: so a caller asks for a proof before it sends a text, or believes
a vector.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from recant.errors import ConfigurationError, EmbedderUnreachable

MAX_TEXTS = 512
MAX_BODY_BYTES = 32 * 1024 * 1024
DIGEST_HEADER = "X-Recant-Model"
CHALLENGE_HEADER = "X-Recant-Challenge"


class WrongModel(ConfigurationError):
    """The resident embedder serves another model than the one wanted."""


@dataclass(frozen=True, slots=True)
class ResidentState:
    """The contents of a state file."""

    host: str
    port: int
    pid: int
    model: str
    digest: str
    token: str = field(repr=False)

    @property
    def address(self) -> str:
        """The base of its URLs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def proof(self, challenge: str) -> str:
        """What only a holder of the token can answer to a challenge."""
        return hmac.new(self.token.encode(), challenge.encode(), hashlib.sha256).hexdigest()


def new_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def read_state(state_file: Path) -> ResidentState:
    """The state as written. Raises EmbedderUnreachable when there is no such file, or it can't be understood."""
    try:
        return ResidentState(**json.loads(state_file.read_text()))
    except FileNotFoundError:
        raise EmbedderUnreachable(
            f"no resident embedder runs here ({state_file} is missing): recant up starts it"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise EmbedderUnreachable(
            f"can't read {state_file}: {error}. recant down, then recant up writes it anew"
        ) from error


def write_state(state_file: Path, state: ResidentState) -> None:
    """Put the file in place in one step, readable by its owner only at every moment."""
    state_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=state_file.parent, prefix=state_file.name)
    try:
        with os.fdopen(descriptor, "w") as stream:
            json.dump(asdict(state), stream)
        os.replace(temporary, state_file)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def remove_state(state_file: Path, state: ResidentState) -> None:
    """Take the file away, unless a later server has written its own."""
    with suppress(OSError, EmbedderUnreachable):
        if read_state(state_file) == state:
            state_file.unlink()
