"""Collections: each uses one embedding space, that of its first write until it is re-embedded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recant.errors import UsageError


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection and the model of the embedding space that it uses."""

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


@dataclass(frozen=True, slots=True)
class FurtherSpace:
    """An embedding space besides the one in use: the one used before, in its soak, or one that is being built."""

    space_id: int
    model: str
    model_digest: str
    dimensions: int
    required: bool
    """Whether a writer that doesn't know the model is refused: in the soak, not while it is built."""


def require_name(name: str) -> None:
    """Raises UsageError for what can't be a collection's name."""
    allowed = all(c.isascii() and (c.isalnum() or c in "_.-") for c in name)
    if not (name and allowed and name == name.lower() and len(name) <= 63):
        raise UsageError(
            f"{name!r} is no collection's name: up to 63 of a-z, 0-9, '_', '-', '.', beginning with a letter or digit"
        )
