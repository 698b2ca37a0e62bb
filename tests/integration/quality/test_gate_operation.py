"""The gate on a real open operation: what it finds, what it leaves out, what it keeps, and what it never says."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from recant.errors import GateFailed, OperationClosed, UnknownOperation, UsageError
from recant.lineage import collection_dataset
from recant.lineage.relay import deliver_pending
from recant.oplog import Attribution, Dataset
from recant.quality import BadSuite, gate_operation
from recant.quality.suite import parse_suite
from recant.settings import read_settings
from tests.integration.quality.conftest import Shelf

SECRET = "Zq7-secret-marker"


def outcome(report: Any, name: str) -> dict[str, Any]:
    """One expectation's line of a report."""
    return next(line for line in report.expectations if line["name"] == name)


def test_a_good_batch_passes(shelf: Shelf) -> None:
    """Good documents: success, every expectation met, and checked where rows say enough; the result kept with the operation."""
    shelf.write({"a.md": [shelf.chunk("one"), shelf.chunk("two")], "b.md": [shelf.chunk("three")]})
    report = gate_operation(shelf.database, shelf.operation_id)
    assert (report.success, report.documents, report.rows) == (True, 2, 3)
    assert all(line["success"] and line["unexpected"] == 0 for line in report.expectations)
    unknown = {"text_in_a_known_language", "embeddings_do_not_drift", "few_documents_are_rejected"}
    assert {line["name"] for line in report.expectations if line["checked"] != 3} == unknown
    (stored,) = shelf.checks()
    assert (stored["suite"], stored["success"], stored["result"]["rows"]) == ("recant_default", True, 3)
    assert shelf.log.publish(shelf.operation_id) == [1]


def other_space(shelf: Shelf) -> dict[str, Any]:
    """A chunk whose vector is in a space that isn't the collection's, and one dimension short."""
    with shelf.database.transaction() as connection:
        row = connection.execute("SELECT * FROM ensure_collection('other', 'tiny', 'd', 2, true)").fetchone()
    assert row
    return shelf.chunk(vector=(0.6, 0.8), space_id=row["space_id"])


BAD = {
    "text_not_blank": lambda shelf: [shelf.chunk(" \t\n\u00a0\u3000\u200b")],
    "text_not_oversized": lambda shelf: [shelf.chunk("x" * 20_001)],
    "tokens_within_model": lambda shelf: [shelf.chunk(token_count=257)],
    "vector_of_unit_length": lambda shelf: [shelf.chunk(vector=(0.6, 0.9, 0.0))],
    "vector_dimensions": lambda shelf: [other_space(shelf)],
    "vector_of_the_space": lambda shelf: [other_space(shelf)],
    "document_has_chunks": lambda shelf: [],
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_critical_failure_refuses_the_operation(shelf: Shelf, name: str) -> None:
    """Strict: one bad chunk and GateFailed names its document and the expectation; nothing is taken out."""
    shelf.write({"good.md": [shelf.chunk("fine")], "bad.md": [*BAD[name](shelf)]})
    with pytest.raises(GateFailed) as failure:
        gate_operation(shelf.database, shelf.operation_id)
    assert failure.value.details["failed_documents"] == 1
    assert failure.value.details["failed"][0]["source"] == "bad.md"
    assert name in failure.value.details["failed"][0]["reason"]
    assert "bad.md" in str(failure.value)
    assert name in str(failure.value)
    assert shelf.sources() == ["bad.md", "good.md"]
    assert [check["success"] for check in shelf.checks()] == [False]
    assert shelf.log.get(shelf.operation_id).state == "open"


@pytest.mark.parametrize("name", sorted(BAD))
def test_quarantine_leaves_out_the_bad_documents_only(shelf: Shelf, name: str) -> None:
    """Quarantine: the bad document goes with all its chunks, says why, and the rest can be published."""
    bad = [*BAD[name](shelf)]
    chunks = [shelf.chunk("a good part"), *bad] if bad else []
    shelf.write({"good.md": [shelf.chunk("fine")], "bad.md": chunks})
    report = gate_operation(shelf.database, shelf.operation_id, policy="quarantine")
    assert [document.source for document in report.quarantined] == ["bad.md"]
    assert shelf.sources() == ["good.md"]
    ((source, code, reason),) = shelf.rejections()
    assert (source, code) == ("bad.md", "gate")
    assert reason.startswith("quality gate: ")
    assert name in reason
    shelf.log.publish(shelf.operation_id)
    counts = shelf.log.get(shelf.operation_id).counts
    assert (counts["documents"], counts["chunks"], counts["rejected"]) == (1, 1, 1)


def test_a_document_that_lost_chunks_is_found(shelf: Shelf) -> None:
    """Fewer chunks than the document says it has: a torn write doesn't get through."""
    shelf.write({"torn.md": [shelf.chunk()]}, declared=2)
    report = gate_operation(shelf.database, shelf.operation_id, policy="quarantine")
    assert report.failed[0].reason == "quality gate: chunks_are_complete"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("text_was_decoded", "caf\ufffd " * 10),
        ("text_is_not_binary", "\x01\x02\x7fELF"),
        ("text_is_not_only_symbols", "=-=-=-=-=-=-=-= x"),
    ],
)
def test_a_warning_is_kept_and_stops_nothing(shelf: Shelf, name: str, text: str) -> None:
    """Odd text is told with its count, and the operation passes."""
    shelf.write({"odd.md": [shelf.chunk(text), shelf.chunk("fine text")]})
    report = gate_operation(shelf.database, shelf.operation_id)
    assert report.success
    assert (outcome(report, name)["success"], outcome(report, name)["unexpected"]) == (False, 1)
    assert shelf.sources() == ["odd.md"]


@pytest.mark.parametrize(
    "text", ["café, naïve, 知識ベース\n\ttabbed\r\n", "| a | b |\n|---|---|\n| 1 | 2 |", "x = {'a': [1]}"]
)
def test_ordinary_text_raises_no_warning(shelf: Shelf, text: str) -> None:
    """Other alphabets, tables and code are what they should be."""
    shelf.write({"fine.md": [shelf.chunk(text)]})
    assert all(line["success"] for line in gate_operation(shelf.database, shelf.operation_id).expectations)


def test_repetitions_and_missing_titles_are_told(shelf: Shelf) -> None:
    """Two chunks of the same text and a document without title are information, no failure."""
    shelf.write({"twice.md": [shelf.chunk("same"), shelf.chunk("same")]}, title=None)
    report = gate_operation(shelf.database, shelf.operation_id)
    assert report.success
    assert outcome(report, "text_is_not_repeated")["unexpected"] == 1
    assert outcome(report, "title_present")["unexpected"] == 2


def test_the_models_limit_is_the_callers(shelf: Shelf) -> None:
    """A model that sees more tokens gets a higher bound; one that sees less, a lower one."""
    shelf.write({"long.md": [shelf.chunk(token_count=400)]})
    assert gate_operation(shelf.database, shelf.operation_id, max_tokens=512).success
    with pytest.raises(GateFailed, match="tokens_within_model"):
        gate_operation(shelf.database, shelf.operation_id, max_tokens=399)


def test_batches_hold_whole_documents(shelf: Shelf) -> None:
    """Small batches: each document is checked once, no batch tears one, and the results are added up."""
    shelf.write({f"{n:02}.md": [shelf.chunk(f"{n} {i}") for i in range(3)] for n in range(10)})
    report = gate_operation(shelf.database, shelf.operation_id, batch_rows=7)
    assert [check["result"]["rows"] for check in shelf.checks()] == [9, 9, 9, 3]
    assert (report.documents, report.rows) == (10, 30)
    assert outcome(report, "text_not_blank")["checked"] == 30


def test_an_operation_without_documents_passes(shelf: Shelf) -> None:
    """Nothing was written, as when every document is unchanged: nothing to check, nothing to refuse."""
    report = gate_operation(shelf.database, shelf.operation_id)
    assert (report.success, report.rows, shelf.checks()) == (True, 0, [])
    shelf.log.publish(shelf.operation_id)


def test_a_second_attempt_replaces_the_first(shelf: Shelf) -> None:
    """A retried gate leaves one set of results."""
    shelf.write({"a.md": [shelf.chunk()]})
    for _ in range(3):
        gate_operation(shelf.database, shelf.operation_id)
    assert len(shelf.checks()) == 1


def test_a_retry_remembers_what_it_left_out(shelf: Shelf) -> None:
    """After a retry (or two) of a quarantine the rejection and the counts are what they were after the first attempt."""
    shelf.write({"good.md": [shelf.chunk("fine")], "bad.md": [shelf.chunk(" "), shelf.chunk("x")]})
    for _ in range(3):
        report = gate_operation(shelf.database, shelf.operation_id, policy="quarantine")
        assert [document.source for document in report.quarantined] == ["bad.md"]
        assert [(source, code) for source, code, _ in shelf.rejections()] == [("bad.md", "gate")]
    shelf.log.publish(shelf.operation_id)
    counts = shelf.log.get(shelf.operation_id).counts
    assert (counts["documents"], counts["chunks"], counts["rejected"]) == (1, 1, 1)


def test_a_batch_that_runs_again_is_judged_again(shelf: Shelf) -> None:
    """A document that was left out and comes back mended, by its batch's retry, is no longer rejected."""
    shelf.write({"a.md": [shelf.chunk(" ")]}, key="batch-0")
    shelf.write({"b.md": [shelf.chunk(" ")]}, key="batch-1")
    gate_operation(shelf.database, shelf.operation_id, policy="quarantine")
    shelf.write({"a.md": [shelf.chunk("mended")]}, key="batch-0")
    report = gate_operation(shelf.database, shelf.operation_id, policy="quarantine")
    assert [document.source for document in report.quarantined] == ["b.md"]
    assert shelf.sources() == ["a.md"]
    shelf.log.publish(shelf.operation_id)
    counts = shelf.log.get(shelf.operation_id).counts
    assert (counts["documents"], counts["chunks"]) == (1, 1)


def test_strict_after_quarantine_judges_what_is_there(shelf: Shelf) -> None:
    """What an earlier quarantine took out doesn't fail a later strict gate; it stays rejected."""
    shelf.write({"good.md": [shelf.chunk("fine")], "bad.md": [shelf.chunk(" ")]})
    gate_operation(shelf.database, shelf.operation_id, policy="quarantine")
    assert gate_operation(shelf.database, shelf.operation_id, policy="strict").success
    assert [source for source, _, _ in shelf.rejections()] == ["bad.md"]


@pytest.mark.parametrize("policy", ["strict", "quarantine"])
def test_no_text_leaks(shelf: Shelf, policy: str, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """A marker in good, odd and bad texts and titles appears in no result, reason, exception, log or output."""
    caplog.set_level(logging.DEBUG)
    shelf.write(
        {
            "a.md": [shelf.chunk(SECRET, token_count=9999), shelf.chunk(SECRET + "\x01" * 9), shelf.chunk(SECRET)],
            "b.md": [shelf.chunk(SECRET * 3000), shelf.chunk(SECRET, vector=(0.1, 0.1, 0.1))],
        },
        title=SECRET,
    )
    said = ""
    try:
        said += json.dumps(gate_operation(shelf.database, shelf.operation_id, policy=policy).to_dict())
    except GateFailed as failure:
        said += str(failure) + json.dumps(failure.details)
    stored = json.dumps([shelf.checks(), shelf.rejections(), shelf.log.details(shelf.operation_id)], default=str)
    printed = capfd.readouterr()
    assert len(shelf.checks()) == 1
    for text in (said, stored, caplog.text, printed.out, printed.err):
        assert SECRET not in text


def test_a_closed_operation_is_not_judged(shelf: Shelf) -> None:
    """Published, aborted or unknown: the gate says so and writes nothing."""
    shelf.log.abort(shelf.operation_id, "called off")
    with pytest.raises(OperationClosed):
        gate_operation(shelf.database, shelf.operation_id)
    with pytest.raises(UnknownOperation):
        gate_operation(shelf.database, 999)


def test_a_call_that_makes_no_sense_is_refused(shelf: Shelf) -> None:
    """An unknown policy and a batch without rows are the caller's errors."""
    with pytest.raises(UsageError, match="strict, quarantine"):
        gate_operation(shelf.database, shelf.operation_id, policy="lenient")
    with pytest.raises(UsageError, match="batch_rows=0"):
        gate_operation(shelf.database, shelf.operation_id, batch_rows=0)


def suite_of(kind: str, **arguments: Any) -> Any:
    """A suite of one critical expectation."""
    entry = {"name": "mine", "expectation": kind, "severity": "critical", "arguments": arguments}
    return parse_suite({"name": "own", "expectations": [entry]})


@pytest.mark.parametrize("policy", ["strict", "quarantine"])
def test_what_no_document_is_to_blame_for_refuses_all(shelf: Shelf, policy: str) -> None:
    """An expectation about the whole batch can't be met by leaving documents out: both policies refuse."""
    shelf.write({"a.md": [shelf.chunk()]})
    suite = suite_of("expect_table_row_count_to_be_between", min_value=5)
    with pytest.raises(GateFailed, match="as a whole: mine"):
        gate_operation(shelf.database, shelf.operation_id, policy=policy, suite=suite)
    assert shelf.sources() == ["a.md"]


def test_a_suite_of_ones_own_decides(shelf: Shelf) -> None:
    """A user's expectation about a column of the frame is applied, and named in the result."""
    shelf.write({"a.md": [shelf.chunk("short")], "b.md": [shelf.chunk("a longer text")]})
    suite = suite_of("expect_column_values_to_be_between", column="characters", min_value=10)
    report = gate_operation(shelf.database, shelf.operation_id, policy="quarantine", suite=suite)
    assert [document.source for document in report.quarantined] == ["a.md"]
    assert shelf.checks()[0]["suite"] == "own"


def test_a_suite_about_an_unknown_column_says_which_there_are(shelf: Shelf) -> None:
    """The error names the expectation, the column and those it could mean."""
    shelf.write({"a.md": [shelf.chunk()]})
    suite = suite_of("expect_column_values_to_not_be_null", column="charcters")
    with pytest.raises(BadSuite, match=r"mine is about charcters, which isn't among version_id, .*characters"):
        gate_operation(shelf.database, shelf.operation_id, suite=suite)


def test_the_findings_are_in_the_lineage_event(database: str, tmp_path: Any) -> None:
    """What the gate found is told with the operation's end, as assertions on the collection's columns."""
    from recant.store import Database

    settings = read_settings({"RECANT_HOME": str(tmp_path)})
    with Database(database) as opened:
        shelf = Shelf(opened)
        shelf.operation_id = shelf.log.open(
            "ingest",
            Attribution("alice"),
            collection="docs",
            datasets=[Dataset("output", *collection_dataset(settings, "docs"))],
        )
        shelf.write({"bad.md": [shelf.chunk(" ")]})
        with pytest.raises(GateFailed):
            gate_operation(opened, shelf.operation_id)
        shelf.log.abort(shelf.operation_id, "gate", failed=True)
        deliver_pending(opened, settings)
    last = json.loads((tmp_path / "lineage" / "events.ndjson").read_text().splitlines()[-1])
    facets = last["outputs"][0]["facets"]
    found = {a["name"]: a for a in facets["dataQualityAssertions"]["assertions"]}
    columns = {field["name"] for field in facets["schema"]["fields"]}
    assert (found["text_not_blank"]["success"], found["text_not_blank"]["column"]) == (False, "text")
    assert {assertion["column"] for assertion in found.values()} <= columns
