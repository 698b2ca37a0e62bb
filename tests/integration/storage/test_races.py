"""Reclaim and erase beside writers, publishers and rollbacks: a few seconds each, and everything holds afterwards."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

import psycopg
import pytest

from recant.errors import Refused, TransientError
from recant.oplog import Attribution, Selector
from recant.rollback import verify_log
from recant.storage import Erasure, Reclamation, Storage
from recant.store import Database, Row, load
from tests.integration.library import Library

SECONDS = 5
ROLLBACK = load("recant.rollback", "rollback.sql")
KEEPER = Attribution("keeper", message="room is needed")
TEXTS = [f"text {number}" for number in range(12)]


class Crowd:
    """Threads that each do something over and over until time is up; the first thing that goes wrong is raised."""

    def __init__(self) -> None:
        self.over = Event()
        self.errors: list[BaseException] = []
        self.rounds: dict[str, int] = {}

    def run(self, **doings: Callable[[random.Random], object]) -> None:
        threads = [Thread(target=self._again_and_again, args=item, daemon=True) for item in doings.items()]
        for thread in threads:
            thread.start()
        self.over.wait(SECONDS)
        self.over.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        if self.errors:
            raise self.errors[0]
        assert all(self.rounds.values()), self.rounds

    def _again_and_again(self, name: str, doing: Callable[[random.Random], object]) -> None:
        rng = random.Random(name)
        self.rounds[name] = 0
        try:
            while not self.over.is_set():
                doing(rng)
                self.rounds[name] += 1
        except BaseException as error:
            self.errors.append(error)
            self.over.set()


@pytest.fixture
def crowd() -> Crowd:
    """Nobody yet."""
    return Crowd()


def rows(library: Library, statement: str) -> list[Row]:
    """As the owner: the functions asked are nobody's to call."""
    with Database(library.database.dsn, role="recant_owner") as owner, owner.transaction() as connection:
        return connection.execute(statement).fetchall()  # type: ignore[arg-type]


def write(library: Library, operation_id: int, documents: dict[str, str | None], key: str = "batch") -> None:
    """A worker's way: a batch that meets a reclaimed embedding is done again."""
    for _ in range(50):
        try:
            library.write(operation_id, documents, key=key)
            return
        except (psycopg.errors.ForeignKeyViolation, TransientError, KeyError):
            time.sleep(0.001)
    raise AssertionError("every attempt met a reclaimed embedding")


def publish(library: Library, documents: dict[str, str | None], **options: object) -> int:
    operation_id = library.open(**options)
    write(library, operation_id, documents)
    library.log.publish(operation_id)
    return operation_id


def assert_whole(library: Library) -> None:
    """The log verifies; nothing that is seen at an answerable position is reclaimed; what is destroyed is off the disk."""
    report = verify_log(library.database)
    assert report.ok, [check for check in report.checks if not check.ok]
    lost = rows(
        library,
        """
        SELECT p.position, v.version_id, v.record_id
        FROM (SELECT generate_series(horizon_position(), log_position()) UNION SELECT t.position FROM tag t) AS p (position)
        CROSS JOIN LATERAL head_versions(p.position) AS h (version_id)
        JOIN version v ON v.version_id = h.version_id WHERE v.payload = 'reclaimed'
        """,
    )
    assert lost == []
    assert rows(library, "SELECT c.id FROM chunk c JOIN version v USING (version_id) WHERE v.payload <> 'kept'") == []
    assert rows(library, "SELECT FROM reclaim_work") == []


def test_reclaim_beside_writers_of_the_same_texts(library: Library, storage: Storage, crowd: Crowd) -> None:
    """No writer fails for good, no chunk is without its embedding, and no orphan is left that a second reclaim doesn't take."""
    written: dict[str, str] = {}

    def writer(name: str) -> Callable[[random.Random], None]:
        def work(rng: random.Random) -> None:
            text = rng.choice(TEXTS)
            publish(library, {name: text}, agent=name)
            written[name] = text

        return work

    crowd.run(
        one=writer("one"),
        two=writer("two"),
        three=writer("three"),
        reclaim=lambda rng: storage.reclaim(KEEPER, older_than_days=0),
        again=lambda rng: storage.reclaim(KEEPER, older_than_days=0),
    )
    assert library.view() == written
    for _ in range(2):
        library.publish({"last": f"{time.monotonic()}"})
        library.publish({"last": "word"})
        storage.reclaim(KEEPER, older_than_days=0)
    assert (
        rows(library, "SELECT FROM embedding e WHERE NOT EXISTS (SELECT FROM chunk c WHERE c.embedding_id = e.id)")
        == []
    )
    assert_whole(library)


def test_reclaim_beside_rollbacks_redos_and_publishers(library: Library, storage: Storage, crowd: Crowd) -> None:
    """Whatever their order, nothing that can be seen is reclaimed, and what can't be brought back is refused."""
    who = Attribution("x")

    def publish_some(rng: random.Random) -> None:
        documents: dict[str, str | None] = {f"d{rng.randrange(6)}": rng.choice(TEXTS) for _ in range(2)}
        operation_id = library.open(agent=rng.choice("ab"))
        try:
            write(library, operation_id, documents)
            library.log.publish(operation_id)
        except Refused:
            library.log.abort(operation_id, "a rollback came in between")

    def some(rng: random.Random, kind: str) -> int | None:
        found = library.log.find(Selector(kinds=(kind,)), limit=8)
        published = [operation.operation_id for operation in found if operation.position]
        return rng.choice(published) if published else None

    def take_back(rng: random.Random) -> None:
        if picked := some(rng, "ingest"):
            selector, policy = Selector(operations=(picked,)), rng.choice(["refuse", "force"])
            with suppress(Refused):
                library.rollback.apply(library.rollback.plan(selector, policy=policy, agent="x"), who)

    def redo(rng: random.Random) -> None:
        if picked := some(rng, "rollback"):
            with suppress(Refused):
                library.rollback.redo(picked, who, rng.choice(["refuse", "force"]))

    def free(rng: random.Random) -> None:
        storage.reclaim(KEEPER, horizon=max(0, library.log.position() - rng.randrange(4)))

    def tag(rng: random.Random) -> None:
        storage.tag(f"t{rng.randrange(10**9)}")
        if rng.random() < 0.7:
            storage.untag(rng.choice(storage.tags()).name)
        time.sleep(0.05)

    publish_some(random.Random(0))
    crowd.run(publish=publish_some, take_back=take_back, redo=redo, free=free, tag=tag)
    storage.reclaim(KEEPER, older_than_days=0)
    assert_whole(library)


def test_erase_beside_publishers_and_an_open_writer(library: Library, storage: Storage, crowd: Crowd) -> None:
    """No deadlock, no conflict that isn't one, and after the last erasure nothing of the document is left."""
    library.publish({"victim": "secret 0", "other": "text"})

    def publish_it(rng: random.Random) -> None:
        publish(library, {"victim": f"secret {rng.random()}", "other": rng.choice(TEXTS)})

    def write_long(rng: random.Random) -> None:
        opened = library.open("bob", "long")
        write(library, opened, {"victim": f"secret {rng.random()}"}, "one")
        time.sleep(0.05)
        write(library, opened, {f"d{rng.randrange(5)}": rng.choice(TEXTS)}, "two")
        library.log.abort(opened, "only trying")

    def erase(rng: random.Random) -> None:
        storage.erase("victim", KEEPER)

    crowd.run(
        publish=publish_it,
        write_long=write_long,
        erase=erase,
        free=lambda rng: storage.reclaim(KEEPER, older_than_days=0),
    )
    storage.erase("victim", KEEPER)
    assert rows(library, "SELECT text FROM chunk WHERE text LIKE 'secret%'") == []
    assert "victim" not in library.view()
    assert set(library.view()) >= {"other"}
    storage.reclaim(KEEPER, older_than_days=0)
    assert_whole(library)


def test_what_was_worked_out_is_worked_out_again_when_a_rollback_came_in_between(
    library: Library, storage: Storage
) -> None:
    """A reclaim that waits for the log's lock behind a rollback keeps what the rollback brought back."""
    library.publish({"a": "one"})
    second = library.publish({"a": "two"})
    library.publish({"b": "one"})
    library.publish({"b": "two"})
    plan = library.rollback.plan(Selector(operations=(second,)), agent="x")
    rows(library, "UPDATE rollback_plan SET state = 'expired' RETURNING id")  # or it would keep the versions itself
    done: list[Reclamation] = []
    waiting = Thread(target=lambda: done.append(storage.reclaim(KEEPER, horizon=4)), daemon=True)
    with library.database.transaction() as connection:
        connection.execute("SELECT lock_log()")
        waiting.start()
        wait_for_the_lock(library)
        connection.execute(ROLLBACK["apply_verdicts"], library.rollback._verdicts(plan, KEEPER))
    waiting.join(30)
    assert (done[0].versions, library.view()) == (1, {"a": "one", "b": "two"})
    assert_whole(library)


def test_a_tag_waits_for_a_reclaim_or_is_kept_by_it(library: Library, storage: Storage) -> None:
    """Made while a reclaim waits for the log's lock, the tag is seen by it."""
    library.publish({"a": "one"})
    library.publish({"a": "two"})
    done: list[Reclamation] = []
    waiting = Thread(target=lambda: done.append(storage.reclaim(KEEPER, horizon=2)), daemon=True)
    with library.database.transaction() as connection:
        connection.execute("SELECT lock_log()")
        waiting.start()
        wait_for_the_lock(library)
        connection.execute("SELECT create_tag('first', 1, 'nora', '')")
    waiting.join(30)
    assert (done[0].versions, library.view(1)) == (0, {"a": "one"})


def test_an_erasure_waits_for_who_appends_to_the_document(library: Library, storage: Storage) -> None:
    """What an open operation has written is destroyed however its worker stands; the worker goes on afterwards."""
    opened = library.open()
    write(library, opened, {"a": "secret"}, "one")
    target = library.begin(opened, "two")
    done: list[Erasure] = []
    waiting = Thread(target=lambda: done.append(storage.erase("a", KEEPER)), daemon=True)
    with library.database.transaction() as connection:
        library.corpus.append(connection, target, [library.row("b", "fine", None)])
        waiting.start()
        time.sleep(0.3)
        assert not done
    waiting.join(30)
    library.log.finish_batch(target.batch_id, {"documents": 1})
    library.log.publish(opened)
    assert (done[0].versions, library.view()) == (1, {"b": "fine"})
    assert_whole(library)


def test_an_erasure_during_a_publish_comes_after_it(library: Library, storage: Storage) -> None:
    """It waits for the operation's row, and for the log; no deadlock, whichever is first."""
    opened = library.open()
    write(library, opened, {"a": "secret"})
    done: list[Erasure] = []
    waiting = Thread(target=lambda: done.append(storage.erase("a", KEEPER)), daemon=True)
    with library.database.transaction() as connection:
        connection.execute("SELECT publish_operations(ARRAY[%s::bigint])", [opened])
        waiting.start()
        time.sleep(0.3)
        assert not done
    waiting.join(30)
    assert (done[0].versions, done[0].position, library.view()) == (1, 2, {})


def test_an_erasure_does_not_stand_in_the_way_of_a_rollback(library: Library, storage: Storage) -> None:
    """An operation that was published while the erasure waited for it is let go before the log's lock is asked for."""
    opened = library.open()
    write(library, opened, {"a": "secret"})
    done: list[Erasure] = []
    undone: list[Row] = []

    def take_back() -> None:
        with library.database.transaction() as connection:
            connection.execute("SELECT lock_log()")
            time.sleep(0.5)
            plan = library.rollback.plan(Selector(operations=(opened,)), agent="x")
            undone.extend(connection.execute(ROLLBACK["apply_verdicts"], library.rollback._verdicts(plan, KEEPER)))

    erasing = Thread(target=lambda: done.append(storage.erase("a", KEEPER)), daemon=True)
    undoing = Thread(target=take_back, daemon=True)
    with library.database.transaction() as connection:
        connection.execute("SELECT publish_operations(ARRAY[%s::bigint])", [opened])
        erasing.start()
        undoing.start()
        wait_for_the_lock(library)
        time.sleep(0.2)
    for thread in (erasing, undoing):
        thread.join(30)
    assert (undone[0]["position"], done[0].position, library.view()) == (2, 3, {})
    assert_whole(library)


def wait_for_the_lock(library: Library) -> None:
    """Until somebody waits for the log's lock."""
    for _ in range(1_000):
        if rows(library, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted"):
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits for the log's lock")
