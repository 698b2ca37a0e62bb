"""What versions cost a search: the nearest ten of 100,000 chunks, against plain pgvector in the same run.

10,000 documents of ten chunks, ten documents an operation; a tenth of the documents have a second version, half of
those withdrawn. The plain table holds exactly the chunks that are seen, with their text. Both search with
ef_search = 200, prepared, in binary, taking turns, each on a connection of its own. The whole call takes turns outside
and inside of a session: inside, what it shows is recorded before it is returned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from pgvector import HalfVector

from recant.search import Searcher
from recant.search.nearest import Neighbourhood, candidate_count
from recant.search.scope import read_scope
from recant.search.sizes import EF_SEARCH
from recant.store import Connection, Database
from tests.benchmarks.measure import Measure, at_least, at_most, median, milliseconds, percentile_95
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import COLLECTION, DIMENSIONS, Clusters, Vectors, Writer, drafts

DOCUMENTS_PER_OPERATION = 10
PLAIN = """SELECT id, text, vector <#> %(vector)s AS distance FROM plain
            ORDER BY vector <#> %(vector)s LIMIT 10"""
EXACT = """SELECT id FROM plain ORDER BY (vector <#> %(vector)s) + 0, id LIMIT 10"""


def run(documents: int = 10_000, queries: int = 400, seed: int = 7) -> list[Measure]:
    """Measures with `documents` documents seen."""
    clusters = Clusters(seed, centres=max(10, documents // 20))
    with measured_server() as (database, dsn):
        fill(database, clusters, documents)
        make_plain(database, dsn)
        return measure(database, dsn, clusters.draw(queries))


def fill(database: Database, clusters: Clusters, documents: int) -> None:
    """Operations of ten documents; then second versions of a tenth, every other operation of them withdrawn."""
    writer = Writer(database)
    first = drafts(clusters, documents, label="first")
    second = drafts(clusters, documents // 10, label="second")
    size = DOCUMENTS_PER_OPERATION
    for start in range(0, documents, size):
        writer.publish(first[start : start + size])
    rewritten = [writer.publish(second[start : start + size]) for start in range(0, len(second), size)]
    for operation in rewritten[::2]:
        writer.say("rollback", [operation], shows=False)
    writer.build_index()


def make_plain(database: Database, dsn: str) -> None:
    """The same vectors without versions, indexed alike."""
    with Database(dsn, role="postgres").connection() as connection:
        connection.execute(
            f"CREATE TABLE public.plain (id bigint PRIMARY KEY, text text, vector halfvec({DIMENSIONS}))"
        )
        connection.execute("ALTER TABLE public.plain ALTER COLUMN vector SET STORAGE PLAIN")
        connection.execute("GRANT SELECT ON public.plain TO recant_reader")
        connection.execute(f"""INSERT INTO public.plain
            SELECT c.id, c.text, e.vector::halfvec({DIMENSIONS}) FROM chunk c JOIN embedding e ON e.id = c.embedding_id
            JOIN (SELECT DISTINCT ON (v.record_id) v.version_id FROM version v JOIN operation o ON o.id = v.operation_id
                  WHERE o.visible ORDER BY v.record_id, v.version_id DESC) head ON head.version_id = c.version_id""")
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("CREATE INDEX ON public.plain USING hnsw (vector halfvec_ip_ops)")
        connection.execute("VACUUM ANALYZE")


@dataclass
class Contest:
    """The ways to search, each over a connection with its own settings."""

    connection: Connection
    around: Neighbourhood

    def plain(self, vector: Any) -> list[int]:
        cursor = self.connection.cursor(binary=True)
        return [row["id"] for row in cursor.execute(PLAIN, {"vector": vector}, prepare=True).fetchall()]

    def ours(self, vector: Any) -> list[int]:
        rows = self.around.search_index(vector, candidate_count(10, has_quality=False), 10)
        return [row["chunk_id"] for row in rows]

    def exact(self, vector: Any) -> list[int]:
        return [row["id"] for row in self.connection.execute(EXACT, {"vector": vector}).fetchall()]


def measure(database: Database, dsn: str, queries: Vectors) -> list[Measure]:
    """Median, 95th percentile and recall of plain pgvector, of our statement, and of the whole call."""
    with database.snapshot() as connection, database.connection() as plain:
        around = Neighbourhood(connection, read_scope(connection, COLLECTION, as_of=None, session=None))
        around.prepare_index(EF_SEARCH)
        plain.execute(f"SET hnsw.ef_search = {EF_SEARCH}")
        contest = Contest(plain, around)
        vectors = [HalfVector(query) for query in queries]
        times, recall = _take_turns(contest, vectors)
    searcher = Searcher(database, lambda text: queries[0])
    return _report(times, recall, _timed_calls(searcher, queries))


def _take_turns(contest: Contest, vectors: list[Any]) -> tuple[dict[str, list[float]], dict[str, float]]:
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    shared: dict[str, list[float]] = {"plain": [], "ours": []}
    for vector in vectors[:20]:
        contest.plain(vector), contest.ours(vector)
    for number, vector in enumerate(vectors):
        ways: list[tuple[str, Callable[[Any], list[int]]]] = [("plain", contest.plain), ("ours", contest.ours)]
        for name, way in ways if number % 2 else reversed(ways):
            times[name].append(milliseconds(way, vector))
    for vector in vectors[:100]:
        truth = set(contest.exact(vector))
        shared["plain"].append(len(truth & set(contest.plain(vector))) / len(truth))
        shared["ours"].append(len(truth & set(contest.ours(vector))) / len(truth))
    return times, {name: float(np.mean(values)) for name, values in shared.items()}


def _timed_calls(searcher: Searcher, queries: Vectors) -> dict[str | None, list[float]]:
    """Milliseconds of the whole call by session; None is outside of any."""
    times: dict[str | None, list[float]] = {None: [], "bench": []}
    for query in queries[:20]:
        searcher.search(None, vector=query, collection=COLLECTION, session="bench")
    for number, query in enumerate(queries):
        for session in times if number % 2 else reversed(times):
            search = partial(searcher.search, None, vector=query, collection=COLLECTION, session=session)
            times[session].append(milliseconds(search))
    return times


def _report(
    times: dict[str, list[float]], recall: dict[str, float], calls: dict[str | None, list[float]]
) -> list[Measure]:
    plain, ours = median(times["plain"]), median(times["ours"])
    outside, inside = calls.values()
    return [
        Measure("plain pgvector, median", plain, "ms"),
        Measure("plain pgvector, 95th percentile", percentile_95(times["plain"]), "ms"),
        Measure("search statement, median", ours, "ms"),
        at_most("search statement, 95th percentile", percentile_95(times["ours"]), "ms", 10),
        at_most("search statement / plain pgvector, medians", ours / plain, "x", 1.5),
        Measure("Searcher.search without embedding, median", median(outside), "ms"),
        at_most("Searcher.search without embedding, 95th percentile", percentile_95(outside), "ms", 10),
        Measure("the same in a session, on record, median", median(inside), "ms"),
        at_most("what being on record adds, medians", median(inside) - median(outside), "ms", 2),
        Measure("recall of plain pgvector", recall["plain"], ""),
        at_least("recall of search", recall["ours"], "", 0.95),
    ]
