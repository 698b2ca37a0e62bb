"""What a session is shown is on record before it is shown, and its next write takes it."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import psycopg
import pytest

from recant.errors import DatabaseUnreachable, RecantError, UsageError
from recant.search import Searcher
from recant.search.evidence import Reader
from recant.store import Database
from tests.integration.search.search_library import DIMENSIONS, Library, Part, Vector, sign_vector

HERE = np.full(DIMENSIONS, 0.25, dtype=np.float32)
NEARBY = HERE * np.linspace(0.9, 1.1, DIMENSIONS, dtype=np.float32)
READS = """
SELECT s.id, s.session, s.agent, s.query, s.position, s.operation_id AS taken_by, d.operation_id AS shown, r.key AS source, d.rank
FROM session_search s JOIN session_read d ON d.search_id = s.id JOIN record r ON r.id = d.record_id ORDER BY s.id, d.rank"""


def corner(number: int) -> Vector:
    return sign_vector(np.random.default_rng(number))


def reads(library: Library) -> list[dict]:
    with library.database.transaction() as connection:
        return connection.execute(READS).fetchall()


def taken(library: Library) -> set[tuple[int | None, int, str]]:
    """Which write took that a version of this source by that operation was shown."""
    return {(row["taken_by"], row["shown"], row["source"]) for row in reads(library)}


def write(library: Library, session: str | None, source: str = "answer.md") -> int:
    operation = library.open(session=session)
    library.write(operation, {source: [Part(f"{source} by {operation}", corner(operation))]})
    return operation


def test_a_search_in_a_session_records_what_it_shows(library: Library) -> None:
    """Session, agent, query, position, and each version once, with the rank of its best hit."""
    first = library.publish({"a.md": [Part("near", HERE), Part("far", -HERE)]})
    second = library.publish({"b.md": [Part("nearly", NEARBY)]})
    library.queries["where?"] = HERE
    result = library.searcher.search("where?", collection="knowledge", session="s", agent="bob")
    assert [hit.source for hit in result.hits] == ["a.md", "b.md", "a.md"]
    found = [
        (r["session"], r["agent"], r["query"], r["position"], r["shown"], r["source"], r["rank"])
        for r in reads(library)
    ]
    assert found == [("s", "bob", "where?", 2, first, "a.md", 1), ("s", "bob", "where?", 2, second, "b.md", 2)]


def test_a_search_outside_of_a_session_leaves_no_trace(library: Library) -> None:
    """Nobody is watched who doesn't work in a session; and where nothing was shown there is nothing to record."""
    library.publish({"a.md": [Part("a", HERE)]})
    library.search(HERE)
    library.search(HERE, session="s", as_of=0)
    assert reads(library) == []


def test_the_past_and_own_open_work_are_reads_too(library: Library) -> None:
    """What a session sees as of a position, and of its own drafts, it can build on."""
    old = library.publish({"a.md": [Part("old", HERE)]})
    new = library.publish({"a.md": [Part("new", HERE)]})
    library.search(HERE, session="s", as_of=1)
    draft = library.open(session="s")
    library.write(draft, {"d.md": [Part("draft", HERE)]})
    library.search(HERE, session="s")
    assert taken(library) == {(draft, old, "a.md"), (None, new, "a.md"), (None, draft, "d.md")}


def test_a_batch_of_searches_is_recorded_one_by_one(library: Library) -> None:
    """Each result is on record when it is given out, none before."""
    library.publish({"a.md": [Part("a", HERE)]})
    library.queries |= {"one": HERE, "two": HERE, "three": HERE}
    results = library.searcher.search_batch(["one", "two", "three"], collection="knowledge", session="s")
    for number, _ in enumerate(results, start=1):
        assert len(reads(library)) == number
        if number == 2:
            break
    assert [r["query"] for r in reads(library)] == ["one", "two"]


def test_long_and_odd_queries_are_kept_as_far_as_they_can_be(library: Library) -> None:
    """The first 500 characters; bytes that are no text escaped; none for a bare vector."""
    library.publish({"a.md": [Part("a", HERE)]})
    library.queries |= {"q" * 600: HERE, "nul\0and\udcff": HERE}
    for query in library.queries:
        library.searcher.search(query, collection="knowledge", session="s")
    library.search(HERE, session="s")
    assert [r["query"] for r in reads(library)] == ["q" * 500, "nul\\0and\\udcff", None]


@pytest.mark.parametrize("name", ["", "x" * 201, "a\0b"])
def test_a_session_without_a_proper_name_is_refused(library: Library, name: str) -> None:
    """In words, before anything is searched."""
    library.publish({"a.md": [Part("a", HERE)]})
    with pytest.raises(UsageError, match="session"):
        library.search(HERE, session=name)
    with pytest.raises(UsageError, match="agent"):
        Reader("s", name)


def test_hits_that_cannot_be_recorded_are_not_given_out(library: Library, database: str) -> None:
    """A read that nobody would know of must not happen."""
    library.publish({"a.md": [Part("a", HERE)]})
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA recant FROM recant_coordinator")
    with pytest.raises(RecantError, match="record_search"):
        library.search(HERE, session="s")


def test_the_next_write_of_the_session_takes_what_was_read(library: Library) -> None:
    """A later read isn't its; a second write has the reads since the first; other sessions' reads are theirs."""
    base = library.publish({"a.md": [Part("a", HERE)]})
    library.search(HERE, session="s")
    library.search(HERE, session="other")
    first = write(library, "s")
    second = write(library, "s", "second.md")
    library.search(HERE, session="s", limit=1)
    assert taken(library) == {(first, base, "a.md"), (None, base, "a.md")}
    third = write(library, "s", "third.md")
    assert (third, base, "a.md") in taken(library)
    assert second not in {row["taken_by"] for row in reads(library)}


def test_a_write_without_a_session_takes_nothing(library: Library) -> None:
    """What a session was shown waits for that session."""
    base = library.publish({"a.md": [Part("a", HERE)]})
    library.search(HERE, session="s")
    write(library, None)
    assert taken(library) == {(None, base, "a.md")}


def test_what_an_aborted_write_took_is_the_next_ones(library: Library) -> None:
    """The session was shown it, and goes on with it in mind."""
    base = library.publish({"a.md": [Part("a", HERE)]})
    library.search(HERE, session="s")
    gone = write(library, "s")
    library.log.abort(gone, "given up")
    assert taken(library) == {(None, base, "a.md")}
    kept = write(library, "s")
    assert taken(library) == {(kept, base, "a.md")}


def test_a_batch_that_is_tried_again_keeps_what_it_read(library: Library) -> None:
    """Reads stay with the operation when an attempt is discarded, the version that was read with it or not."""
    base = library.publish({"a.md": [Part("a", HERE)]})
    library.search(HERE, session="s")
    operation = library.open(session="s")
    library.write(operation, {"d.md": [Part("first try", HERE)]})
    library.search(HERE, session="s")
    library.write(operation, {"d.md": [Part("second try", HERE)]})
    library.log.publish(operation)
    assert taken(library) == {(operation, base, "a.md"), (operation, operation, "d.md")}


def test_a_process_that_dies_after_its_search_has_read(library: Library, database: str) -> None:
    """Whoever goes on with the session wrote after that read."""
    base = library.publish({"a.md": [Part("a", HERE)]})
    program = (
        "import os, signal, sys, numpy as np; from recant.search import Searcher; from recant.store import Database\n"
        "found = Searcher(Database(sys.argv[1]), None).search(None, vector=np.full(16, 0.25), collection='knowledge', session='s')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    dead = subprocess.run([sys.executable, "-c", program, database], capture_output=True, check=False)
    assert dead.returncode == -9, dead.stderr.decode()
    operation = write(library, "s")
    assert taken(library) == {(operation, base, "a.md")}


def test_nobody_changes_what_was_recorded(library: Library) -> None:
    """Evidence is added by one function, and taken by the log's own; the login may do neither by hand."""
    library.publish({"a.md": [Part("a", HERE)]})
    library.search(HERE, session="s")
    for statement in (
        "DELETE FROM session_read", "DELETE FROM session_search", "UPDATE session_search SET operation_id = 1",
        "INSERT INTO session_search (session, collection_id, position, searched_at) VALUES ('s', 1, 1, now())",
    ):  # fmt: skip
        with pytest.raises(RecantError), library.database.transaction() as connection:
            connection.execute(statement)


def test_searches_and_writes_at_once_lose_no_read(library: Library, database: str) -> None:
    """Four workers of one session search and write: after a write each has its earlier reads taken, each read once."""
    base = library.publish({"a.md": [Part("a", HERE)]})
    untaken: list[int] = []

    def work(number: int) -> None:
        with Database(database) as own:
            mine, searcher = Library(own), Searcher(own, lambda text: HERE)
            for step in range(12):
                searcher.search(f"{number}-{step}", collection="knowledge", session="shared", limit=1)
                write(mine, "shared", f"{number}.md")
                with own.transaction() as connection:
                    rows = connection.execute(
                        "SELECT id FROM session_search WHERE query = %s AND operation_id IS NULL", [f"{number}-{step}"]
                    )
                    untaken.extend(row["id"] for row in rows)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert untaken == []
    assert len(reads(library)) == 48
    assert {row["shown"] for row in reads(library)} >= {base}


@dataclass
class Rule:
    """What DESIGN says in a few lines: a session's reads wait for its next write; an aborted write gives them back."""

    waiting: dict[str, list[frozenset]] = field(default_factory=lambda: defaultdict(list))
    taken: dict[int, list[frozenset]] = field(default_factory=lambda: defaultdict(list))

    def search(self, session: str | None, shown: frozenset) -> None:
        if session and shown:
            self.waiting[session].append(shown)

    def write(self, session: str | None, operation: int) -> None:
        if session:
            self.taken[operation] += self.waiting.pop(session, [])

    def abort(self, session: str | None, operation: int) -> None:
        if session:
            self.waiting[session] += self.taken.pop(operation, [])

    def answer(self) -> set[tuple[int | None, int, str]]:
        out = {(op, *read) for op, searches in self.taken.items() for shown in searches for read in shown}
        return out | {(None, *read) for searches in self.waiting.values() for shown in searches for read in shown}


@pytest.mark.parametrize("seed", range(12))
def test_random_sessions_agree_with_the_rule(library: Library, seed: int) -> None:
    """After every step of any history, each write has taken exactly what its session was shown since the one before."""
    rng, rule, running = random.Random(seed), Rule(), {}
    library.publish({f"{n}.md": [Part(f"base {n}", corner(n))] for n in range(6)})
    for step in range(40):
        session = rng.choice([None, "one", "two"])
        what = rng.choice(["search", "search", "open", "write", "write", "publish", "abort", "rollback"])
        chosen = rng.choice(sorted(running)) if running else None
        if what == "search":
            as_of = rng.choice([None, None, rng.randint(0, library.log.position())])
            hits = library.search(corner(rng.randrange(6)), session=session, limit=rng.randint(1, 4), as_of=as_of).hits
            rule.search(session, frozenset((hit.operation_id, hit.source) for hit in hits))
        elif what == "open":
            running[library.open(session=session)] = session
        elif chosen is None:
            continue
        elif what == "write":
            source = f"{rng.randrange(8)}.md"
            library.write(chosen, {source: [Part(f"{source} {step}", corner(step))]})
            rule.write(running[chosen], chosen)
        elif what == "publish":
            library.log.publish(chosen)
            running.pop(chosen)
        elif what == "abort":
            library.log.abort(chosen, "no")
            rule.abort(running.pop(chosen), chosen)
        else:
            library.control("rollback", {1: rng.random() < 0.5})
        assert taken(library) == rule.answer(), (seed, step, what)


def test_a_database_that_is_gone_says_so(library: Library) -> None:
    """As for any search."""
    with pytest.raises(DatabaseUnreachable), Database("host=localhost port=1 dbname=none").statements():
        pass
