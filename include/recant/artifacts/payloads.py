"""Payloads that were reclaimed and would be seen again: what a plan needs of them, and who can bring them back.

Keeps out where they come from: whoever makes a `Rollback` gives it a `Payloads` (archives are such).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from recant.store import Connection


@dataclass(frozen=True, slots=True)
class Needed:
    """A version whose payload is gone."""

    version_id: int
    operation_id: int
    position: int
    collection: str
    kind: str
    key: str
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Source:
    """A file that holds payloads, as it was when the plan was made."""

    path: str
    sha256: str
    artifact_id: int
    versions: tuple[int, ...]
    chunks: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"versions": list(self.versions)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Source:
        """The reverse of to_dict."""
        return cls(**{**given, "versions": tuple(given["versions"])})


@dataclass(frozen=True, slots=True)
class Found:
    """Where payloads are; of those that are nowhere, why."""

    sources: tuple[Source, ...]
    missing: tuple[Needed, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why files that should have held them can't be used."""


class Payloads(Protocol):
    """Brings payloads back."""

    def find(self, connection: Connection, needed: Sequence[Needed]) -> Found:
        """Files that are whole and hold these. Changes nothing."""

    def bring_back(self, sources: Sequence[Source]) -> None:
        """Writes the payloads, to nobody's sight yet. Raises PlanStale for a file that isn't what it was."""


class NoPayloads:
    """There is nowhere to look."""

    def find(self, connection: Connection, needed: Sequence[Needed]) -> Found:
        """Nothing."""
        return Found((), tuple(needed))

    def bring_back(self, sources: Sequence[Source]) -> None:
        """Nothing was found, so nothing is asked for."""
