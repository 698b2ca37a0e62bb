"""What it costs to take an operation back, by its size; and to delete rows instead.

Three operations of 100, 10,000 and 100,000 chunks are rolled back and redone in turns on a durable server, each by one
call of `apply_verdicts` in a transaction of its own. Timed are the call, and the call with its commit (an fsync), round
trips included. Against it, on a
plain pgvector table with an HNSW index: DELETE of 10,000 rows, which leaves the index to the VACUUM that follows (until
then searches walk through what is deleted), and a flag set on 10,000 rows, which writes each into the index anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from recant.oplog import Attribution, Selector
from recant.rollback import Rollback
from recant.settings import read_settings
from recant.store import Connection, Database
from tests.benchmarks.measure import Measure, at_least, at_most, median, milliseconds, stopwatch
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import (
    CHUNKS_PER_DOCUMENT,
    CONTROL,
    DIMENSIONS,
    Clusters,
    Writer,
    control_parameters,
    drafts,
)

SIZES = (100, 10_000, 100_000)
MIDDLE = 1
WARM_UP = 3


def run(sizes: tuple[int, ...] = SIZES, rounds: int = 40, rows: int = 10_000, seed: int = 5) -> list[Measure]:
    """Measures with operations of `sizes` chunks, and `rows` rows deleted from a table of twice as many."""
    clusters = Clusters(seed, centres=500)
    with measured_server() as (database, dsn):
        writer = Writer(database)
        operations = [_publish(writer, clusters, chunks) for chunks in sizes]
        writer.build_index()
        times = _take_turns(database, operations, rounds)
        whole = _whole_procedure(database, operations[MIDDLE])
        with Database(dsn, role="postgres").connection() as connection:
            plain = _plain_rows(connection, rows)
    return _report(dict(zip(sizes, times, strict=True)), whole, plain, rows)


def _publish(writer: Writer, clusters: Clusters, chunks: int) -> int:
    label = f"of {chunks}"
    count = chunks // CHUNKS_PER_DOCUMENT
    operation = writer.open()
    for part in range(0, count, 1_000):
        size = min(1_000, count - part)
        writer.write(operation, drafts(clusters, size, label=label, first=chunks * 10 + part), batch=f"{part}")
    writer.log.publish(operation)
    return operation


@dataclass
class Times:
    """Milliseconds of one operation's rounds."""

    call: list[float] = field(default_factory=list)
    """`apply_verdicts` of a rollback, without its commit."""
    rollback: list[float] = field(default_factory=list)
    redo: list[float] = field(default_factory=list)


def _take_turns(database: Database, operations: list[int], rounds: int) -> list[Times]:
    times = [Times() for _ in operations]
    for number in range(rounds + WARM_UP):
        turns = list(zip(operations, times, strict=True))
        for operation, of in turns[number % len(turns) :] + turns[: number % len(turns)]:
            call, rollback, control = _timed_control(database, "rollback", operation)
            _, redo, _ = _timed_control(database, "redo", control)
            if number >= WARM_UP:
                of.call.append(call)
                of.rollback.append(rollback)
                of.redo.append(redo)
    return times


def _timed_control(database: Database, kind: str, operation: int) -> tuple[float, float, int]:
    given = control_parameters(kind, [operation], shows=False)
    with stopwatch() as whole, database.transaction() as connection, stopwatch() as call:
        row = connection.execute(CONTROL, given, prepare=True).fetchone()
    assert row is not None
    return call.seconds * 1000, whole.seconds * 1000, int(row["control_id"])


def _whole_procedure(database: Database, operation: int) -> float:
    """Milliseconds of plan, apply and verify, whose reports do read the operation's rows."""
    rollbacks = Rollback(database, read_settings({}))
    attribution = Attribution(agent="bench")

    def procedure() -> None:
        plan = rollbacks.plan(Selector(operations=(operation,)), agent="bench")
        rollbacks.apply(plan, attribution)

    return milliseconds(procedure)


def _plain_rows(connection: Connection, rows: int) -> dict[str, float]:
    """Milliseconds for a table of twice `rows` rows, each under one synchronous commit like the rollbacks."""
    connection.execute(f"""CREATE TABLE public.plain AS SELECT id, true AS visible, vector::halfvec({DIMENSIONS}) AS vector
                           FROM recant.embedding ORDER BY text_hash LIMIT {2 * rows}""")
    connection.execute("ALTER TABLE public.plain ADD PRIMARY KEY (id)")
    connection.execute("SET maintenance_work_mem = '1GB'")
    connection.execute("CREATE INDEX ON public.plain USING hnsw (vector halfvec_ip_ops)")
    connection.execute("VACUUM ANALYZE public.plain")
    some = f"id IN (SELECT id FROM public.plain ORDER BY id LIMIT {rows})"
    steps: dict[str, Callable[[], object]] = {
        "delete": lambda: connection.execute(f"DELETE FROM public.plain WHERE {some}"),
        "vacuum": lambda: connection.execute("VACUUM public.plain"),
        "flag": lambda: connection.execute(f"UPDATE public.plain SET visible = false WHERE {some}"),
    }
    return {name: milliseconds(step) for name, step in steps.items()}


def _report(times: dict[int, Times], whole: float, plain: dict[str, float], rows: int) -> list[Measure]:
    sizes = list(times)
    small, middle, large = (median(times[size].rollback) for size in sizes)
    quartiles = np.percentile(times[sizes[MIDDLE]].rollback, [25, 75])
    cleared = plain["delete"] + plain["vacuum"]
    return [
        *(at_most(f"apply_verdicts, {n:,} chunks, median", median(of.call), "ms", 10) for n, of in times.items()),
        *(Measure(f"rollback with commit, {n:,} chunks, median", median(of.rollback), "ms") for n, of in times.items()),
        *(Measure(f"redo with commit, {n:,} chunks, median", median(of.redo), "ms") for n, of in times.items()),
        Measure(f"rollback of {sizes[MIDDLE]:,}, interquartile range", float(quartiles[1] - quartiles[0]), "ms"),
        at_most(f"rollback of {sizes[-1]:,} / of {sizes[0]:,} chunks", large / small, "x", 1.5),
        Measure(f"plan and apply with their reports, {sizes[MIDDLE]:,} chunks", whole, "ms"),
        Measure(f"DELETE of {rows:,} rows, index left behind", plain["delete"], "ms"),
        Measure(f"DELETE of {rows:,} rows and VACUUM", cleared, "ms"),
        Measure(f"UPDATE of a flag on {rows:,} rows", plain["flag"], "ms"),
        at_least("DELETE and VACUUM / rollback", cleared / middle, "x", 1000),
        Measure("DELETE alone / rollback", plain["delete"] / middle, "x"),
        Measure("UPDATE of a flag / rollback", plain["flag"] / middle, "x"),
    ]
