"""verify_knowledge: succeeds where what is stored agrees with its own log, and says where it doesn't."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

pytestmark = pytest.mark.airflow


@pytest.fixture
def published(kb, documents_in: Callable[[Path], Path], tmp_path: Path) -> int:
    """The id of an operation."""
    return kb.ingest([str(documents_in(tmp_path))], agent="librarian").operation_id


def test_a_database_that_holds_is_a_success(run_dag, published, capfd):
    """The checks are a table in the log, and the summary is the task's XCom."""
    run = run_dag("verify_knowledge", {})
    assert (run.state, run.state_of("verify_log")) == ("success", "success")
    summary = run.xcom("verify_log")
    assert (summary["ok"], summary["position"], summary["failed"]) == (True, 1, [])
    assert summary["records"]["document"] == 3
    log = capfd.readouterr().out
    for check in ("positions", "hash chain", "content digests", "verdicts", "visibility history", "replay"):
        assert f"| ok    | {check}" in log


def test_what_contradicts_the_log_fails_at_the_first_attempt(run_dag, installation, published, capfd):
    """The failure names the checks, the table the operations, and the summary is there all the same."""
    with psycopg.connect(installation, autocommit=True) as admin:
        admin.execute("UPDATE recant.operation SET message = 'rewritten' WHERE id = %s", [published])
    run = run_dag("verify_knowledge", {})
    assert (run.state, run.tries["verify_log", -1]) == ("failed", 1)
    assert run.xcom("verify_log")["failed"] == ["hash chain"]
    assert run.xcom("verify_log", "failure").startswith("VerificationFailed: At position 1, what is stored contradicts")
    assert "| FAILED | hash chain" in capfd.readouterr().out
