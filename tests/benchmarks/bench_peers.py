"""Taking a bad write back in other stores, on the same rows, in the same run; and what each of them loses by it.

A good write of `rows` rows, then a bad one of as many, which replaces a tenth of the good rows and adds others, then a
later good one of a tenth. The bad one is to go: what should be there then is the first write, whole, and the later one.
Timed are taking it back and, in case that was the mistake, putting it back. "Wrong rows" are those that should be there
and aren't, or the other way round. Recall is that of searches among the rows that are there.

LanceDB and Chroma are compared when they are installed (`make bench-peers`).
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recant.search import Searcher
from recant.store import Database
from tests.benchmarks.measure import Measure, at_least, at_most, median, milliseconds
from tests.benchmarks.peers import Chroma, Lance, Peer, Pgvector, Searched, recall
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import (
    CHUNKS_PER_DOCUMENT,
    COLLECTION,
    Clusters,
    Draft,
    Vectors,
    Writer,
    drafts,
)

GOOD, BAD, LATER = 1, 2, 3
ROUNDS = 15
"""Of what takes milliseconds; the median counts."""


@dataclass(frozen=True)
class Story:
    """The three writes, and queries."""

    good: list[Draft]
    bad: list[Draft]
    later: list[Draft]
    queries: Vectors

    @property
    def should_be(self) -> dict[int, Vectors]:
        """The rows without the bad write."""
        return dict(zip(*_rows([*self.good, *self.later]), strict=True))

    def tell(self, peer: Peer) -> None:
        """All three, in their order."""
        for operation, documents in ((GOOD, self.good), (BAD, self.bad), (LATER, self.later)):
            peer.write(*_rows(documents), operation)


@dataclass(frozen=True)
class Way:
    """A way of taking the bad write back, and back again."""

    name: str
    peer: Searched
    take: Callable[[], object]
    put: Callable[[], object] | None
    rounds: int = 1

    def measure(self, story: Story) -> list[Measure]:
        """Times, and what is there in between."""
        rows = story.should_be
        taken = [milliseconds(self.take)]
        wrong = len(self.peer.present() ^ rows.keys())
        found = recall(self.peer, rows, story.queries)
        put = [milliseconds(self.put)] if self.put else []
        for _ in range(self.rounds - 1):
            taken.append(milliseconds(self.take))
            put += [milliseconds(self.put)] if self.put else []
        return [
            Measure(self.name, median(taken), "ms"),
            Measure(f"{self.name}: wrong rows", wrong, ""),
            Measure(f"{self.name}: recall", found, ""),
            *([Measure(f"{self.name}: put back", median(put), "ms")] if put else []),
        ]


def run(rows: int = 10_000, queries: int = 100, seed: int = 11) -> list[Measure]:
    """Measures with two writes of `rows` rows and one of a tenth."""
    story = _story(rows, queries, seed)
    with measured_server() as (database, dsn), tempfile.TemporaryDirectory(prefix="recant-bench-") as folder:
        ours = _ours(database, story).measure(story)
        measures = _held(ours)
        with Database(dsn, role="postgres").connection() as connection:
            measures += [line for way in _pgvector(Pgvector(connection), story) for line in way.measure(story)]
        for way in _installed(Path(folder), story):
            lines = way.measure(story)
            measures += [*lines, Measure(f"{way.name} / recant", lines[0].value / ours[0].value, "x")]
    return measures


def _story(rows: int, queries: int, seed: int) -> Story:
    documents = rows // CHUNKS_PER_DOCUMENT
    clusters = Clusters(seed, centres=max(10, rows // 100))
    good = drafts(clusters, documents, label="good")
    bad = drafts(clusters, documents, label="bad", first=documents - documents // 10)
    later = drafts(clusters, documents // 10, label="later", first=2 * documents)
    return Story(good, bad, later, clusters.draw(queries))


def _rows(documents: list[Draft]) -> tuple[list[int], Vectors]:
    """Row ids and vectors: a chunk is a row."""
    ids = [_number(d.source) * CHUNKS_PER_DOCUMENT + i for d in documents for i in range(CHUNKS_PER_DOCUMENT)]
    return ids, np.concatenate([d.vectors for d in documents])


def _number(source: str) -> int:
    return int(Path(source).stem)


class Ours:
    """The same behind the calls of a peer: an operation each, withdrawn and redone by verdicts."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.writer = Writer(database)
        self.operations: dict[int, int] = {}
        self.control = 0
        self.searcher = Searcher(database, lambda text: np.zeros(0, dtype=np.float32))

    def publish(self, documents: list[Draft], operation: int) -> None:
        """One write."""
        self.operations[operation] = self.writer.publish(documents)

    def withdraw(self, operation: int) -> None:
        """A rollback of it."""
        self.control = self.writer.say("rollback", [self.operations[operation]], shows=False)

    def redo(self) -> None:
        """Takes the rollback back."""
        self.control = self.writer.say("redo", [self.control], shows=False)

    def present(self) -> set[int]:
        with self.database.transaction() as connection:
            found = connection.execute(
                "SELECT h.key, c.index FROM heads_at(NULL, NULL) h JOIN chunk c ON c.version_id = h.version_id"
            )
            return {_number(row["key"]) * CHUNKS_PER_DOCUMENT + row["index"] for row in found}

    def nearest(self, vector: Vectors, count: int) -> list[int]:
        hits = self.searcher.search(None, vector=vector, collection=COLLECTION, limit=count).hits
        parts = [int(hit.text.partition("part ")[2].partition(".")[0]) for hit in hits]
        return [_number(h.source) * CHUNKS_PER_DOCUMENT + part for h, part in zip(hits, parts, strict=True)]


def _ours(database: Database, story: Story) -> Way:
    ours = Ours(database)
    for operation, documents in ((GOOD, story.good), (BAD, story.bad), (LATER, story.later)):
        ours.publish(documents, operation)
    ours.writer.build_index()
    return Way("recant, rollback with commit", ours, lambda: ours.withdraw(BAD), ours.redo, ROUNDS)


def _held(lines: list[Measure]) -> list[Measure]:
    taken, wrong, found, put = lines
    return [
        taken,
        at_most(wrong.name, wrong.value, "", 0),
        at_least(found.name, found.value, "", 0.95),
        put,
    ]


def _pgvector(peer: Pgvector, story: Story) -> Iterator[Way]:
    story.tell(peer)
    peer.build_index()
    yield Way("pgvector, DELETE", peer, lambda: peer.delete(BAD), None)
    yield Way("pgvector, VACUUM after it", peer, peer.vacuum, lambda: peer.write(*_rows(story.bad), BAD))


def _installed(folder: Path, story: Story) -> Iterator[Way]:
    missing = [name for name in ("lancedb", "chromadb") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"Not compared, because not installed: {', '.join(missing)} (`make bench-peers` installs them)")
    if "lancedb" not in missing:
        yield _lance_delete(folder / "lance-delete", story)
        yield _lance_restore(folder / "lance-restore", story)
    if "chromadb" not in missing:
        with _chroma(folder / "chroma") as peer:
            story.tell(peer)
            yield Way(
                "Chroma, delete by filter", peer, lambda: peer.delete(BAD), lambda: peer.write(*_rows(story.bad), BAD)
            )


def _lance_delete(folder: Path, story: Story) -> Way:
    peer = Lance(folder)
    story.tell(peer)
    put_back = _rows(story.bad)
    return Way("LanceDB, delete by filter", peer, lambda: peer.delete(BAD), lambda: peer.write(*put_back, BAD), ROUNDS)


def _lance_restore(folder: Path, story: Story) -> Way:
    peer = Lance(folder)
    peer.write(*_rows(story.good), GOOD)
    before = peer.table.version
    peer.write(*_rows(story.bad), BAD)
    peer.write(*_rows(story.later), LATER)
    after = peer.table.version
    return Way("LanceDB, restore of a version", peer, lambda: peer.restore(before), lambda: peer.restore(after), ROUNDS)


@contextmanager
def _chroma(folder: Path) -> Iterator[Chroma]:
    peer = Chroma(folder)
    try:
        yield peer
    finally:
        peer.close()
