"""Run ids are UUIDs of version 7."""

from __future__ import annotations

import time

from recant.oplog.identifiers import new_run_id


def test_run_ids_carry_version_variant_and_time():
    """RFC 9562, section 5.7: 48 bits of Unix milliseconds, version 7, variant 10."""
    before = time.time_ns() // 1_000_000
    found = new_run_id()
    assert (found.version, found.variant) == (7, "specified in RFC 4122")
    assert before <= found.int >> 80 <= time.time_ns() // 1_000_000


def test_run_ids_are_distinct():
    """74 random bits a millisecond."""
    assert len({new_run_id() for _ in range(10_000)}) == 10_000
