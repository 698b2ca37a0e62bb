"""Many writers and rollbacks at once, with readers in between; everything anyone was told is kept, to be held against the log."""

from __future__ import annotations

import hashlib
import queue
import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from recant.corpus import BatchTarget, ChunkRow, DocumentRow, Embeddings
from recant.corpus.embeddings import text_hash
from recant.errors import (
    EmbeddingGone,
    HasDependents,
    InputWithdrawn,
    OperationClosed,
    PastHorizon,
    PlanStale,
    RecantError,
    StaleBatch,
    WriteConflict,
)
from recant.oplog import Attribution, Selector
from recant.search import Searcher
from recant.settings import read_settings
from recant.storage import Storage
from recant.store import Database
from tests.integration.library import Library

SOURCES = [f"document {n}" for n in range(24)]
REFUSALS = (WriteConflict, InputWithdrawn, PlanStale, HasDependents, PastHorizon)
"""All that a user may be told for having company; the last one by a reclaim only."""
LATE = (OperationClosed, StaleBatch)
"""What a worker is told whose operation went on without it."""
POLICIES = ["refuse", "refuse", "safe_only", "cascade", "force"]
Target = tuple[int, int | None]
Documents = dict[str, tuple[int, tuple[str, ...]]]


class ChunkyLibrary(Library):
    """Documents of one to three chunks, each of which says what it is a part of."""

    def row(self, source: str, text: str, over: int | None) -> DocumentRow:
        count = 1 + hashlib.sha256(text.encode()).digest()[0] % 3
        texts = [f"{source}: {text}, part {n + 1} of {count}" for n in range(count)]
        vectors = {text_hash(t): self.model.vector(t) for t in texts}
        ids = Embeddings(self.database, self.collection.space_id, 4).add(vectors)
        chunks = tuple(ChunkRow(n, ids[text_hash(t)], len(t.split()), "text", (), t, {}) for n, t in enumerate(texts))
        digest = hashlib.sha256(text.encode()).digest()
        return DocumentRow(source, "test", source, "text", digest, digest, {}, chunks, over)


@dataclass
class Told:
    """What the log said to those who took part."""

    published: dict[int, int] = field(default_factory=dict)
    """Operations by position."""
    withdrawn: dict[int, set[Target]] = field(default_factory=dict)
    """By a rollback's position: what it said it took back, operations and records of operations."""
    aborted: list[int] = field(default_factory=list)
    reclaimed: set[int] = field(default_factory=set)
    """Positions of reclaims."""
    observations: list[tuple[int, Documents]] = field(default_factory=list)
    """The position that a search gave as its own, and what it showed."""
    refusals: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """Anything else that was raised."""


class Stress:
    """Writers, takers and readers on one database, each with connections of their own, until the time is up."""

    def __init__(self, dsn: str, seconds: float, seed: int = 0) -> None:
        self.dsn, self.seconds, self.seed = dsn, seconds, seed
        self.told = Told()
        self.stop = threading.Event()
        self.late: queue.Queue[BatchTarget] = queue.Queue()

    def run(self, *, writers: int = 10, takers: int = 2, readers: int = 1, reclaimers: int = 1) -> Told:
        """All at once. A failure of any of them ends it early."""
        with Database(self.dsn) as database:
            assert ChunkyLibrary(database).collection is not None
        roles: list[Callable[[ChunkyLibrary, random.Random], None]] = [self.write] * writers
        roles += [self.take_back] * takers + [self.read] * readers + [self.write_late]
        roles += [self.reclaim] * reclaimers
        threads = [threading.Thread(target=self.act, args=(role, n)) for n, role in enumerate(roles)]
        for thread in threads:
            thread.start()
        self.stop.wait(self.seconds)
        self.stop.set()
        for thread in threads:
            thread.join(60)
        hung = [role.__name__ for role, thread in zip(roles, threads, strict=True) if thread.is_alive()]
        self.told.failures += [f"{name} never came back" for name in hung]
        return self.told

    def act(self, role: Callable[[ChunkyLibrary, random.Random], None], number: int) -> None:
        """One role, over and over."""
        rng = random.Random(f"{self.seed} {number}")
        with Database(self.dsn, max_connections=2) as database:
            library = ChunkyLibrary(database)
            while not self.stop.is_set():
                try:
                    role(library, rng)
                except REFUSALS as refusal:
                    self.told.refusals[type(refusal).__name__] += 1
                except Exception:
                    self.told.failures.append(f"{role.__name__}: {traceback.format_exc()}")
                    self.stop.set()

    def write(self, library: ChunkyLibrary, rng: random.Random) -> None:
        """One operation, or two of a session that are merged; refused, they are given up."""
        session = f"session {rng.random()}" if rng.random() < 0.2 else None
        last_wins = session is None and rng.random() < 0.1
        opened = [
            library.open(f"writer {rng.randrange(4)}", session, last_wins=last_wins) for _ in range(2 if session else 1)
        ]
        try:
            for operation_id in opened:
                self.fill(library, rng, operation_id)
            if rng.random() < 0.05:
                self.give_up(library, opened)
                return
            for operation_id, position in zip(opened, library.log.publish(*opened), strict=True):
                self.told.published[position] = operation_id
        except RecantError:
            self.give_up(library, opened)
            raise

    def fill(self, library: ChunkyLibrary, rng: random.Random, operation_id: int) -> None:
        """A few documents over what is there, one of them perhaps retired, another perhaps found unchanged."""
        chosen = rng.sample(SOURCES, rng.randint(1, 4))
        documents = {s: None if rng.random() < 0.1 else f"by {operation_id} in {rng.random()}" for s in chosen}
        if rng.random() < 0.3:
            library.affirm(operation_id, rng.choice([s for s in SOURCES if s not in chosen]))
        target = self.write_anyhow(library, operation_id, documents)
        if rng.random() < 0.3:
            self.late.put(target)

    def write_anyhow(self, library: ChunkyLibrary, operation_id: int, documents: dict[str, str | None]) -> BatchTarget:
        """A batch whose embeddings are reclaimed before they are used is done again."""
        while True:
            with suppress(EmbeddingGone, KeyError):
                return library.write(operation_id, documents)

    def reclaim(self, library: ChunkyLibrary, rng: random.Random) -> None:
        """To somewhere in the recent past."""
        time.sleep(0.1 + rng.random() * 0.2)
        horizon = max(0, library.log.position() - rng.randrange(60))
        report = Storage(library.database, read_settings({})).reclaim(Attribution("keeper"), horizon=horizon)
        if report.position is not None:
            self.told.reclaimed.add(report.position)

    def give_up(self, library: ChunkyLibrary, opened: list[int]) -> None:
        for operation_id in opened:
            library.log.abort(operation_id, "given up")
            self.told.aborted.append(operation_id)

    def write_late(self, library: ChunkyLibrary, rng: random.Random) -> None:
        """A worker thought dead goes on with a batch that is finished, while its operation is published or aborted."""
        try:
            target = self.late.get(timeout=0.1)
        except queue.Empty:
            return
        try:
            library.append(target, {"too late": f"by a zombie of {target.operation_id}"})
        except LATE as refusal:
            self.told.refusals[type(refusal).__name__] += 1

    def take_back(self, library: ChunkyLibrary, rng: random.Random) -> None:
        """Plan and apply a rollback, or redo one, or hold something back and release it."""
        time.sleep(rng.random() * 0.02)
        recent = library.log.find(limit=30)
        controls = [o.operation_id for o in recent if o.kind in ("rollback", "redo") and o.state == "published"]
        writes = [o.operation_id for o in recent if o.kind == "ingest" and o.position is not None]
        policy = rng.choice(POLICIES)
        if controls and rng.random() < 0.4:
            plan = library.rollback.plan_redo(rng.choice(controls), policy=policy, agent="taker")
        elif writes:
            operations = tuple(rng.sample(writes, min(len(writes), rng.randint(1, 2))))
            sources = tuple(rng.sample(SOURCES, 8)) if rng.random() < 0.4 else ()
            picked = Selector(operations=operations, sources=sources)
            plan = library.rollback.plan(picked, policy=policy, agent="taker")
        else:
            return
        report = library.rollback.run(plan, Attribution("taker"))
        if report.applied and report.position is not None:
            assert report.certificate is not None
            assert report.certificate.verified, report.certificate
            records = {(record.operation_id, record.record_id) for record in report.plan.withdraw_records}
            self.told.withdrawn[report.position] = {(i, None) for i in report.plan.withdraw} | records

    def read(self, library: ChunkyLibrary, rng: random.Random) -> None:
        """Everything that an exact search finds, by document."""
        searcher = Searcher(library.database, library.model.vector)
        position = library.log.position()
        as_of = rng.randint(0, position) if rng.random() < 0.3 else None
        found = searcher.search("all", collection=library.name, limit=1000, as_of=as_of)
        documents: dict[str, list[tuple[int, str]]] = {}
        for hit in found.hits:
            documents.setdefault(hit.source, []).append((hit.operation_id, hit.text))
        assert as_of is not None or found.position >= position, "a search went back in time"
        shown = {}
        for source, chunks in documents.items():
            operations = {operation for operation, _ in chunks}
            assert len(operations) == 1, f"{source} is shown with parts of {operations}"
            shown[source] = (operations.pop(), tuple(sorted(text for _, text in chunks)))
        self.told.observations.append((found.position, shown))
