"""Digests: of what is seen of a collection, as the database would say it, and of a whole file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READ_BYTES = 1024 * 1024


class StateDigest:
    """By kind, the number of records seen and two 64-bit sums over sha256(kind/key, content hash): SQL's `state_of`."""

    def __init__(self) -> None:
        self._found: dict[str, list[int]] = {}

    def add(self, kind: str, keys: bytes, lengths: NDArray[np.int64], hashes: bytes, seen: NDArray[np.uint8]) -> None:
        """Records of a kind: their keys one after the other, a hash of 32 bytes each, and which of them count."""
        sums = self._found.setdefault(kind, [0, 0, 0])
        prefix, start = f"{kind}/".encode(), 0
        for number, (length, counts) in enumerate(zip(lengths.tolist(), seen.tolist(), strict=True)):
            if counts:
                content = hashes[32 * number : 32 * number + 32]
                digest = hashlib.sha256(prefix + keys[start : start + length] + content).digest()
                sums[0] += 1
                sums[1] += int.from_bytes(digest[:8])
                sums[2] += int.from_bytes(digest[8:16])
            start += length

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """By kind: records and digest; kinds of which nothing is seen are left out."""
        return {
            kind: {"records": count, "digest": f"{high % 2**64:016x}{low % 2**64:016x}"}
            for kind, (count, high, low) in sorted(self._found.items())
            if count
        }


def seal(attributes: dict[str, Any], digests: dict[str, str]) -> str:
    """sha256 of the whole, as hex: over the root's attributes and the sha256 of every dataset."""
    text = json.dumps([attributes, digests], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file, as hex."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            found.update(block)
    return found.hexdigest()
