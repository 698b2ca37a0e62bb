"""How an archive's datasets are compressed: with what every HDF5 library reads, nothing that needs a plugin."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recant.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

METHODS = ("gzip", "lzf", "none")
DEFAULT_LEVEL = 4


@dataclass(frozen=True, slots=True)
class Compression:
    """A method, and with gzip a level from 1 (fast) to 9 (small). Numbers are shuffled by byte before, but for `none`."""

    method: str = "gzip"
    level: int = DEFAULT_LEVEL

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"compression {self.method!r}: must be one of {', '.join(METHODS)}")
        if not 1 <= self.level <= 9:
            raise UsageError(f"compression level {self.level}: must be from 1 to 9")

    @property
    def filters(self) -> dict[str, Any]:
        """What h5py's create_dataset is told."""
        if self.method == "none":
            return {}
        options = {"compression_opts": self.level} if self.method == "gzip" else {}
        return {"compression": self.method, "shuffle": True, **options}

    @property
    def is_ours(self) -> bool:
        """Whether `packed` gives a chunk as HDF5 stores it; lzf is left to h5py."""
        return self.method != "lzf"

    def packed(self, chunk: NDArray[Any]) -> bytes:
        """One chunk as HDF5's own filters would make it (shuffle, then deflate). Safe to call from any thread."""
        import numpy as np

        if self.method == "none":
            return chunk.tobytes()
        size = chunk.dtype.itemsize
        plain = np.ascontiguousarray(chunk).view(np.uint8)
        shuffled = plain.reshape(-1, size).T.tobytes() if size > 1 else plain.tobytes()
        return zlib.compress(shuffled, self.level)
