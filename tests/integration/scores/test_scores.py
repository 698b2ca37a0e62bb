"""Scores in a knowledge base: at once after feedback, as they were after a rollback, and whatever gets in between."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

import recant
from recant import Selector
from recant.errors import Refused, UnknownCollection, UsageError
from recant.scores import Policy, Scores
from recant.search import Searcher
from tests.integration.library import Library
from tests.integration.scores.score_oracle import expected_scores, stored_scores

YEAR = 365.0


def chunks(kb: recant.KnowledgeBase) -> dict[str, int]:
    """Of each document the latest chunk."""
    with kb.database.transaction() as connection:
        rows = connection.execute(
            "SELECT r.key, max(c.id) AS id FROM chunk c JOIN version v USING (version_id) JOIN record r ON r.id = v.record_id GROUP BY 1"
        ).fetchall()
    return {row["key"]: row["id"] for row in rows}


def agree(kb: recant.KnowledgeBase) -> bool:
    """Whether the stored scores are those that the log says."""
    return kb.quality.check() == [] and stored_scores(kb.database) == expected_scores(kb.database)


def age_documents(kb: recant.KnowledgeBase, days: int) -> None:
    """As if all that is published had been published so long ago."""
    with Scores(kb.database, kb.settings).database.connection() as connection:
        connection.execute("RESET ROLE")
        connection.execute("UPDATE recant.operation SET closed_at = closed_at - %s", [timedelta(days=days)])


def look(kb: recant.KnowledgeBase, query: str = "one", **options: object) -> list[tuple[str, float, float | None]]:
    found = Searcher(kb.database, Library(kb.database).model.vector).search(query, collection="library", **options)
    return [(hit.source, hit.score, hit.quality) for hit in found.hits]


def test_a_chunk_of_which_nobody_spoke_is_neutral(kb, library):
    """50, all of it the base; and no row is stored for it."""
    score = kb.quality.show(chunks(kb)["a"])
    assert (score.score, score.base, score.feedback, score.access, score.freshness) == (50, 50, 0, 0, 0)
    assert (score.pinned, score.holds_at, score.words, score.source) == (False, None, (), "a")
    assert stored_scores(kb.database) == {}


@pytest.mark.parametrize(
    ("verdicts", "feedback"),
    [
        (["helpful"], 10.0),
        (["incorrect"], -10.0),
        (["outdated"], -8.3),
        (["confusing"], -5.6),
        (["duplicate"], -5.6),
        (["helpful", "incorrect"], 0.0),
        (["incorrect"] * 5, -27.8),
        (["helpful"] * 16, 40.0),
    ],
)
def test_feedback_counts_as_documented(kb, library, verdicts, feedback):
    """Each agent's word against four neutral ones."""
    chunk = chunks(kb)["a"]
    for n, verdict in enumerate(verdicts):
        kb.submit_feedback(chunk, verdict, agent=f"agent {n}")
    shown = kb.quality.show(chunk)
    assert (shown.feedback, shown.score) == (feedback, 50 + feedback)
    assert len(shown.words) == len(verdicts)
    assert agree(kb)


def test_an_agents_last_word_is_its_only_one(kb, library):
    """Saying it fifty times is saying it once; saying something else takes it back."""
    chunk = chunks(kb)["a"]
    for _ in range(5):
        kb.submit_feedback(chunk, "incorrect", agent="mallory")
    assert kb.quality.show(chunk).feedback == -10
    kb.submit_feedback(chunk, "helpful", agent="mallory")
    shown = kb.quality.show(chunk)
    assert (shown.feedback, [word["verdict"] for word in shown.words]) == (10, ["helpful"])


def test_feedback_is_seen_by_the_next_search_and_a_rollback_takes_it_out_again(kb, library):
    """The same question gives the same hits, to the last digit, once the bomb is taken back."""
    before = look(kb)
    for n in range(6):
        kb.submit_feedback(chunks(kb)["a"], "incorrect", agent="mallory" if n else "ada")
    bombed = look(kb)
    assert before[0] == ("a", pytest.approx(1.0, abs=1e-3), None)
    (hit,) = [hit for hit in bombed if hit[0] == "a"]
    assert hit[2] == pytest.approx(33.3)
    assert hit[1] == pytest.approx(before[0][1] * (0.3 + 0.7 * 33.3 / 50), abs=1e-4)
    report = kb.rollback(Selector(kinds=("feedback",)))
    assert look(kb) == before
    assert report.certificate.verified
    kb.redo(report.rollback_operation_id)
    assert look(kb) == bombed
    assert kb.verify().ok


def test_an_earlier_position_is_searched_with_the_quality_of_then(kb, library):
    """Hit by hit what was answered when the log stood there; of no quality where there was none yet."""
    answers = {kb.position(): look(kb)}
    for verdict, agent in (("helpful", "a"), ("incorrect", "b"), ("incorrect", "c")):
        kb.submit_feedback(chunks(kb)["a"], verdict, agent=agent)
        answers[kb.position()] = look(kb)
    kb.rollback(Selector(agents=("b",)))
    answers[kb.position()] = look(kb)
    kb.quality.pin("b", kb.attribution(), score=5)
    answers[kb.position()] = look(kb)
    assert len({str(answer) for answer in answers.values()}) == 4
    for position, answer in answers.items():
        assert look(kb, as_of=position) == answer


def test_quality_can_be_left_out_of_a_ranking(kb, library):
    """It is still shown."""
    before = look(kb)
    kb.submit_feedback(chunks(kb)["a"], "incorrect")
    after = look(kb, by_quality=False)
    assert [hit[:2] for hit in after] == [hit[:2] for hit in before]
    assert [hit[2] for hit in after if hit[0] == "a"] == [40.0]
    assert [hit[:2] for hit in look(kb, by_quality=False, as_of=kb.position())] == [hit[:2] for hit in before]


def test_nothing_ages_unless_a_policy_says_so(kb, library):
    """A recalculation without policies changes no score, and is in the log all the same."""
    age_documents(kb, 3000)
    done = kb.quality.recalculate(kb.attribution(agent="airflow", message="nightly"))
    operation = kb.operations.get(done.operation_id)
    assert (done.scored, done.changed, stored_scores(kb.database)) == (0, 0, {})
    assert (operation.kind, operation.state, operation.agent, operation.counts) == (
        "recalculate_quality", "published", "airflow", {"scored": 0, "changed": 0},
    )  # fmt: skip
    assert {d["direction"] for d in kb.operations.details(done.operation_id)["datasets"]} == {"input", "output"}


def test_age_takes_half_of_what_is_left_in_each_half_life(kb, library):
    """After the grace, down to the floor; at the time that the scores hold for; changed ones only."""
    age_documents(kb, 375)
    kb.quality.set_policy(Policy("", YEAR, grace_days=10, floor=20), kb.attribution())
    assert stored_scores(kb.database) == {}
    done = kb.quality.recalculate(kb.attribution())
    shown = kb.quality.show(chunks(kb)["a"])
    assert (shown.freshness, shown.score, shown.holds_at, shown.recalculation) == (-15, 35, done.at, done.operation_id)
    assert (done.scored, done.changed) == (3, 3)
    assert kb.quality.recalculate(kb.attribution()).changed == 0
    past = kb.quality.recalculate(kb.attribution(), at=datetime.now(UTC) - timedelta(days=370))
    assert (past.scored, past.changed, stored_scores(kb.database)) == (0, 3, {})
    age_documents(kb, 36_500)
    kb.quality.recalculate(kb.attribution())
    assert kb.quality.show(chunks(kb)["a"]).score == 20


def test_a_doc_type_has_its_own_policy_and_a_document_its_own_time(kb, library):
    """The type's policy comes before the collection's; a document's own date before that of its publishing."""
    target = library.begin(operation := library.open())
    texts = {"d": {"doc_type": "law"}, "e": {"updated_at": "2020-01-01"}, "f": {"updated_at": "soon"}}
    rows = [library.row(source, f"text of {source}", None) for source in texts]
    from dataclasses import replace

    with kb.database.transaction() as connection:
        library.corpus.append(connection, target, [replace(r, attributes=texts[r.source]) for r in rows])
    library.log.finish_batch(target.batch_id, {})
    library.log.publish(operation)
    kb.quality.set_policy(Policy("", YEAR, floor=20), kb.attribution())
    kb.quality.set_policy(Policy("law", None), kb.attribution())
    kb.quality.recalculate(kb.attribution())
    of = {source: kb.quality.show(chunk).freshness for source, chunk in chunks(kb).items()}
    assert of["e"] < -25
    assert (of["a"], of["d"], of["f"]) == (0, 0, 0)
    age_documents(kb, 365)
    kb.quality.recalculate(kb.attribution())
    of = {source: kb.quality.show(chunk).freshness for source, chunk in chunks(kb).items()}
    assert (of["a"], of["d"], of["f"]) == (-15, 0, -15)
    kb.quality.unset_policy("law", kb.attribution())
    assert [p.doc_type for p in kb.quality.policies()] == [""]
    kb.quality.recalculate(kb.attribution())
    assert kb.quality.show(chunks(kb)["d"]).freshness == -15


def test_a_recalculation_is_taken_back(kb, library):
    """Scores are those of the one before it, and of it again after a redo."""
    age_documents(kb, 365)
    kb.quality.set_policy(Policy("", YEAR), kb.attribution())
    kb.quality.recalculate(kb.attribution(), at=datetime.now(UTC) - timedelta(days=100))
    before = stored_scores(kb.database)
    done = kb.quality.recalculate(kb.attribution())
    after = stored_scores(kb.database)
    report = kb.rollback(Selector(operations=(done.operation_id,)))
    assert stored_scores(kb.database) == before != after
    kb.redo(report.rollback_operation_id)
    assert stored_scores(kb.database) == after


def test_a_policy_that_is_taken_back_never_was(kb, library):
    """The scores are those that the last recalculation would have come to without it."""
    age_documents(kb, 365)
    change = kb.quality.set_policy(Policy("", YEAR), kb.attribution(agent="eve"))
    kb.quality.recalculate(kb.attribution())
    assert len(stored_scores(kb.database)) == 3
    kb.rollback(Selector(operations=(change.operation_id,)))
    assert stored_scores(kb.database) == {}
    assert agree(kb)


def test_a_pin_holds_at_once_and_for_later_versions(kb, library):
    """With a score whatever readers say; without one it keeps from ageing; taken away, all is as before."""
    chunk = chunks(kb)["a"]
    kb.submit_feedback(chunk, "incorrect")
    kb.quality.pin("a", kb.attribution(), score=80)
    shown = kb.quality.show(chunk)
    assert (shown.score, shown.pinned, shown.feedback) == (80, True, -10)
    library.publish({"a": "one, mended"})
    assert kb.quality.show(chunks(kb)["a"]).score == 80
    assert [(pin.source, pin.score, pin.agent) for pin in kb.quality.pins()] == [("a", 80, "tester")]
    kb.quality.unpin("a", kb.attribution())
    assert (kb.quality.show(chunk).score, kb.quality.show(chunks(kb)["a"]).score, kb.quality.pins()) == (40, 50, [])
    age_documents(kb, 365)
    kb.quality.set_policy(Policy("", YEAR), kb.attribution())
    kb.quality.pin("b", kb.attribution())
    kb.quality.recalculate(kb.attribution())
    assert (kb.quality.show(chunks(kb)["b"]).score, kb.quality.show(chunks(kb)["c"]).score) == (50, 37.5)
    assert agree(kb)


def test_a_session_that_is_merged_brings_its_versions_under_the_pin(kb, library):
    """Publishing by a merge is publishing."""
    kb.quality.pin("a", kb.attribution(), score=70)
    opened = library.open(session="s")
    library.write(opened, {"a": "one, tried"})
    library.log.hold(opened)
    kb.sessions.merge("s")
    assert kb.quality.show(chunks(kb)["a"]).score == 70
    assert agree(kb)


def test_what_is_shown_cited_or_asked_again_counts_a_little_with_the_next_recalculation(kb, library):
    """A search changes no score; citing is worth two points, being shown less, being asked again in other words costs."""
    look(kb, "one", session="s", agent="ada", limit=1)
    look(kb, "one?", session="s", agent="ada", limit=1)
    look(kb, "three", session="t", agent="ada", limit=1)
    cited = library.open(agent="ada")
    library.build_on(cited, "c", "cited")
    library.log.publish(cited)
    assert stored_scores(kb.database) == {}
    kb.quality.recalculate(kb.attribution())
    shown = {source: kb.quality.show(chunk).access for source, chunk in chunks(kb).items()}
    assert shown["c"] == pytest.approx(2.3)
    assert shown["a"] == 0.0
    assert agree(kb)
    kb.rollback(Selector(operations=(cited,)))
    assert kb.quality.show(chunks(kb)["c"]).access == pytest.approx(0.3)
    assert agree(kb)


def test_searches_outside_of_sessions_are_counted_beside_them(kb, library):
    """In memory, so many and no more; written by the counter's own thread or at its end."""
    from recant.scores import AccessCounter

    records = {row["key"]: row["id"] for row in rows(kb, "SELECT key, id FROM record WHERE kind = 'document'")}
    counter = AccessCounter(kb.database, interval_seconds=3600, most_versions=2)
    for source in ("a", "a", "b", "c"):
        counter.note([(1, records[source]), (1, records[source])])
    assert rows(kb, "SELECT * FROM access_count") == []
    counter.close()
    counted = {row["record_id"]: row["shown"] for row in rows(kb, "SELECT * FROM access_count")}
    assert counted == {records["a"]: 2, records["b"]: 1}
    counter.flush()
    kb.quality.recalculate(kb.attribution())
    assert kb.quality.show(chunks(kb)["a"]).access == 0.5
    assert agree(kb)


def test_the_counter_writes_by_itself(kb, library):
    """Without anybody asking it to; a count that can't be written is forgotten."""
    from recant.scores import AccessCounter
    from recant.store import Database

    class Told(AccessCounter):
        written = threading.Event()

        def flush(self) -> None:
            super().flush()
            if rows(kb, "SELECT 1 AS one FROM access_count"):
                self.written.set()

    counter = Told(kb.database, interval_seconds=0.01)
    counter.note([(1, 1)])
    assert counter.written.wait(60)
    counter.close()
    nowhere = AccessCounter(Database("postgresql://nobody@127.0.0.1:1/none"))
    nowhere.note([(1, 1)])
    nowhere.close()


def test_a_knowledge_base_counts_what_it_shows(kb, library, monkeypatch):
    """Searches in sessions are on record anyway; with RECANT_ACCESS_COUNTS=off nothing is counted."""
    from dataclasses import replace

    vector = library.model.vector("one")
    for settings, counted in ((kb.settings, 1), (replace(kb.settings, access_counts="off"), 1)):
        with recant.connect(settings=settings) as other:
            searcher = Searcher(other.database, lambda _: vector)
            monkeypatch.setattr(type(other), "_searcher", searcher)
            other.search("one", limit=1)
            list(other.search_many(["one"], limit=1, session="s"))
        assert sum(row["shown"] for row in rows(kb, "SELECT shown FROM access_count")) == counted


def test_feedback_and_rollbacks_between_draft_and_publishing(kb, library):
    """What comes in between is worked out again when the recalculation is published."""
    age_documents(kb, 365)
    kb.quality.set_policy(Policy("", YEAR), kb.attribution())
    said = kb.submit_feedback(chunks(kb)["b"], "helpful")
    operation = kb.quality._open("library", datetime.now(UTC), kb.attribution())
    drafted = kb.quality._draft(operation)
    kb.submit_feedback(chunks(kb)["a"], "incorrect")
    kb.rollback(Selector(operations=(said.operation_id,)))
    library.publish({"a": "one, mended", "d": "four"})
    kb.quality.pin("c", kb.attribution(), score=99)
    assert agree(kb)
    kb.quality._publish(operation, drafted)
    assert agree(kb)
    assert kb.quality.show(chunks(kb)["c"]).score == 99


def test_a_policy_between_draft_and_publishing_counts(kb, library):
    """It was there before the recalculation was; another recalculation in between does no harm."""
    age_documents(kb, 365)
    operation = kb.quality._open("library", datetime.now(UTC), kb.attribution())
    drafted = kb.quality._draft(operation)
    kb.quality.set_policy(Policy("", YEAR), kb.attribution())
    kb.quality.recalculate(kb.attribution(), at=datetime.now(UTC) - timedelta(days=200))
    kb.quality._publish(operation, drafted)
    assert kb.quality.show(chunks(kb)["a"]).score == 37.5
    assert agree(kb)


def test_a_recalculation_that_breaks_off_changes_nothing(kb, library, monkeypatch):
    """It is aborted, and the next one clears up after it."""
    age_documents(kb, 365)
    kb.quality.set_policy(Policy("", YEAR), kb.attribution())

    def break_off(operation_id: int, drafted: dict) -> dict:
        raise KeyboardInterrupt

    monkeypatch.setattr(kb.quality, "_publish", break_off)
    with pytest.raises(KeyboardInterrupt):
        kb.quality.recalculate(kb.attribution())
    assert (kb.log(limit=1)[0].state, stored_scores(kb.database)) == ("aborted", {})
    monkeypatch.undo()
    left = kb.quality._open("library", datetime.now(UTC), kb.attribution())
    kb.quality._draft(left)
    kb.operations.abort(left, "its worker is gone")
    assert agree(kb)
    kb.quality.recalculate(kb.attribution())
    assert len(stored_scores(kb.database)) == 3
    assert rows(kb, "SELECT 1 AS one FROM quality_draft") == []
    assert agree(kb)


def test_scores_count_before_they_are_stored_in_their_place(kb, library, monkeypatch):
    """A crash right after a recalculation was published: searches, feedback and rollbacks go by it all the same."""
    age_documents(kb, 365)
    said = kb.submit_feedback(chunks(kb)["c"], "helpful")
    kb.quality.set_policy(Policy("", YEAR), kb.attribution())
    monkeypatch.setattr(kb.quality, "_fold", lambda collection_id: None)
    done = kb.quality.recalculate(kb.attribution())
    assert {(source, quality) for source, _, quality in look(kb)} == {("a", 37.5), ("b", 37.5), ("c", 47.5)}
    assert kb.quality.show(chunks(kb)["a"]).score == 37.5
    assert agree(kb)
    kb.submit_feedback(chunks(kb)["a"], "incorrect")
    kb.rollback(Selector(operations=(said.operation_id,)))
    assert {(source, quality) for source, _, quality in look(kb)} == {("a", 27.5), ("b", 37.5), ("c", 37.5)}
    assert agree(kb)
    monkeypatch.undo()
    kb.quality.refresh()
    assert rows(kb, "SELECT 1 AS one FROM quality_draft") == []
    assert len(rows(kb, "SELECT 1 AS one FROM chunk_quality")) == 3
    monkeypatch.setattr(kb.quality, "_fold", lambda collection_id: None)
    kb.quality.recalculate(kb.attribution(), at=datetime.now(UTC) - timedelta(days=360))
    kb.quality.recalculate(kb.attribution(), at=datetime.now(UTC) - timedelta(days=300))
    assert agree(kb)
    kb.rollback(Selector(kinds=("recalculate_quality",)))
    assert stored_scores(kb.database).keys() == {chunks(kb)["a"]}
    assert agree(kb)
    assert done.changed == 3


def test_what_a_crash_left_out_is_made_good_by_whoever_comes_next(kb, library, monkeypatch):
    """Published or rolled back, and gone before the scores were: the next operation, or a refresh, brings them up to date."""
    for name in ("recant.oplog.log", "recant.rollback.rollback"):
        monkeypatch.setattr(f"{name}.refresh_projections", lambda database: None)
    kb.submit_feedback(chunks(kb)["a"], "incorrect", agent="eve")
    kb.submit_feedback(chunks(kb)["b"], "helpful", agent="ada")
    kb.rollback(Selector(agents=("eve",)))
    assert stored_scores(kb.database) == {}
    assert kb.quality.check() == []
    monkeypatch.undo()
    kb.quality.refresh()
    assert {score[0] for score in stored_scores(kb.database).values()} == {60}
    assert agree(kb)


def test_scores_that_can_not_be_refreshed_fail_nothing(kb, library, monkeypatch, caplog):
    """What was published is published; the scores are marked as they are."""
    with kb.database.connection() as connection:
        connection.execute("RESET ROLE")
        connection.execute("REVOKE EXECUTE ON FUNCTION recant.refresh_quality() FROM recant_coordinator, recant_writer")
    library.publish({"a": "two"})
    assert "behind the log" in caplog.text
    assert library.view()["a"] == "two"


def test_feedback_beside_a_recalculation_and_rollbacks(kb, library):
    """Many at once; in the end every score is what the log says."""
    age_documents(kb, 365)
    kb.quality.set_policy(Policy("", YEAR), kb.attribution())
    ids, failures = list(chunks(kb).values()), []

    def attempt(work) -> None:
        try:
            for n in range(6):
                work(n)
        except Exception as error:
            failures.append(error)

    jobs = [
        lambda n: kb.submit_feedback(ids[n % 3], "incorrect", agent=f"a{n}"),
        lambda n: kb.submit_feedback(ids[n % 3], "helpful", agent=f"b{n}"),
        lambda n: kb.quality.recalculate(kb.attribution(), at=datetime.now(UTC) - timedelta(days=n)),
        lambda n: kb.quarantine(Selector(agents=("a1",))) if n % 2 else kb.release(Selector(agents=("a1",))),
    ]
    threads = [threading.Thread(target=attempt, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [error for error in failures if not isinstance(error, UsageError | Refused)] == []
    assert agree(kb)


def test_a_destroyed_chunk_leaves_no_score(kb, library):
    """Erased, it is gone from the scores as well, and the others stay."""
    for source in ("a", "b"):
        kb.submit_feedback(chunks(kb)[source], "incorrect")
    kb.storage.erase("a", kb.attribution(message="a request"), collection="library")
    assert len(stored_scores(kb.database)) == 1
    assert agree(kb)
    kb.quality.recalculate(kb.attribution())
    assert agree(kb)


def test_a_damaged_score_is_found_and_made_good(kb, library):
    """`check` names it; a recalculation writes it anew."""
    kb.submit_feedback(chunks(kb)["a"], "incorrect")
    with kb.database.connection() as connection:
        connection.execute("RESET ROLE")
        connection.execute("UPDATE recant.chunk_quality SET score = 99")
    (wrong,) = kb.quality.check()
    assert (wrong.chunk_id, wrong.stored, wrong.expected) == (chunks(kb)["a"], 99, 40)
    kb.quality.recalculate(kb.attribution())
    assert agree(kb)


def test_scores_are_written_by_nobody_but_the_functions(kb, library):
    """Nor are policies changed where they stand."""
    kb.quality.set_policy(Policy("", YEAR), kb.attribution())
    for statement in (
        "UPDATE chunk_quality SET score = 0",
        "UPDATE quality_policy SET floor = 0",
        "DELETE FROM quality_policy",
        "UPDATE quality_projection SET true_position = 0",
        "DELETE FROM access_count",
    ):
        with pytest.raises(Exception, match="permission denied"), kb.database.transaction() as connection:
            connection.execute(statement)


def test_what_makes_no_sense_is_refused(kb, library):
    """With nothing written."""
    who, position = kb.attribution(), kb.position()
    for call in (
        lambda: kb.quality.show(0),
        lambda: kb.quality.show(10**6),
        lambda: kb.quality.recalculate(who, at=datetime(2999, 1, 1)),
        lambda: kb.quality.set_policy(Policy("", 0), who),
        lambda: kb.quality.set_policy(Policy("", float("nan")), who),
        lambda: kb.quality.set_policy(Policy("", 1, grace_days=-1), who),
        lambda: kb.quality.set_policy(Policy("", 1, floor=51), who),
        lambda: kb.quality.set_policy(Policy("x" * 201, 1), who),
        lambda: kb.quality.unset_policy("law", who),
        lambda: kb.quality.unset_policy("", who),
        lambda: kb.quality.pin("nowhere", who),
        lambda: kb.quality.pin("a", who, score=101),
        lambda: kb.quality.unpin("a", who),
    ):
        with pytest.raises(UsageError):
            call()
    with pytest.raises(UnknownCollection):
        kb.quality.recalculate(who, collection="elsewhere")
    assert kb.position() == position


def rows(kb: recant.KnowledgeBase, query: str) -> list[dict]:
    with kb.database.transaction() as connection:
        return connection.execute(query).fetchall()
