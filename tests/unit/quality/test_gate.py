"""The gate on data frames: what it counts, whom it blames, what it never tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recant.quality import BadSuite
from recant.quality.frame import COLUMNS, make_frame
from recant.quality.gate import Gate, GateResult
from recant.quality.suite import parse_suite
from recant.quality.suites import SAMPLE_ROW


@cache
def default_gate() -> Gate:
    """Made once: Great Expectations takes seconds to import."""
    return Gate()


def row(**changes: Any) -> dict[str, Any]:
    """A chunk that every expectation is content with, unless changed."""
    good = dict(SAMPLE_ROW)
    assert good.keys() == COLUMNS.keys()
    return good | changes


def check(*rows: dict[str, Any]) -> GateResult:
    """The default suite on these rows."""
    return default_gate().check(make_frame(rows))


def test_good_rows_pass() -> None:
    """No failure, and each expectation has looked at each row."""
    result = check(row(), row(version_id=2, text_hash=2))
    assert (result.success, result.failing_versions) == (True, ())
    assert all(outcome["success"] for outcome in result.expectations)


def test_the_result_is_json_of_counts() -> None:
    """What is kept is names, flags and counts; neither the source nor another value of a row."""
    told = json.dumps(check(row(source="/secret/name.md", title="secret", vector_norm=0.12345)).to_dict())
    assert "secret" not in told
    assert "0.12345" not in told


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("document_has_chunks", {"chunk_index": None}),
        ("chunks_are_complete", {"chunks_stored": 2}),
        ("source_present", {"source": None}),
        ("text_not_blank", {"visible_characters": 0}),
        ("text_not_oversized", {"characters": 20_001}),
        ("tokens_within_model", {"token_count": 0}),
        ("tokens_within_model", {"token_count": 257}),
        ("vector_of_the_space", {"vector_space": 2}),
        ("vector_dimensions", {"vector_dimensions": 383}),
        ("vector_of_unit_length", {"vector_norm": 0.98}),
        ("vector_of_unit_length", {"vector_norm": 1.02}),
        ("vector_of_unit_length", {"vector_norm": 0.0}),
    ],
)
def test_a_critical_failure_blames_its_document(name: str, bad: dict[str, Any]) -> None:
    """The document of the bad row is to blame, by that expectation alone; the other documents aren't."""
    result = check(row(text_hash=1), row(version_id=7, text_hash=2, **bad), row(version_id=8, text_hash=3))
    assert not result.success
    assert result.failures == {7: (name,)}
    outcome = next(o for o in result.expectations if o["name"] == name)
    assert (outcome["success"], outcome["unexpected"]) == (False, 1)


@pytest.mark.parametrize(
    "bad", [{"title": None}, {"replacement_share": 0.021}, {"control_share": 0.5}, {"symbol_share": 0.81}]
)
def test_lesser_failures_blame_nobody(bad: dict[str, Any]) -> None:
    """Warnings and information are counted, and the batch passes."""
    result = check(row(**bad))
    assert (result.success, result.failures) == (True, {})
    assert sum(int(o["unexpected"]) for o in result.expectations) == 1  # type: ignore[arg-type]


def test_a_batch_of_documents_without_chunks_is_judged() -> None:
    """Columns that are null throughout are no obstacle: every document is blamed for having no chunk."""
    nothing = dict.fromkeys(set(COLUMNS) - {"version_id", "source", "title", "chunks_declared", "chunks_stored"})
    result = check(row(chunks_declared=0, chunks_stored=0, **nothing))
    assert result.failures == {1: ("document_has_chunks",)}


@given(
    st.lists(
        st.tuples(
            st.integers(1, 5), st.sampled_from([0.0, 0.989, 0.99, 1.0, 1.01, 1.011]), st.sampled_from([0, 1, 256, 257])
        ),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=40, deadline=None)
def test_whom_it_blames_is_who_breaks_the_rule(chunks: list[tuple[int, float, int]]) -> None:
    """For any rows the failing versions are those that have a row outside the bounds, worked out by hand."""
    rows = [row(version_id=v, vector_norm=n, token_count=t, text_hash=i) for i, (v, n, t) in enumerate(chunks)]
    bad = {v for v, n, t in chunks if not 0.99 <= n <= 1.01 or not 1 <= t <= 256}
    result = check(*rows)
    assert set(result.failing_versions) == bad
    assert result.success == (not bad)


def gate_of(kind: str, **arguments: Any) -> Gate:
    """A gate of one critical expectation."""
    entry = {"name": "mine", "expectation": kind, "severity": "critical", "arguments": arguments}
    return Gate(parse_suite({"name": "own", "expectations": [entry]}))


def test_a_share_of_bad_rows_can_be_allowed() -> None:
    """Great Expectations' `mostly` works: within it nobody is blamed, beyond it everybody who is outside."""
    gate = gate_of("expect_column_values_to_be_between", column="characters", min_value=10, mostly=0.5)
    frame = make_frame([row(version_id=1, characters=5), row(version_id=2, characters=50)])
    assert gate.check(frame).failures == {}
    worse = make_frame([row(version_id=n, characters=5) for n in (1, 2)] + [row(version_id=3, characters=50)])
    assert gate.check(worse).failing_versions == (1, 2)


def test_an_expectation_about_several_columns_blames_rows_too() -> None:
    """Compound expectations name their columns and find their rows."""
    gate = gate_of("expect_compound_columns_to_be_unique", column_list=["version_id", "chunk_index"])
    result = gate.check(make_frame([row(), row(), row(version_id=2)]))
    assert result.failing_versions == (1,)
    assert result.expectations[0]["column"] == "version_id, chunk_index"


def test_an_expectation_about_the_table_blames_no_row() -> None:
    """It fails for the batch, and is named as something that no document's leaving would mend."""
    result = gate_of("expect_table_row_count_to_be_between", min_value=2).check(make_frame([row()]))
    assert (result.success, result.failures, result.beyond_documents) == (False, {}, ["mine"])


def test_what_cannot_be_evaluated_is_an_error_without_values() -> None:
    """An expectation that doesn't fit its column's type is the suite's fault; the column's values aren't told."""
    gate = gate_of("expect_column_values_to_be_between", column="title", min_value=1)
    with pytest.raises(BadSuite, match="mine can't be evaluated") as failure:
        gate.check(make_frame([row(title="a secret title")]))
    assert "secret" not in str(failure.value)


def test_a_frame_with_any_index_is_judged() -> None:
    """Rows are found by place, whatever labels a caller's frame has."""
    frame = make_frame([row(version_id=4), row(version_id=9, vector_norm=0.1, text_hash=2)])
    frame.index = pandas.Index([17, 17])
    assert default_gate().check(frame).failing_versions == (9,)


def test_the_package_is_imported_without_great_expectations(tmp_path: Path) -> None:
    """A command that checks nothing pays for neither Great Expectations nor pandas."""
    program = "import sys, recant.quality; print({'great_expectations', 'pandas', 'numpy'} & set(sys.modules))"
    path = str(Path(__file__).parents[3] / "include")
    environment = {**os.environ, "PYTHONPATH": path}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert ended.stdout.strip() == "set()"


def test_nothing_is_printed_or_left_behind(tmp_path: Path) -> None:
    """No progress bar, no connection to anywhere, no file in the working folder or the home of whoever runs it."""
    program = """
import os, socket, sys
socket.socket.connect = lambda self, address: print("connects to", address, file=sys.stderr)
from recant.quality.frame import make_frame
from recant.quality.gate import Gate
from tests.unit.quality.test_gate import row
assert Gate().check(make_frame([row()])).success
assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
"""
    root = Path(__file__).parents[3]
    (tmp_path / "home").mkdir()
    environment = {**os.environ, "PYTHONPATH": f"{root / 'include'}:{root}", "HOME": str(tmp_path / "home")}
    (tmp_path / "work").mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, cwd=tmp_path / "work"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    left = [path.name for folder in ("work", "home") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert left == []
