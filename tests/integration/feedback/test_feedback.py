"""Feedback: an operation like any other, about a chunk, and in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

import recant
from recant import Selector
from recant.errors import StaleBatch, UsageError
from recant.feedback import VERDICTS
from recant.settings import read_settings
from recant.store import Database
from tests.integration.library import Library


@pytest.fixture
def kb(database: str, tmp_path) -> Iterator[recant.KnowledgeBase]:
    settings = replace(read_settings({"RECANT_AGENT": "reader"}), home=tmp_path, dsn=database)
    with recant.connect(settings=settings) as found:
        yield found


@pytest.fixture
def library(kb: recant.KnowledgeBase) -> Library:
    return Library(kb.database)


def chunk_of(database: Database, source: str) -> int:
    with database.transaction() as connection:
        row = connection.execute(
            """SELECT max(c.id) AS id FROM record r JOIN version v ON v.record_id = r.id JOIN chunk c USING (version_id)
               WHERE r.key = %s""",
            [source],
        ).fetchone()
    assert row
    return int(row["id"])


def stored(database: Database) -> list[dict]:
    with database.transaction() as connection:
        return connection.execute("SELECT * FROM feedback ORDER BY version_id").fetchall()


def test_feedback_is_an_operation_published_at_once(kb, library):
    """Of kind feedback, by its agent, about one chunk of one version."""
    about = library.publish({"a": "one"})
    given = kb.submit_feedback(
        chunk_of(kb.database, "a"), "outdated", comment="since May", agent="ada", session="s", run="r"
    )
    operation = kb.operations.get(given.operation_id)
    assert (operation.kind, operation.agent, operation.session, operation.run_id, operation.state) == (
        "feedback",
        "ada",
        "s",
        "r",
        "published",
    )
    assert (operation.collection, operation.counts, operation.parameters["verdict"]) == (
        "library",
        {"feedback": 1},
        "outdated",
    )
    (row,) = stored(kb.database)
    assert (row["verdict"], row["comment"], row["given_by"], row["chunk_index"]) == ("outdated", "since May", "ada", 0)
    assert (row["target_operation_id"], row["target_record_id"]) == (about, given.document_id)
    assert given.to_dict()["source"] == "a"


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_is_taken(kb, library, verdict):
    """helpful, outdated, incorrect, confusing, duplicate; nobody named: the installation's agent."""
    library.publish({"a": "one"})
    given = kb.submit_feedback(chunk_of(kb.database, "a"), verdict)
    assert kb.operations.get(given.operation_id).agent == "reader"


def test_what_can_not_be_said_is_refused_and_leaves_no_operation(kb, library):
    """Another verdict, a chunk that isn't there or isn't published, a comment that is a book."""
    library.publish({"a": "one"})
    chunk = chunk_of(kb.database, "a")
    opened = library.open()
    library.write(opened, {"b": "two"})
    position, operations = kb.position(), len(kb.log())
    for wrong, complaint in (
        ((chunk, "brilliant"), "must be one of"),
        ((chunk_of(kb.database, "b"), "helpful"), "no published chunk"),
        ((0, "helpful"), "no chunk 0"),
        ((2**70, "helpful"), "no chunk"),
    ):
        with pytest.raises(UsageError, match=complaint):
            kb.submit_feedback(*wrong)
    with pytest.raises(UsageError, match="4000"):
        kb.submit_feedback(chunk, "helpful", comment="x" * 4001)
    assert (kb.position(), len(kb.log()), stored(kb.database)) == (position, operations, [])


def test_feedback_is_taken_back_and_redone_by_agent(kb, library):
    """A bomb is one selector; the certificate counts feedback by kind, and the log verifies."""
    library.publish({"a": "one"})
    chunk = chunk_of(kb.database, "a")
    for _ in range(3):
        kb.submit_feedback(chunk, "incorrect", agent="mallory")
    kb.submit_feedback(chunk, "helpful", agent="ada")
    report = kb.rollback(Selector(agents=("mallory",)))
    assert report.certificate.verified
    assert report.certificate.to_dict()["kinds"]["feedback"] == {"before": 4, "after": 1, "expected": 1}
    assert library.view() == {"a": "one"}
    assert kb.redo(report.rollback_operation_id).certificate.verified
    assert kb.verify().ok


def test_feedback_does_not_hold_what_it_is_about(kb, library):
    """No dependency is written: the document is taken back under refuse, and the feedback stays where it was."""
    about = library.publish({"a": "one"})
    kb.submit_feedback(chunk_of(kb.database, "a"), "incorrect")
    report = kb.rollback(Selector(operations=(about,)))
    assert [o["relation"] for o in report.plan.blast_radius["operations"]] == ["selected"]
    assert library.view() == {}
    assert len(stored(kb.database)) == 1


def test_an_attempt_that_is_repeated_discards_its_feedback(kb, library):
    """Like any other rows of a batch, and a late worker's are refused."""
    library.publish({"a": "one"})
    operation_id = kb.operations.open("feedback", kb.attribution(), collection="library")
    first = kb.operations.begin_batch(operation_id, "feedback")
    add(kb.database, operation_id, first, "one-key", chunk_of(kb.database, "a"))
    second = kb.operations.begin_batch(operation_id, "feedback")
    assert stored(kb.database) == []
    with pytest.raises(StaleBatch):
        add(kb.database, operation_id, first, "late-key", chunk_of(kb.database, "a"))
    add(kb.database, operation_id, second, "another-key", chunk_of(kb.database, "a"))
    (row,) = stored(kb.database)
    with kb.database.transaction() as connection:
        connection.execute("SELECT discard_versions(%s, %s)", [operation_id, [row["version_id"]]])
    assert stored(kb.database) == []


def test_feedback_is_append_only(kb, library):
    """Whoever writes may neither change nor delete what somebody said."""
    library.publish({"a": "one"})
    kb.submit_feedback(chunk_of(kb.database, "a"), "incorrect")
    for statement in ("UPDATE feedback SET verdict = 'helpful'", "DELETE FROM feedback"):
        with pytest.raises(Exception, match="permission denied"), kb.database.transaction() as connection:
            connection.execute(statement)


def add(database: Database, operation_id: int, batch_id: int, key: str, chunk_id: int) -> None:
    """A feedback, written by hand."""
    with database.transaction() as connection:
        connection.execute(
            """
            WITH target AS (SELECT v.version_id, v.record_id, v.operation_id, r.collection_id FROM chunk c
                            JOIN version v USING (version_id) JOIN record r ON r.id = v.record_id WHERE c.id = %(chunk)s),
            named AS (INSERT INTO record (collection_id, kind, key) SELECT collection_id, 'feedback', %(key)s FROM target RETURNING id),
            said AS (INSERT INTO version (record_id, operation_id, batch_id, content_hash)
                     SELECT id, %(operation)s, %(batch)s, sha256('x') FROM named RETURNING version_id)
            INSERT INTO feedback SELECT s.version_id, t.version_id, 0, t.record_id, t.operation_id, 'helpful', '', 'ada'
            FROM said s, target t
            """,
            {"chunk": chunk_id, "key": key, "operation": operation_id, "batch": batch_id},
        )


def test_an_erased_document_takes_the_comments_on_it_along(kb, library):
    """A comment may quote what it is about; the verdict stays, and the log still verifies."""
    library.publish({"a": "one", "b": "two"})
    for source in ("a", "b"):
        kb.submit_feedback(chunk_of(kb.database, source), "incorrect", comment=f"{source} says a name")
    kb.storage.erase("a", kb.attribution(message="a request"), collection="library")
    assert [(row["verdict"], row["comment"]) for row in stored(kb.database)] == [
        ("incorrect", ""),
        ("incorrect", "b says a name"),
    ]
    assert kb.verify().ok
