"""Searches are the same whatever is in the vector index, at every moment of its tending."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from typing import Any

import numpy as np
import psycopg
import pytest

from recant.errors import Refused, UsageError
from recant.search import nearest
from recant.search.nearest import Neighbourhood
from recant.search.scope import read_scope
from recant.search.sizes import Sizes
from recant.store import Database, half_vector
from recant.upkeep import Upkeep, tending
from recant.upkeep.tending import tend_index
from tests.integration.search.search_library import Library, Part, sign_vector
from tests.integration.search.test_search_histories import History, found

OUTSIDE = "SELECT count(*) AS n FROM embedding WHERE NOT indexed"
NEEDED_OUTSIDE = "SELECT count(*) AS n FROM embedding e WHERE NOT e.indexed AND is_needed(e.id)"


def parts(random: np.random.Generator, prefix: str, count: int) -> list[Part]:
    """Chunks with vectors of their own."""
    return [Part(f"{prefix} {i}", sign_vector(random)) for i in range(count)]


def number(library: Library, statement: str, *given: Any) -> int:
    """What the statement counts."""
    with library.database.transaction() as connection:
        row = connection.execute(statement, given).fetchone()
    assert row is not None
    return int(row["n"])


def hits(library: Library, vector: Any, **options: Any) -> list[tuple[int, float]]:
    """Chunk ids with their scores."""
    return [(hit.chunk_id, hit.score) for hit in library.search(vector, limit=20, **options).hits]


@pytest.fixture
def full(library: Library) -> tuple[Library, list[int]]:
    """Three operations of five documents each, the second over the first, and an index."""
    random = np.random.default_rng(5)
    operations = [library.publish({f"{n % 2}-{d}": parts(random, f"{n} {d}", 4) for d in range(5)}) for n in range(3)]
    library.build_index()
    return library, operations


def test_the_same_before_and_after(full: tuple[Library, list[int]], upkeep: Upkeep, counted: Counter[str]) -> None:
    """Superseded and withdrawn vectors leave; rollback, redo, and tending in between show the same as exact search."""
    library, (_first, _second, third) = full
    vectors = [sign_vector(np.random.default_rng(n)) for n in range(5)]

    def exact() -> list[Any]:
        return [hits(library, vector, filters={"format": "text"}) for vector in vectors]

    def answers(way: str) -> list[Any]:
        counted.clear()
        given = [hits(library, vector) for vector in vectors]
        assert set(counted) == {way}
        return given

    seen = answers("search_index")
    (tended,) = upkeep.tend_indexes()
    assert (tended.taken_out, tended.put_back, tended.outside, tended.position) == (20, 0, 20, 3)
    assert tended.followed_by == "rebuild"
    assert answers("search_index") == seen == exact()
    (again,) = upkeep.tend_indexes()
    assert (again.taken_out, again.put_back, again.followed_by) == (0, 0, "nothing")

    undone = library.control("rollback", {third: False})
    revived = answers("search_index")
    assert revived != seen, "what is outside is looked at beside the index"
    assert number(library, NEEDED_OUTSIDE) == 20
    (tended,) = upkeep.tend_indexes()
    assert (tended.taken_out, tended.put_back) == (20, 20)
    assert answers("search_index") == revived == exact()

    library.control("redo", {undone: False})
    assert answers("search_index") == seen
    upkeep.tend_indexes()
    assert answers("search_index") == seen

    poison = library.publish({"new": [Part("poison", vectors[0])]})
    upkeep.tend_indexes()
    library.control("rollback", {poison: False})
    assert answers("search_index") == seen, "nothing came back that is outside: the index serves on"
    counted.clear()
    then = [hits(library, vector, as_of=2) for vector in vectors]
    assert set(counted) == {"search_index"}
    assert then == [hits(library, vector, as_of=2, filters={"format": "text"}) for vector in vectors] != seen


@pytest.mark.parametrize("seed", range(4))
def test_random_histories(
    library: Library, upkeep: Upkeep, seed: int, counted: Counter[str], nightly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing, sessions, rollbacks and redos with tending in between: searches equal the oracle after each step."""
    monkeypatch.setattr(nearest, "TIE_MARGIN", 1)  # few candidates, so that the index is asked and believed
    monkeypatch.setattr(nearest, "FEW_OUTSIDE", nearest.FEW_OUTSIDE * (seed % 2))
    history = History(library, seed)
    history.texts = [Part(f"text {i}", sign_vector(history.random)) for i in range(90)]
    history._publish()
    library.build_index()
    for _ in range(120 if nightly else 25):
        history.step()
        if history.random.random() < 0.4:
            upkeep.tend_indexes(follow_up=bool(history.random.random() < 0.3), least_share=0)
            assert number(library, NEEDED_OUTSIDE) == 0
        now = len(history.oracle.published)
        chunk_ids, vector = history.chunk_ids(), sign_vector(history.random)
        for own, session in ((), None), (history.oracle.open, "s"):
            result = library.search(vector, session=session, limit=3)
            assert found(result) == history.oracle.nearest(vector, chunk_ids, 3, position=now, own=own)
        past = int(history.random.integers(0, now + 1))
        result = library.search(vector, as_of=past, limit=3)
        assert found(result) == history.oracle.nearest(vector, chunk_ids, 3, position=past)
    assert counted["search_index"] > 0
    assert number(library, OUTSIDE) > 0


def test_searches_beside_tending(full: tuple[Library, list[int]], upkeep: Upkeep) -> None:
    """While others withdraw, bring back and tend, a search of any moment gives what comparing everything gives then."""
    library, (_, second, third) = full
    stop, wrong, asked = threading.Event(), [], Counter[str]()

    def search() -> None:
        random, sizes = np.random.default_rng(), Sizes()
        with Database(library.database.dsn) as database:
            while not stop.is_set():
                vector = half_vector(sign_vector(random))
                with database.snapshot() as connection:
                    scope = read_scope(connection, "knowledge", as_of=None, session=None)
                    around = Neighbourhood(connection, scope, None, sizes)
                    given = [(r["distance"], r["chunk_id"]) for r in around.nearest(vector, 32, 10)]
                    asked[str(around._by_index)] += 1
                    exact = [(r["distance"], r["chunk_id"]) for r in around.search_exact(vector, 32, 10)]
                if given != exact:
                    wrong.append((scope, given, exact))

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for round_ in range(6):
        undone = library.control("rollback", {third if round_ % 2 else second: False})
        upkeep.tend_indexes(follow_up=round_ == 2)
        library.publish({f"extra {round_}": [Part(f"0 {round_ % 5} 1", sign_vector(np.random.default_rng(1)))]})
        library.control("redo", {undone: False})
        if round_ % 3:
            upkeep.tend_indexes(follow_up=False)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(asked.values()) > 0


def test_control_operations_in_the_midst_of_tending(full: tuple[Library, list[int]]) -> None:
    """Whatever is shown again between two shares is found, with a searcher that remembers what it found out before."""
    library, (_, second, third) = full
    space, vector = library.corpus.collection("knowledge").space_id, sign_vector(np.random.default_rng(3))
    controls: list[int] = []

    def meddle() -> None:
        if len(controls) % 2 == 0:
            controls.append(library.control("rollback", {third if len(controls) % 4 else second: False}))
        else:
            controls.append(library.control("redo", {controls[-1]: False}))
        with library.database.snapshot() as connection:
            around = Neighbourhood(connection, read_scope(connection, "knowledge", as_of=None, session=None))
            exact = [row["chunk_id"] for row in around.search_exact(half_vector(vector), 32, 20)]
        assert [chunk for chunk, _ in hits(library, vector)] == exact

    for _ in range(3):
        tend_index(library.database, space, follow_up=False, between=meddle)
    assert len(controls) > 10


def test_a_writer_keeps_what_it_is_about_to_use(full: tuple[Library, list[int]], upkeep: Upkeep) -> None:
    """An embedding whose chunk isn't committed yet is passed over; one that was out is in again with the chunk."""
    library, _ = full
    info = library.corpus.collection("knowledge")
    operation = library.open()
    batch = library.log.begin_batch(operation, "slow")
    insert = """
        WITH r AS (INSERT INTO record (collection_id, kind, key) VALUES (%(collection)s, 'document', %(key)s) RETURNING id),
        v AS (INSERT INTO version (record_id, operation_id, batch_id, content_hash)
              SELECT id, %(operation)s, %(batch)s, sha256('x') FROM r RETURNING version_id)
        SELECT version_id FROM v"""
    chunk = """
        INSERT INTO chunk (version_id, embedding_id, index, token_count, chunk_type, text)
        SELECT %(version)s, c.embedding_id, 0, 1, 'text', c.text FROM chunk c WHERE c.text = %(text)s LIMIT 1"""
    outside = "SELECT count(*) AS n FROM embedding e JOIN chunk c ON c.embedding_id = e.id WHERE c.text = %s AND NOT e.indexed"

    def write(connection: Any, key: str, text: str) -> None:
        given = {"collection": info.id, "operation": operation, "batch": batch, "key": key}
        (row,) = connection.execute(insert, given).fetchall()
        connection.execute(chunk, {"version": row["version_id"], "text": text})

    with library.database.transaction() as connection:
        write(connection, "slow", "0 0 0")
        (tended,) = upkeep.tend_indexes(follow_up=False)
        assert (tended.taken_out, number(library, outside, "0 0 0")) == (19, 0)
    (tended,) = upkeep.tend_indexes(follow_up=False)
    assert (tended.taken_out, tended.outside) == (0, 19), "an open operation needs it"
    assert number(library, outside, "0 0 1") == 1
    with library.database.transaction() as connection:
        write(connection, "later", "0 0 1")
    assert number(library, outside, "0 0 1") == 0
    library.log.abort(operation, "never mind")
    assert upkeep.tend_indexes(follow_up=False, least_share=0)[0].taken_out == 2


def test_a_writer_that_comes_in_the_same_moment_waits(full: tuple[Library, list[int]], upkeep: Upkeep) -> None:
    """It has found its embedding in the index, which is then taken out, not committed yet: afterwards it is back."""
    library, _ = full
    upkeep.tend_indexes(follow_up=False)
    space = library.corpus.collection("knowledge").space_id
    text = Part("2 0 0", np.zeros(1))
    library.publish({"0-0": None})
    with library.database.transaction() as connection:
        (row,) = connection.execute("SELECT embedding_id AS id FROM chunk WHERE text = %s", [text.text]).fetchall()
    writer = threading.Thread(
        target=library.publish, args=({"again": [Part(text.text, sign_vector(np.random.default_rng(0)))]},)
    )
    with closing(psycopg.connect(library.database.dsn)) as tender:
        assert tender.execute("SELECT recant.leave_index(%s, %s)", [space, [row["id"]]]).fetchone() == (1,)
        writer.start()
        writer.join(timeout=0.5)
        assert writer.is_alive(), "it waits for whoever takes the embedding out"
        tender.commit()
    writer.join(timeout=60)
    assert number(library, NEEDED_OUTSIDE) == 0
    assert number(library, "SELECT count(*) AS n FROM embedding WHERE id = %s AND indexed", row["id"]) == 1


def test_an_interrupted_tending_is_gone_on_with(full: tuple[Library, list[int]], upkeep: Upkeep) -> None:
    """Whatever share it ended after, searches are right; the next one does the rest. Two at once: one is refused."""
    library, _ = full
    space, vector = library.corpus.collection("knowledge").space_id, sign_vector(np.random.default_rng(3))
    before = hits(library, vector)

    def end() -> None:
        with pytest.raises(Refused, match="already"):
            upkeep.tend_indexes()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tend_index(library.database, space, between=end)
    assert number(library, OUTSIDE) == 3
    assert hits(library, vector) == before
    assert upkeep.tend_indexes()[0].taken_out == 17
    assert hits(library, vector) == before


def test_narrowed_rollbacks_and_quarantines(full: tuple[Library, list[int]], upkeep: Upkeep) -> None:
    """What a rollback of one document shows again is found, as what a release does."""
    from recant.oplog import Attribution, Selector
    from recant.rollback import Rollback
    from recant.settings import read_settings

    library, (_, second, _) = full
    vector, who = sign_vector(np.random.default_rng(3)), Attribution("tester")
    rollback = Rollback(library.database, read_settings({}))
    start = hits(library, vector)
    upkeep.tend_indexes()
    plan = rollback.plan(Selector(sources=("0-1",), since=None), policy="force", agent="tester")
    undone = rollback.run(plan, who).rollback_operation_id
    gone = hits(library, vector)
    assert gone != start
    upkeep.tend_indexes()
    assert hits(library, vector) == gone
    rollback.redo(undone, who, "force")
    assert hits(library, vector) == start
    upkeep.tend_indexes()
    rollback.quarantine(Selector(operations=(second,)), who)
    without = hits(library, vector)
    upkeep.tend_indexes()
    assert hits(library, vector) == without != start
    rollback.release(Selector(operations=(second,)), who, "force")
    assert hits(library, vector) == start


def test_little_is_left_in(full: tuple[Library, list[int]], upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the index goes where that is the least share or less; of one operation a crowd goes whatever its share is."""
    kept = upkeep.tend_indexes(least_share=0.5)[0]
    assert (kept.taken_out, kept.left_in, kept.outside, kept.followed_by) == (0, 20, 0, "nothing")
    monkeypatch.setattr(tending, "FLOOD", 20)
    gone = upkeep.tend_indexes(least_share=0.5)[0]
    assert (gone.taken_out, gone.left_in, gone.outside) == (20, 0, 20)
    with pytest.raises(UsageError, match="least_share"):
        upkeep.tend_indexes(least_share=1.5)
