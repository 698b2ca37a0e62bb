"""Run ids: UUIDs of version 7 (RFC 9562), so that they sort by time, as OpenLineage asks."""

from __future__ import annotations

import os
import time
import uuid


def new_run_id() -> uuid.UUID:
    """48 bits of milliseconds since 1970, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)
