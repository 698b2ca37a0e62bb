"""Ten writers and two rollbacks at once: no lost update, nothing half visible, no deadlock that reaches the user."""

from __future__ import annotations

import psycopg
import pytest

from tests.integration.concurrency.judge import complaints
from tests.integration.concurrency.stress import Stress

SECONDS, NIGHTLY_SECONDS = 8.0, 180.0
FLAWS = {
    "over": "CREATE OR REPLACE FUNCTION recant.raise_conflicts(p_operations bigint[], p_since bigint) RETURNS void "
    "LANGUAGE sql AS 'SELECT'",
    "operation_position_key": "CREATE OR REPLACE FUNCTION recant.lock_log() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS "
    "'SELECT recant.log_position()'",
    "content digests": "DROP TRIGGER fence ON recant.version; DROP TRIGGER fence ON recant.document_version; "
    "DROP TRIGGER fence ON recant.chunk",
    "visibility history": "CREATE RULE forget AS ON INSERT TO recant.visibility_history WHERE NOT new.visible DO INSTEAD NOTHING",
}
"""A safeguard taken away, by a word of the complaint that there should be: the conflict test, the lock, the fence, the history."""


def test_many_at_once_lose_nothing_and_show_nothing_half(database: str, nightly: bool):
    """What anyone was told is in the log; every search shows one position's state; verify finds nothing wrong."""
    told = Stress(database, NIGHTLY_SECONDS if nightly else SECONDS).run()
    assert complaints(database, told) == []
    print(
        f"{len(told.published)} published, {len(told.withdrawn)} taken back, {len(told.observations)} read, {told.refusals}"
    )
    assert {"WriteConflict", "PlanStale"} <= told.refusals.keys(), "nobody was in anybody's way"


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_found_out(database: str, flaw: str):
    """The same, on a database that lacks one of its safeguards, is complained of."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(FLAWS[flaw])
    told = Stress(database, 2.5).run()
    found = complaints(database, told)
    assert any(flaw in complaint for complaint in found), found
