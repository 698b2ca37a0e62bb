"""Search by meaning as it grows: beside plain pgvector, LanceDB and Chroma on the same vectors, at equal recall, in one run.

For each number of chunks: the index is built, its size and the time are taken; of each store the least effort is looked for
with which recall@10 reaches 0.97 (ours decides by itself); then all take turns, query by query. At the largest number of chunks
half of the operations are withdrawn, and searches are held against plain pgvector with an index of just what is seen: before
tending and after it, the ten nearest and two hundred, and as of the position before. And sixteen clients at once.

LanceDB and Chroma are compared when they are installed (`make bench-peers`); `make bench-million` does all of it up to a million.
"""

from __future__ import annotations

import importlib.util
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pgvector import HalfVector

from recant.search import Searcher
from recant.search.nearest import Neighbourhood, candidate_count
from recant.search.scope import read_scope
from recant.store import Connection, Database
from recant.upkeep.tending import tend_index
from tests.benchmarks.measure import Measure, at_least, at_most, median, milliseconds, percentile_95, stopwatch
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import COLLECTION, DIMENSIONS, Vectors, Writer
from tests.benchmarks.synthetic_vectors import Topics, fill

RECALL = 0.97
TUNED_ON = 40
WARM_UP = 10
CLIENTS = 16
EFFORTS = (40, 60, 80, 120, 200, 400, 800)

Found = Callable[[Vectors], Sequence[int]]


@dataclass
class Store:
    """A way to search, how its effort is set, and what it cost to build. Ids are rows from 0."""

    name: str
    nearest: Found
    set_effort: Callable[[int], None] | None = None
    build_seconds: float = 0.0
    size_bytes: int = 0
    effort: int = 0
    times: list[float] = field(default_factory=list)
    recalls: list[float] = field(default_factory=list)

    def tune(self, queries: Vectors, truth: Vectors) -> None:
        """The least effort that reaches the recall."""
        if self.set_effort is None:
            return
        for effort in EFFORTS:
            self.set_effort(effort)
            self.effort = effort
            if np.mean([_share(self.nearest(q), t) for q, t in zip(queries, truth, strict=True)]) >= RECALL:
                return


def run(sizes: Sequence[int] = (25_000,), queries: int = 150, seed: int = 3, with_peers: bool = True) -> list[Measure]:
    """Measures at each number of chunks."""
    measures: list[Measure] = []
    for number, size in enumerate(sizes):
        topics = Topics(seed)
        vectors, asked = topics.draw(size), topics.draw(queries)
        with measured_server() as (database, dsn), Database(dsn, role="postgres").connection() as superuser:
            ours = build_ours(database, superuser, vectors)
            plain = build_plain(superuser)
            with ExitStack() as stack:
                contest = Contest(stack.enter_context(database.connection()), vectors, asked)
                stores = [contest.recant(database, ours), contest.plain(plain)]
                stores += stack.enter_context(_peers(vectors)) if with_peers else []
                measures += contest.measure(stores)
            if number == len(sizes) - 1:
                measures += clients(database, asked)
                measures += withdrawn(database, superuser, asked)
    return measures


def build_ours(database: Database, superuser: Connection, vectors: Vectors) -> tuple[float, int]:
    """Seconds of building the index of all, and its bytes."""
    info = Writer(database).info
    fill(superuser, info, vectors)
    superuser.execute("SET maintenance_work_mem = '4GB'")
    with stopwatch() as building:
        superuser.execute("SELECT recant.build_vector_index(%s)", [info.space_id])
    superuser.execute("ANALYZE recant.embedding")
    return building.seconds, _bytes(superuser, f"recant.embedding_vector_{info.space_id}")


def build_plain(superuser: Connection) -> tuple[float, int]:
    """The vectors that are seen, with their texts, in a table of their own."""
    superuser.execute("DROP TABLE IF EXISTS public.plain")
    superuser.execute(f"CREATE TABLE public.plain (id bigint PRIMARY KEY, vector halfvec({DIMENSIONS}), text text)")
    superuser.execute("ALTER TABLE public.plain ALTER COLUMN vector SET STORAGE PLAIN")
    superuser.execute("GRANT SELECT ON public.plain TO recant_reader")
    superuser.execute(
        f"INSERT INTO public.plain SELECT c.id, e.vector::halfvec({DIMENSIONS}), c.text FROM recant.chunk c "
        "JOIN recant.embedding e ON e.id = c.embedding_id JOIN recant.version v ON v.version_id = c.version_id "
        "JOIN recant.operation o ON o.id = v.operation_id WHERE o.visible ORDER BY c.id"
    )
    with stopwatch() as building:
        superuser.execute("CREATE INDEX plain_vector ON public.plain USING hnsw (vector halfvec_ip_ops)")
    superuser.execute("VACUUM ANALYZE public.plain")
    return building.seconds, _bytes(superuser, "public.plain_vector")


@dataclass
class Contest:
    """Stores on the same vectors, and what is asked of them."""

    connection: Connection
    vectors: Vectors
    queries: Vectors

    def recant(self, database: Database, built: tuple[float, int]) -> Store:
        """The whole call, without the query's embedding."""
        searcher = Searcher(database, lambda text: self.queries[0])

        def nearest(vector: Vectors) -> list[int]:
            return [hit.chunk_id - 1 for hit in searcher.search(None, vector=vector, collection=COLLECTION).hits]

        return Store("recant", nearest, None, *built)

    def plain(self, built: tuple[float, int]) -> Store:
        """pgvector alone, prepared, binary."""
        return Store(
            "plain pgvector", lambda v: [i - 1 for i in nearest_plain(self.connection, v)], self._effort, *built
        )

    def _effort(self, effort: int) -> None:
        self.connection.execute(f"SET hnsw.ef_search = {int(effort)}")  # type: ignore[arg-type]

    def measure(self, stores: Sequence[Store]) -> list[Measure]:
        """Tuned on some queries, timed on the others, in turns."""
        truth = _exact(self.vectors, self.queries)
        for store in stores:
            store.tune(self.queries[:TUNED_ON], truth[:TUNED_ON])
        for number, query in enumerate(self.queries):
            turn = number % len(stores)
            for store in (*stores[turn:], *stores[:turn]):
                found: list[Sequence[int]] = []
                spent = milliseconds(lambda s=store, q=query, f=found: f.append(s.nearest(q)))
                if number >= max(TUNED_ON, WARM_UP):
                    store.times.append(spent)
                    store.recalls.append(_share(found[0], truth[number]))
        return [line for store in stores for line in _told(store, stores[0], len(self.vectors))]


def nearest_plain(connection: Connection, vector: Vectors, count: int = 10) -> list[int]:
    """Ids of the nearest, by plain pgvector; their texts are fetched, too."""
    statement = f"SELECT id, text, vector <#> %(v)s AS distance FROM plain ORDER BY vector <#> %(v)s LIMIT {count:d}"
    rows = connection.cursor(binary=True).execute(statement, {"v": HalfVector(vector)}, prepare=True)  # type: ignore[arg-type]
    return [row["id"] for row in rows]


def _told(store: Store, ours: Store, size: int) -> list[Measure]:
    name = f"{size:,}: {store.name}" + (f" (effort {store.effort})" if store.effort else "")
    usual, found = median(store.times), float(np.mean(store.recalls))
    held = [] if store is ours else [Measure(f"{name}: recant / it, medians", median(ours.times) / usual, "x")]
    return [
        Measure(f"{name}: index built", store.build_seconds, "s"),
        Measure(f"{name}: index", store.size_bytes / 2**20, "MiB"),
        Measure(f"{name}: median", usual, "ms"),
        Measure(f"{name}: 95th percentile", percentile_95(store.times), "ms"),
        at_least(f"{name}: recall@10", found, "", RECALL)
        if store is ours
        else Measure(f"{name}: recall@10", found, ""),
        *held,
    ]


def withdrawn(database: Database, superuser: Connection, queries: Vectors) -> list[Measure]:
    """None, then half of the operations withdrawn, then tended; times are held against those with none withdrawn, all against
    the same plain table in the same turns.
    """
    operations = [row["id"] for row in superuser.execute("SELECT id FROM recant.operation WHERE visible ORDER BY id")]
    none = beside_plain(database, queries, len(operations))
    Writer(database).say("rollback", operations[::2], shows=False)
    half = beside_plain(database, queries, len(operations))
    with stopwatch() as tending:
        tended = tend_index(database, 1)
    after = beside_plain(database, queries, len(operations))
    return [
        *_beside("none withdrawn", none, none, (1.3, None, None, 2.0)),
        *_beside("half withdrawn", half, none, (None, 1.5, 2.5, 2.0)),
        Measure(f"{tended.taken_out:,} taken out of the index, {tended.followed_by}", tending.seconds, "s"),
        *_beside("tended", after, none, (None, 1.1, 1.1, 2.0)),
    ]


@dataclass(frozen=True)
class Beside:
    """Medians in one state, and recall@10."""

    medians: dict[str, float]
    recall: float

    def relative(self, name: str) -> float:
        """To plain pgvector with as many asked for."""
        return self.medians[f"ours {name}"] / self.medians[f"plain {name}"]


def _beside(state: str, now: Beside, none: Beside, targets: tuple[float | None, ...]) -> list[Measure]:
    beside, ten, two_hundred, as_of = targets
    lines = [
        Measure(f"{state}: plain pgvector, 10, median", now.medians["plain 10"], "ms"),
        Measure(f"{state}: recant, 10, median", now.medians["ours 10"], "ms"),
        _held(f"{state}: recant / plain pgvector, 10", now.relative("10"), beside),
        Measure(f"{state}: recant, 200, median", now.medians["ours 200"], "ms"),
        Measure(f"{state}: recant / plain pgvector, 200", now.relative("200"), "x"),
        _held(f"{state}: as of before it / latest, 10", now.medians["as of"] / now.medians["ours 10"], as_of),
        at_least(f"{state}: recall@10", now.recall, "", RECALL),
    ]
    if now is none:
        return lines
    return [
        *lines,
        _held(f"{state} / none withdrawn, 10", now.relative("10") / none.relative("10"), ten),
        _held(f"{state} / none withdrawn, 200", now.relative("200") / none.relative("200"), two_hundred),
    ]


def _held(name: str, value: float, bound: float | None) -> Measure:
    return Measure(name, value, "x") if bound is None else at_most(name, value, "x", bound)


def beside_plain(database: Database, queries: Vectors, position: int) -> Beside:
    """Our statement and plain pgvector's in turns, with ten and with two hundred; and as of a position."""
    with ExitStack() as stack:
        plain = stack.enter_context(database.connection())
        plain.execute("SET hnsw.ef_search = 200")
        latest, then = (_around(stack, database, as_of) for as_of in (None, position))
        ten = candidate_count(10, has_quality=False)
        ways: dict[str, Callable[[Any], Any]] = {
            "plain 10": lambda v: nearest_plain(plain, v),
            "ours 10": lambda v: latest.nearest(HalfVector(v), ten, 10),
            "plain 200": lambda v: nearest_plain(plain, v, 200),
            "ours 200": lambda v: latest.nearest(HalfVector(v), 200, 200),
            "as of": lambda v: then.nearest(HalfVector(v), ten, 10),
        }
        times = _take_turns(ways, queries)
        recall = np.mean([_recall(latest, vector) for vector in queries[:TUNED_ON]])
    return Beside({name: median(of) for name, of in times.items()}, float(recall))


def _around(stack: ExitStack, database: Database, as_of: int | None) -> Neighbourhood:
    connection = stack.enter_context(database.snapshot())
    return Neighbourhood(connection, read_scope(connection, COLLECTION, as_of=as_of, session=None))


def _take_turns(ways: dict[str, Callable[[Any], Any]], queries: Vectors) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number, vector in enumerate(queries):
        turn = number % len(names)
        for name in (*names[turn:], *names[:turn]):
            spent = milliseconds(ways[name], vector)
            times[name] += [spent] if number >= WARM_UP else []
    return times


def _recall(around: Neighbourhood, vector: Vectors) -> float:
    wanted = candidate_count(10, has_quality=False)
    found = [row["chunk_id"] for row in around.nearest(HalfVector(vector), wanted, 10)]
    return _share(found, np.array([row["chunk_id"] for row in around.search_exact(HalfVector(vector), wanted, 10)]))


def clients(database: Database, queries: Vectors, each: int = 20) -> list[Measure]:
    """Sixteen threads of one process against one database, and one alone."""
    searcher = Searcher(database, lambda text: queries[0])
    searcher.search(None, vector=queries[0], collection=COLLECTION)
    errors: list[Exception] = []

    def ask(first: int) -> None:
        try:
            for number in range(first, first + each):
                searcher.search(None, vector=queries[number % len(queries)], collection=COLLECTION)
        except Exception as error:
            errors.append(error)

    rates = {}
    for count in (1, CLIENTS):
        threads = [threading.Thread(target=ask, args=(n * each,)) for n in range(count)]
        with stopwatch() as watch:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        rates[count] = count * each / watch.seconds
    return [
        Measure("searches a second, one client", rates[1], "/s"),
        Measure(f"searches a second, {CLIENTS} clients", rates[CLIENTS], "/s"),
        at_most(f"errors of {CLIENTS} clients", len(errors), "", 0),
    ]


@contextmanager
def _peers(vectors: Vectors) -> Iterator[list[Store]]:
    """LanceDB and Chroma, as far as they are installed."""
    with tempfile.TemporaryDirectory(prefix="recant-bench-") as folder:
        stores = []
        if importlib.util.find_spec("lancedb") is not None:
            stores.append(_lance(Path(folder, "lance"), vectors))
        if importlib.util.find_spec("chromadb") is not None:
            stores.append(_chroma(Path(folder, "chroma"), vectors))
        if len(stores) < 2:
            print("LanceDB and Chroma are compared where they are installed: `make bench-peers`")
        yield stores


def _lance(folder: Path, vectors: Vectors) -> Store:
    """IVF with HNSW and scalar quantisation, refined; partitions as its manual says."""
    import lancedb  # type: ignore[import-not-found,unused-ignore]
    import pyarrow as pa

    rows = pa.table(
        {
            "id": pa.array(np.arange(len(vectors))),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIMENSIONS),
        }
    )
    table = lancedb.connect(str(folder)).create_table("rows", rows)
    size = _folder_bytes(folder)
    with stopwatch() as building:
        table.create_index(metric="dot", index_type="IVF_HNSW_SQ", num_partitions=max(1, len(vectors) // 1_048_576))
    effort = [40]

    def nearest(vector: Vectors) -> list[int]:
        query = table.search(vector).distance_type("dot").nprobes(20).ef(effort[0]).refine_factor(2)
        return list(query.select(["id", "_distance"]).limit(10).to_arrow().column("id").to_pylist())

    return Store(
        "LanceDB", nearest, lambda value: effort.__setitem__(0, value), building.seconds, _folder_bytes(folder) - size
    )


def _chroma(folder: Path, vectors: Vectors) -> Store:
    """Its HNSW is filled as rows are added: the time is that of adding."""
    import chromadb  # type: ignore[import-not-found,unused-ignore]

    client = chromadb.PersistentClient(str(folder), settings=chromadb.Settings(anonymized_telemetry=False))
    configured = {"hnsw": {"space": "ip", "ef_construction": 64, "max_neighbors": 16}}
    rows = client.create_collection("rows", configuration=configured, embedding_function=None)
    with stopwatch() as building:
        for start in range(0, len(vectors), 5_000):
            some = vectors[start : start + 5_000]
            rows.add(ids=[str(i) for i in range(start, start + len(some))], embeddings=some)

    def nearest(vector: Vectors) -> list[int]:
        return [int(i) for i in rows.query(query_embeddings=[vector], n_results=10, include=[])["ids"][0]]

    def set_effort(effort: int) -> None:
        rows.modify(configuration={"hnsw": {"ef_search": effort}})

    return Store("Chroma", nearest, set_effort, building.seconds, _folder_bytes(folder))


def _exact(vectors: Vectors, queries: Vectors, count: int = 10) -> Vectors:
    """Rows of the nearest, as half precision has them."""
    halves = vectors.astype(np.float16)
    best = []
    for query in queries.astype(np.float16).astype(np.float32):
        likeness = np.concatenate(
            [halves[n : n + 100_000].astype(np.float32) @ query for n in range(0, len(halves), 100_000)]
        )
        best.append(np.argpartition(-likeness, count)[:count])
    return np.array(best)


def _share(found: Sequence[int], truth: Vectors) -> float:
    return len(set(found) & set(truth.tolist())) / max(len(truth), 1)


def _bytes(connection: Connection, index: str) -> int:
    row = connection.execute("SELECT pg_relation_size(%s::regclass) AS bytes", [index]).fetchone()
    return int(row["bytes"]) if row else 0


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
