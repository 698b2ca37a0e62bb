"""Running PostgreSQL's own programs: pg_dump, pg_restore, pg_basebackup, pg_verifybackup."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from recant.errors import ConfigurationError, OutOfSpace, RecantError
from recant.installation.postgres import binaries
from recant.settings import inherited_environment

SHOWN_CHARACTERS = 2000


class BackupFailed(RecantError):
    """One of PostgreSQL's programs ended with an error; nothing that looks like a backup was left."""


def run(program: str, arguments: Sequence[str | Path], environment: Mapping[str, str]) -> str:
    """Runs it to its end and returns what it printed. Raises BackupFailed, OutOfSpace, ConfigurationError."""
    path = binaries() / program
    if not path.exists():
        raise ConfigurationError(f"{program} is not among the embedded PostgreSQL's programs: run `make setup`.")
    known = {name: value for name, value in inherited_environment().items() if not name.startswith("PG")}
    done = subprocess.run(
        [path, *arguments],
        env={**known, "LC_ALL": "C", **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.strip()[-SHOWN_CHARACTERS:]
    if "No space left" in said:
        raise OutOfSpace(f"{program}: the disk is full. Make room and run it again. ({said.splitlines()[-1]})")
    raise BackupFailed(f"{program} failed: {said}")
