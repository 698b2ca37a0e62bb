"""Filtered search at every selectivity, against plain pgvector with the same filter in the same run.

Documents of ten chunks with attributes: `share` lists by which parts of a whole a document belongs to, `rank` is a number
without repetition, so that a range leaves as much as is wanted. The plain table has the same attributes on each row, under
GIN (jsonb_path_ops), beside its HNSW index; it follows the index as far as its default (20,000 tuples) goes, in strict order.
Both take turns, prepared, in binary. Recall is against comparing everything. Then half of the operations are withdrawn; then
a flood of near-duplicates of the queries is written and withdrawn, and with every filter the same is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pgvector import HalfVector

from recant.search import Searcher
from recant.search.sizes import EF_SEARCH
from recant.store import Connection, Database
from tests.benchmarks.measure import Measure, at_least, at_most, median, milliseconds, percentile_95, stopwatch
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import (
    CHUNKS_PER_DOCUMENT,
    COLLECTION,
    DIMENSIONS,
    Clusters,
    Draft,
    Vectors,
    Writer,
    drafts,
)

SHARES = {"0.01%": 10_000, "0.1%": 1_000, "1%": 100, "10%": 10, "50%": 2, "100%": 1}
DOCUMENTS_PER_OPERATION = 100
WARM_UP = 5
FACETS = "(attributes - '{line_start,line_end,page,page_end}'::text[])"
PLAIN = """SELECT id FROM plain WHERE {condition} ORDER BY vector <#> %(vector)s LIMIT 10"""
EXACT = """SELECT id FROM plain WHERE {condition} ORDER BY (vector <#> %(vector)s) + 0, id LIMIT 10"""


@dataclass(frozen=True)
class Filter:
    """The same condition for both."""

    name: str
    ours: str
    plain: str


def run(documents: int = 10_000, queries: int = 30, seed: int = 5) -> list[Measure]:
    """Measures with `documents` documents."""
    clusters = Clusters(seed, centres=max(10, documents // 20))
    with measured_server() as (database, dsn):
        operations = fill(database, clusters, documents)
        make_plain(database, dsn)
        wanted = clusters.draw(queries)
        contest = Contest(database, wanted, filters(documents))
        measures = contest.measure("")
        withdraw(database, dsn, operations[::2])
        measures += contest.measure("half withdrawn, ", timed=False)
        flood(database, wanted)
        measures += contest.measure("behind a withdrawn flood, ", timed=False)
    return [*measures, *written()]


def filters(documents: int) -> list[Filter]:
    """An equality and a range a share."""
    equal = [
        Filter(f"share {share}", f'share = "{share}"', f"""attributes @> '{{"share": ["{share}%"]}}'""")
        for share in SHARES
    ]
    bounds = {share: max(1, documents // SHARES[share]) for share in SHARES}
    ranges = [Filter(f"range {s}", f"rank < {n}", f"(attributes ->> 'rank')::int < {n}") for s, n in bounds.items()]
    return equal + ranges


def fill(database: Database, clusters: Clusters, documents: int) -> list[int]:
    """A hundred documents an operation; shares and ranks are spread over them."""
    writer = Writer(database)
    ranks = clusters.random.permutation(documents)
    made = [
        Draft(draft.source, draft.label, draft.vectors, attributes(int(rank)))
        for draft, rank in zip(drafts(clusters, documents, label="filtered"), ranks, strict=True)
    ]
    size = DOCUMENTS_PER_OPERATION
    operations = [writer.publish(made[start : start + size]) for start in range(0, documents, size)]
    writer.build_index()
    return operations


def attributes(rank: int) -> dict[str, Any]:
    """A document belongs to one in so many."""
    return {"share": [share for share, parts in SHARES.items() if rank % parts == 0], "rank": rank, "author": "someone"}


def make_plain(database: Database, dsn: str) -> None:
    """The same rows without versions, indexed alike."""
    with Database(dsn, role="postgres").connection() as connection:
        connection.execute(
            f"CREATE TABLE public.plain (id bigint PRIMARY KEY, text text, attributes jsonb, vector halfvec({DIMENSIONS}))"
        )
        connection.execute("ALTER TABLE public.plain ALTER COLUMN vector SET STORAGE PLAIN")
        connection.execute("GRANT SELECT, DELETE ON public.plain TO recant_reader")
        connection.execute(f"""INSERT INTO public.plain
            SELECT c.id, c.text, d.attributes, e.vector::halfvec({DIMENSIONS}) FROM chunk c
            JOIN embedding e ON e.id = c.embedding_id JOIN document_version d ON d.version_id = c.version_id""")
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("CREATE INDEX ON public.plain USING hnsw (vector halfvec_ip_ops)")
        connection.execute("CREATE INDEX ON public.plain USING gin (attributes jsonb_path_ops)")
        connection.execute("VACUUM ANALYZE")


def withdraw(database: Database, dsn: str, operations: Sequence[int]) -> None:
    """Hidden with us, deleted from the plain table."""
    Writer(database).say("rollback", operations, shows=False)
    with Database(dsn, role="postgres").connection() as connection:
        connection.execute(
            "DELETE FROM public.plain p USING chunk c, version v WHERE c.id = p.id AND v.version_id = c.version_id "
            "AND v.operation_id = ANY (%s)",
            [list(operations)],
        )


def flood(database: Database, queries: Vectors, copies: int = 300) -> None:
    """Documents that pass every filter, each chunk next to a query; withdrawn at once."""
    random = np.random.default_rng(1)
    writer = Writer(database)
    near = np.repeat(queries, copies, axis=0)
    near = near + random.standard_normal(near.shape) * (0.05 / np.sqrt(DIMENSIONS))
    near = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    count = len(near) // CHUNKS_PER_DOCUMENT
    vectors = near[: count * CHUNKS_PER_DOCUMENT].reshape(count, CHUNKS_PER_DOCUMENT, DIMENSIONS)
    crowd = [Draft(f"/flood/{i}.md", f"flood {i}", vectors[i], attributes(0)) for i in range(count)]
    writer.say("rollback", [writer.publish(crowd)], shows=False)


class Contest:
    """Both ways to search, for every filter."""

    def __init__(self, database: Database, queries: Vectors, filters: list[Filter]) -> None:
        self.database = database
        self.queries = queries
        self.filters = filters
        self.searcher = Searcher(database, lambda text: queries[0])

    def measure(self, state: str, *, timed: bool = True) -> list[Measure]:
        """Recall, and where asked times and ratios, by filter."""
        measures: list[Measure] = []
        with self.database.connection() as connection:
            connection.execute(f"SET hnsw.ef_search = {EF_SEARCH}")
            connection.execute("SET hnsw.iterative_scan = strict_order")
            for one in self.filters:
                measures += self._measure(connection, state, one, timed)
        return measures

    def _measure(self, connection: Connection, state: str, one: Filter, timed: bool) -> list[Measure]:
        def ours(vector: Vectors) -> list[int]:
            found = self.searcher.search(None, vector=vector, collection=COLLECTION, filters=one.ours)
            return [hit.chunk_id for hit in found.hits]

        def plain(vector: Vectors, statement: str = PLAIN) -> list[int]:
            given = {"vector": HalfVector(vector)}
            cursor = connection.cursor(binary=True)
            rows = cursor.execute(statement.format(condition=one.plain), given, prepare=True)  # type: ignore[arg-type]
            return [row["id"] for row in rows.fetchall()]

        truth = [set(plain(vector, EXACT)) for vector in self.queries]
        found, rival = _recall(ours, self.queries, truth), _recall(plain, self.queries, truth)
        name = f"{state}{one.name}"
        measures = [
            at_least(f"{name}: recall", found, "", 0.97),
            Measure(f"{name}: recall of plain pgvector", rival, ""),
        ]
        return measures + (_times(name, ours, plain, self.queries) if timed else [])


def _recall(way: Callable[[Vectors], list[int]], queries: Vectors, truth: list[set[int]]) -> float:
    pairs = [(set(way(query)), of) for query, of in zip(queries, truth, strict=True)]
    shares = [len(of & found) / len(of) if of else float(not found) for found, of in pairs]
    return float(np.mean(shares))


def _times(
    name: str, ours: Callable[[Vectors], list[int]], plain: Callable[[Vectors], list[int]], queries: Vectors
) -> list[Measure]:
    taken: dict[str, list[float]] = {"ours": [], "plain": []}
    for number, query in enumerate([*queries[:WARM_UP], *queries]):
        turn = [("ours", ours), ("plain", plain)]
        for who, way in turn if number % 2 else reversed(turn):
            spent = milliseconds(way, query)
            taken[who] += [spent] if number >= WARM_UP else []
    return [
        Measure(f"{name}: median", median(taken["ours"]), "ms"),
        at_most(f"{name}: 95th percentile", percentile_95(taken["ours"]), "ms", 50),
        Measure(f"{name}: plain pgvector, median", median(taken["plain"]), "ms"),
        Measure(f"{name}: plain pgvector, 95th percentile", percentile_95(taken["plain"]), "ms"),
        Measure(f"{name}: recant / plain pgvector, medians", median(taken["ours"]) / median(taken["plain"]), "x"),
    ]


INDEXES = (
    ("document_version_attributes", "document_version USING gin (attributes jsonb_path_ops) WITH (gin_pending_list_limit = 256)"),
    ("chunk_attributes", f"chunk USING gin ({FACETS} jsonb_path_ops) WITH (gin_pending_list_limit = 256) WHERE {FACETS} <> '{{}}'"),
    ("record_prefix", "record (key text_pattern_ops) WHERE kind = 'document'"),
    ("vector_chunk_type", "chunk (chunk_type, version_id) WHERE chunk_type <> 'text'"),
    ("vector_chunk_headers", "chunk USING gin (parent_headers) WITH (gin_pending_list_limit = 256)"),
)  # fmt: skip


def written(flushes: int = 30, seed: int = 6) -> list[Measure]:
    """Chunks a second appended with what filters want of the tables and without it, in turns, a flush of 2,000 chunks each."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    clusters = Clusters(seed, centres=100)
    with measured_server() as (database, dsn), Database(dsn, role="postgres").connection() as superuser:
        writer = Writer(database)
        operation = writer.open()
        for number in range(flushes):
            made = drafts(clusters, 200, label="written", first=number * 200)
            told = {"doc_type": "document", "updated_at": "2026-11-20T19:19:50+00:00", "topics": ["a", f"{number}"]}
            prepared = writer.prepare([replace(draft, attributes=told | {"summary": draft.label}) for draft in made])
            _index(superuser, wanted=number % 2 == 0)
            with stopwatch() as watch:
                writer.append(operation, prepared, batch=f"{number}")
            rates[number % 2 == 0].append(2_000 / watch.seconds)
    ours, bare = (median(rates[wanted][2:]) for wanted in (True, False))
    return [
        Measure("appended with the indexes of filters, median", ours, "chunks/s"),
        Measure("appended without them, median", bare, "chunks/s"),
        at_least("with / without", ours / bare, "x", 0.95),
    ]


def _index(superuser: Connection, *, wanted: bool) -> None:
    for name, what in INDEXES:
        superuser.execute(f"DROP INDEX IF EXISTS recant.{name}")  # type: ignore[arg-type]
        if wanted:
            superuser.execute(f"CREATE INDEX {name} ON recant.{what}")  # type: ignore[arg-type]
    superuser.execute(f"ALTER TABLE recant.chunk {'ENABLE' if wanted else 'DISABLE'} TRIGGER note_attributes")
