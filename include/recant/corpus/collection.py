"""Collections: each has one embedding space, fixed by its first write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recant.errors import UsageError


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection and the model of its embedding space."""

    id: int
    name: str
    space_id: int
    model: str
    model_digest: str
    """sha256 of the model's weights, as hex."""
    dimensions: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {name: getattr(self, name) for name in self.__slots__}


def require_name(name: str) -> None:
    """Raises UsageError for what can't be a collection's name."""
    allowed = all(c.isascii() and (c.isalnum() or c in "_.-") for c in name)
    if not (name and allowed and name == name.lower() and len(name) <= 63):
        raise UsageError(
            f"{name!r} is no collection's name: up to 63 of a-z, 0-9, '_', '-', '.', beginning with a letter or digit"
        )
