"""Retention rules: by collection and class, history is kept shorter or longer, and documents expire. All of it can be undone."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from recant.blocks import Blocks
from recant.corpus import BatchTarget
from recant.errors import PastHorizon, UnknownCollection, UsageError
from recant.oplog import Attribution, OperationLog, Selector
from recant.rollback import verify_log
from recant.scores import Scores
from recant.settings import read_settings
from recant.storage import RetentionRule, Storage
from recant.storage.reclamation import Reclamation
from recant.store import Row
from tests.integration.library import Library

WHO = Attribution("keeper", message="the law")


def rows(library: Library, statement: str) -> list[Row]:
    with library.database.transaction() as connection:
        return connection.execute(statement).fetchall()  # type: ignore[arg-type]


def publish(library: Library, source: str, text: str, classification: str | None = None) -> int:
    """A version of a document with that class."""
    operation_id = library.open()
    target = BatchTarget(library.collection.id, operation_id, library.log.begin_batch(operation_id, source))
    heads = library.corpus.heads(target.collection_id, operation_id, [source])
    row = library.row(source, text, heads[source].operation_id if source in heads else None)
    row.attributes.update({"classification": classification} if classification else {})
    with library.database.transaction() as connection:
        library.corpus.append(connection, target, [row])
    library.log.finish_batch(target.batch_id, {"documents": 1})
    library.log.publish(operation_id)
    return operation_id


def age(library: Library, days: float) -> None:
    """All that happened until now happened so much earlier."""
    with library.database.connection() as connection:
        connection.execute("RESET ROLE")
        connection.execute("UPDATE recant.operation SET closed_at = closed_at - %s", [timedelta(days=days)])


def stored(library: Library) -> set[str]:
    return {row["text"] for row in rows(library, "SELECT text FROM chunk")}


def reclaim(storage: Storage, days: int | None = None, **options: bool) -> Reclamation:
    return storage.reclaim(WHO, older_than_days=days, **options)


def by_class(report: Reclamation) -> dict[str | None, int]:
    return {rule["classification"] if rule["collection"] else None: rule["versions"] for rule in report.rules}


def three_classes(library: Library) -> None:
    """Each document in two versions: the first was superseded 40 days ago."""
    for text in ("old", "new"):
        for source, classification in (("a", "confidential"), ("b", "Public"), ("c", None)):
            publish(library, source, f"{text} {source}", classification)
    age(library, 40)


def test_a_class_loses_its_history_earlier(library: Library, storage: Storage) -> None:
    """What is confidential after 30 days, the rest after the installation's 90; and the dry run says so by rule."""
    three_classes(library)
    storage.retention.set(RetentionRule("confidential", history_days=30), WHO)
    dry = reclaim(storage, dry_run=True)
    assert (by_class(dry), stored(library) >= {"old a"}) == ({None: 0, "confidential": 1}, True)
    (rule,) = storage.retention.rules()
    assert dry.rules[1]["operation_id"] == rule.operation_id
    done = reclaim(storage)
    assert (done.versions, done.chunks, by_class(done)) == (1, 1, by_class(dry))
    assert stored(library) == {"new a", "old b", "new b", "old c", "new c"}
    assert library.view() == {"a": "new a", "b": "new b", "c": "new c"}
    assert storage.horizon().position == 0
    assert storage.retention.horizon() == 6
    assert [check.name for check in verify_log(library.database).checks if not check.ok] == [
        "hash chain"
    ]  # broken by `age`


def test_a_class_keeps_its_history_longer(library: Library, storage: Storage) -> None:
    """Whatever days are asked for: a rule counts for what it covers."""
    three_classes(library)
    storage.retention.set(RetentionRule("public", history_days=365), WHO)
    storage.retention.set(RetentionRule(history_days=50), WHO)
    assert reclaim(storage, 0).versions == 0
    storage.retention.set(RetentionRule(history_days=10), WHO)
    assert by_class(reclaim(storage, 0)) == {None: 0, "": 2, "public": 0}
    assert stored(library) == {"new a", "old b", "new b", "new c"}


def test_positions_are_answered_from_their_collections_horizon_on(library: Library, storage: Storage) -> None:
    """One collection's rule takes no answer from another; tags are of all, so none is made where one can't answer."""
    other = Library(library.database, name="other")
    other.publish({"z": "one"})
    three_classes(library)
    storage.retention.set(RetentionRule("confidential", history_days=30), WHO)
    reclaim(storage)
    now = library.log.position()
    for collection, position, answered in (("library", 3, False), ("library", 7, True), ("other", 3, True)):
        try:
            library.rollback.restore(collection, position, WHO)
            assert answered
        except PastHorizon as error:
            assert not answered
            assert "7" in str(error)
    with pytest.raises(PastHorizon):
        storage.tag("early", 3)
    storage.tag("late", now)


def test_what_is_tagged_or_planned_stays_whatever_the_rule(library: Library, storage: Storage) -> None:
    """Reclaimed by a rule is only what nobody can be shown any more."""
    first, _ = publish(library, "a", "one", "confidential"), publish(library, "b", "one b", "confidential")
    storage.tag("kept")
    publish(library, "a", "two", "confidential")
    publish(library, "b", "two b", "confidential")
    third = publish(library, "a", "three", "confidential")
    publish(library, "b", "three b", "confidential")
    storage.retention.set(RetentionRule("confidential", history_days=0, expire_days=10), WHO)
    plan = library.rollback.plan(Selector(operations=(third,)), agent="x")
    age(library, 5)
    assert by_class(reclaim(storage, 90)) == {None: 0, "confidential": 1}
    assert stored(library) == {"one", "two", "three", "one b", "three b"}
    library.rollback.run(plan, WHO)
    assert library.view()["a"] == "two"
    assert library.view(2) == {"a": "one", "b": "one b"}
    assert first


def test_expired_documents_are_retired_and_come_back_by_a_rollback(library: Library, storage: Storage) -> None:
    """By an operation that says by which rule; what is younger, of another class, or pinned stays."""
    publish(library, "old", "old", "confidential")
    publish(library, "pinned", "pinned", "confidential")
    publish(library, "open", "open", "public")
    age(library, 400)
    publish(library, "young", "young", "confidential")
    Scores(library.database, storage.settings).pin("pinned", WHO)
    storage.retention.set(RetentionRule("confidential", expire_days=365), WHO)
    dry = reclaim(storage, dry_run=True)
    assert [(e.documents, e.sources, e.classification, e.operation_id) for e in dry.expired] == [
        (1, ("old",), "confidential", None)
    ]
    assert "1 documents have expired and would be retired" in dry.message
    assert reclaim(storage, expiry=False).expired == ()
    (done,) = reclaim(storage).expired
    assert done.operation_id is not None
    assert set(library.view()) == {"pinned", "open", "young"}
    operation = library.log.get(done.operation_id)
    assert (operation.kind, operation.counts["retired"], operation.collection) == ("expire_documents", 1, "library")
    assert operation.parameters == {"rules": [{"classification": "confidential", "expire_days": 365}]}
    assert reclaim(storage).expired == ()
    undone = library.rollback.run(library.rollback.plan(Selector(operations=(done.operation_id,)), agent="x"), WHO)
    assert set(library.view()) == {"old", "pinned", "open", "young"}
    assert undone.rollback_operation_id


def test_what_expired_stays_away_from_the_next_ingest(library: Library, storage: Storage) -> None:
    """The same bytes under the same source are blocked while the expiry is seen; changed ones come in."""
    publish(library, "old", "old", "internal")
    age(library, 20)
    storage.retention.set(RetentionRule("internal", expire_days=10), WHO)
    (done,) = reclaim(storage).expired
    blocks = Blocks(library.database, "nora")
    (block,) = blocks.list()
    assert re.search(rf"with expiry {done.operation_id}: it has expired", block.rejection)
    content, changed = (library.row("old", text, None).source_hash for text in ("old", "changed"))
    assert set(blocks.matching(library.collection.id, [("old", content)])) == {"old"}
    assert blocks.matching(library.collection.id, [("old", changed)]) == {}
    assert done.operation_id is not None
    library.rollback.run(library.rollback.plan(Selector(operations=(done.operation_id,)), agent="x"), WHO)
    assert blocks.matching(library.collection.id, [("old", content)]) == {}
    assert blocks.list(include_lifted=True)[0].state == "expiry taken back"


def test_a_rule_is_an_operation_that_can_be_taken_back(library: Library, storage: Storage) -> None:
    """Set, set anew, rolled back, unset: each time the rule that is seen counts."""
    library.publish({"a": "one"})
    storage.retention.set(RetentionRule("public", history_days=10), WHO)
    second = storage.retention.set(RetentionRule("public", history_days=20, expire_days=30), WHO)
    (rule,) = storage.retention.rules("library")
    assert (rule.history_days, rule.expire_days, rule.operation_id, rule.agent) == (
        20,
        30,
        second.operation_id,
        "keeper",
    )
    library.rollback.run(library.rollback.plan(Selector(operations=(second.operation_id,)), agent="x"), WHO)
    assert [rule.history_days for rule in storage.retention.rules()] == [10]
    gone = storage.retention.unset("public", WHO)
    assert (gone.removed, storage.retention.rules()) == (True, [])
    assert verify_log(library.database).ok
    with pytest.raises(UsageError, match="no retention rule"):
        storage.retention.unset("public", WHO)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (RetentionRule("secret", history_days=1), "no class 'secret'"),
        (RetentionRule("public"), "how long"),
        (RetentionRule(history_days=-1), "0 to 100,000"),
        (RetentionRule(expire_days=0), "1 to 100,000"),
        (RetentionRule(history_days=100_001), "100,000"),
    ],
)
def test_a_rule_that_cant_be_is_refused(library: Library, storage: Storage, rule: RetentionRule, words: str) -> None:
    """With what would be right; and nothing is written."""
    library.publish({"a": "one"})
    with pytest.raises(UsageError, match=words):
        storage.retention.set(rule, WHO)
    with pytest.raises(UnknownCollection):
        storage.retention.set(RetentionRule(history_days=1), WHO, collection="no\0where")
    assert library.log.position() == 1


def test_every_operation_says_until_when_by_the_shortest_rule_of_its_collection(
    library: Library, storage: Storage
) -> None:
    """Of a rollback: by the rules of the collections that it spoke of. Longer ones count where they are all there is."""
    log = OperationLog(library.database, retention_days=90)

    def days(operation_id: int) -> float:
        operation = log.get(operation_id)
        assert operation.undoable_until is not None
        assert operation.published_at is not None
        return (operation.undoable_until - operation.published_at).days

    other = Library(library.database, name="other").publish({"z": "one"})
    ours = library.publish({"a": "one"})
    undone = library.rollback.run(library.rollback.plan(Selector(operations=(ours,)), agent="x"), WHO)
    assert undone.rollback_operation_id is not None
    assert [days(ours), days(other), days(undone.rollback_operation_id)] == [90, 90, 90]
    storage.retention.set(RetentionRule("confidential", history_days=30), WHO)
    assert [days(ours), days(other), days(undone.rollback_operation_id)] == [30, 90, 30]
    storage.retention.unset("confidential", WHO)
    storage.retention.set(RetentionRule(history_days=365), WHO)
    assert [days(ours), days(other), days(undone.rollback_operation_id)] == [365, 90, 90]
    assert OperationLog(library.database).get(other).undoable_until is None


def test_where_everything_is_kept_for_ever_the_rules_still_count(library: Library) -> None:
    """Without any, a reclaim that names no horizon is refused."""
    forever = {"RECANT_COLLECTION": "library", "RECANT_AGENT": "keeper", "RECANT_RETENTION_DAYS": "forever"}
    storage = Storage(library.database, read_settings(forever))
    three_classes(library)
    with pytest.raises(UsageError, match="for ever"):
        reclaim(storage)
    storage.retention.set(RetentionRule("public", history_days=1), WHO)
    assert by_class(reclaim(storage)) == {None: 0, "public": 1}
    assert stored(library) == {"old a", "new a", "new b", "old c", "new c"}


def test_a_dry_run_counts_orphans_too(library: Library, storage: Storage) -> None:
    """Embeddings of a batch that was tried again: as many as are swept, once a reclaim has come by since they were stored."""
    for text in ("one", "two"):
        library.publish({"a": text})
    library.row("nowhere", "never written", None)
    assert reclaim(storage, 0, dry_run=True).orphans == 0
    assert (reclaim(storage, 0).orphans, reclaim(storage, 0, dry_run=True).orphans) == (0, 1)
    dry = reclaim(storage, 0, dry_run=True)
    assert (dry.orphans, dry.embeddings, reclaim(storage, 0).orphans) == (1, 1, 1)
    assert reclaim(storage, 0, dry_run=True).orphans == 0
