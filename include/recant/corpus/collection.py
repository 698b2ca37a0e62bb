"""Collections: each has one embedding space, fixed by its first write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
