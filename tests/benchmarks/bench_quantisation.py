"""What an index of fewer bits would give up: HNSW over one bit a dimension, re-ranked by the stored half precision.

Plain tables, no versions: it answers what docs/explanation/scale.md says of tens of millions. The index over bits finds the
nearest by Hamming distance, so many for each of ten; those are compared by inner product and the best ten kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from pgvector import HalfVector

from recant.store import Connection, Database
from tests.benchmarks.measure import Measure, median, milliseconds, stopwatch
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import DIMENSIONS, Vectors, Writer
from tests.benchmarks.synthetic_vectors import Topics, copy_vectors

EXACT = "SELECT id FROM quantised ORDER BY (vector <#> %(v)s) + 0 LIMIT 10"
WHOLE = "SELECT id FROM quantised ORDER BY vector <#> %(v)s LIMIT 10"
BITS = f"""SELECT id FROM (
  SELECT id, vector FROM quantised ORDER BY binary_quantize(vector)::bit({DIMENSIONS}) <~> binary_quantize(%(v)s::halfvec({DIMENSIONS}))
  LIMIT {{}}) t ORDER BY vector <#> %(v)s LIMIT 10"""
INDEXES = {
    "halfvec": "USING hnsw (vector halfvec_ip_ops)",
    "bits": f"USING hnsw ((binary_quantize(vector)::bit({DIMENSIONS})) bit_hamming_ops)",
}


def run(rows: int = 25_000, queries: int = 100, seed: int = 9) -> list[Measure]:
    """Sizes, building times, medians and recall@10."""
    topics = Topics(seed)
    vectors, asked = topics.draw(rows), topics.draw(queries)
    with measured_server() as (database, dsn), Database(dsn, role="postgres").connection() as superuser:
        copy_vectors(superuser, vectors, Writer(database).info.space_id)
        superuser.execute("SET maintenance_work_mem = '1GB'")
        superuser.execute(
            f"CREATE TABLE public.quantised AS SELECT id, vector::halfvec({DIMENSIONS}) AS vector FROM recant.embedding"
        )
        superuser.execute("SET search_path = public")
        truth = [found(superuser, EXACT, query) for query in asked]
        superuser.execute("SET enable_seqscan = off")
        measures = _measured(superuser, "halfvec", {"halfvec": WHOLE}, asked, truth)
        superuser.execute("DROP INDEX quantised_halfvec")
        ways = {f"bits, {count} re-ranked": BITS.format(count) for count in (100, 200, 400)}
        return measures + _measured(superuser, "bits", ways, asked, truth)


def found(connection: Connection, statement: str, query: Vectors) -> set[int]:
    """Ids."""
    cursor = connection.cursor(binary=True)
    rows = cursor.execute(statement, {"v": HalfVector(query)}, prepare=True)  # type: ignore[arg-type]
    return {row["id"] for row in rows}


def _measured(
    connection: Connection, kind: str, ways: dict[str, str], asked: Vectors, truth: Sequence[set[int]]
) -> list[Measure]:
    with stopwatch() as building:
        connection.execute(f"CREATE INDEX quantised_{kind} ON quantised {INDEXES[kind]}")  # type: ignore[arg-type]
    row = connection.execute("SELECT pg_relation_size(%s::regclass) AS bytes", [f"quantised_{kind}"]).fetchone()
    connection.execute("SET hnsw.ef_search = 400")
    measures = [
        Measure(f"index of {kind}: built", building.seconds, "s"),
        Measure(f"index of {kind}: a vector", int(row["bytes"] if row else 0) / max(len_of(connection), 1), "B"),
    ]
    for name, statement in ways.items():
        plan = connection.execute("EXPLAIN " + statement, {"v": HalfVector(asked[0])}).fetchall()  # type: ignore[arg-type]
        if not any(f"quantised_{kind}" in row["QUERY PLAN"] for row in plan):
            raise AssertionError(f"{name}: not by the index")
        search: Callable[[Vectors], set[int]] = lambda query, s=statement: found(connection, s, query)  # noqa: E731
        times = [milliseconds(search, query) for query in asked]
        recall = np.mean([len(search(query) & of) / len(of) for query, of in zip(asked, truth, strict=True)])
        measures += [Measure(f"{name}: median", median(times), "ms"), Measure(f"{name}: recall@10", float(recall), "")]
    return measures


def len_of(connection: Connection) -> int:
    """Rows there are."""
    row = connection.execute("SELECT count(*) AS n FROM quantised").fetchone()
    return int(row["n"]) if row else 0
