"""Blast radius, plan and certificate for people."""

from __future__ import annotations

from typing import Any

import pytest

from recant.cli.output import Output
from recant.cli.plans import show_blast_radius, show_plan, show_rollback

NOTHING: dict[str, Any] = {"operations": [], "records": {}, "revived": {}, "sample": []}


def operation(number: int, **fields: object) -> dict[str, Any]:
    """One of a blast radius."""
    known = {"operation_id": number, "relation": "selected", "certainty": "definite", "kind": "ingest", "agent": "a"}
    return known | {"session": None, "run_id": None, "visible": True, "via": None} | fields


def test_nothing_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """No empty tables."""
    show_blast_radius(Output(), NOTHING)
    assert capsys.readouterr().out == "Nothing published matches.\n"


def test_long_lists_are_cut_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Fifty operations and eight records are shown, and how many more there are."""
    record = {"kind": "document", "before_operation": 7, "after_operation": 3}
    sample = [record | {"key": f"doc-{n}", "absent_before": False, "absent_after": n == 0} for n in range(20)]
    show_blast_radius(Output(), NOTHING | {"operations": [operation(n) for n in range(60)], "sample": sample})
    out = capsys.readouterr().out
    assert "… and 10 more operations." in out
    assert "first 8 records that change" in out
    assert "doc-7" in out
    assert "doc-8" not in out
    assert "removed by 3" in out
    assert "as 7 wrote it" in out


def test_what_is_withdrawn_already_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Hidden operations are traced through, and marked."""
    show_blast_radius(Output(), NOTHING | {"operations": [operation(1, visible=False), operation(2, via=1)]})
    first, second = capsys.readouterr().out.splitlines()[1:3]
    assert "withdrawn" in first
    assert second.endswith("1")


def test_an_empty_plan_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """Its message stands where the operations would."""
    plan = {
        "plan_id": "p",
        "policy": "refuse",
        "withdraw": [],
        "shows": [],
        "message": "All of it is withdrawn already.",
    }
    show_plan(Output(), NOTHING | plan)
    assert "All of it is withdrawn already." in capsys.readouterr().out


def test_a_certificate_that_does_not_verify_is_shown_as_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """With both digests."""
    certificate = {"verified": False, "digest_after": "aa", "digest_expected": "bb"}
    show_rollback(Output(), {"message": "done", "applied": True, "revived": {"chunk": 1}, "certificate": certificate})
    out = capsys.readouterr().out
    assert "Seen again: 1 chunk." in out
    assert "failed" in out
    assert "aa" in out
    assert "bb" in out
