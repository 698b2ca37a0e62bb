"""Rollbacks where much is at stake: one operation of a million chunks, a log of a million operations, and `verify`.

Rows are generated on the server in the shape that writers leave them; what is measured reads and writes them through
the library. The big operation is rolled back, redone and restored in turns with one of a thousandth of its size. In the
log, one agent's 155,000 operations are picked by a selector and withdrawn at once, brought back by a redo and by a
restore's verdicts; and blast radii are asked for, of an operation that a few hundred were built on and of one that half
of the log was built on. `verify` replays a log of 100,000 documents in a thousand operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from recant.oplog import Attribution, Selector
from recant.rollback import Rollback, verify_log
from recant.rollback.selection import select
from recant.rollback.targets import MOST_NAMED
from recant.settings import read_settings
from recant.store import Connection, Database, load, numbers_text
from tests.benchmarks.measure import Measure, at_most, median, milliseconds, stopwatch
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import CONTROL, Writer, control_parameters
from tests.benchmarks.synthetic_log import CARELESS, SyntheticLog, fill_operation

_SQL = load("recant.rollback", "rollback.sql")
ROUNDS = 5
TURNS = 20
WARM_UP = 6
"""PostgreSQL plans a function's statements anew for its first five calls."""


def run(
    chunks: int = 1_000_000, operations: int = 1_000_000, careless: int = 155_000, records: int = 100_000
) -> list[Measure]:
    """Measures with an operation of `chunks` chunks, a log of `operations`, and `records` documents to verify."""
    with measured_server() as (database, dsn), Database(dsn, role="postgres").connection() as superuser:
        measures = large_operation(database, superuser, chunks)
    with measured_server() as (database, dsn), Database(dsn, role="postgres").connection() as superuser:
        log = SyntheticLog(operations, careless)
        log.fill(superuser, Writer(database).info.id)
        measures += long_log(database, log)
    with measured_server() as (database, dsn), Database(dsn, role="postgres").connection() as superuser:
        measures += verifying(database, superuser, records)
    return measures


@dataclass
class Times:
    """Milliseconds of `apply_verdicts` in the database, without its commit."""

    rollback: list[float] = field(default_factory=list)
    redo: list[float] = field(default_factory=list)
    restore: list[float] = field(default_factory=list)

    def take_turn(self, database: Database, operations: Sequence[int]) -> None:
        """Withdrawn and redone; withdrawn and brought back by what a restore says."""
        withdrawn, control = _control(database, "rollback", operations, shows=False)
        redone, _ = _control(database, "redo", [control], shows=False)
        again, _ = _control(database, "rollback", operations, shows=False)
        restored, _ = _control(database, "restore", operations, shows=True)
        self.rollback += [withdrawn, again]
        self.redo.append(redone)
        self.restore.append(restored)


def _control(database: Database, kind: str, operations: Sequence[int], *, shows: bool) -> tuple[float, int]:
    with database.transaction() as connection, stopwatch() as call:
        row = connection.execute(CONTROL, control_parameters(kind, operations, shows=shows), prepare=True).fetchone()
        assert row is not None
    return call.seconds * 1000, int(row["control_id"])


def large_operation(database: Database, superuser: Connection, chunks: int) -> list[Measure]:
    """The large operation beside a small one."""
    writer = Writer(database)
    small, large = (_published(writer, superuser, size) for size in (chunks // 1_000, chunks))
    superuser.execute("VACUUM ANALYZE")
    times: dict[int, Times] = {small: Times(), large: Times()}
    for _ in range(TURNS):
        for operation, of in times.items():
            of.take_turn(database, [operation])
    for of in times.values():
        of.rollback, of.redo, of.restore = of.rollback[2 * WARM_UP :], of.redo[WARM_UP:], of.restore[WARM_UP:]
    size = f"{chunks:,} chunks"
    withdrawn = median(times[large].rollback)
    return [
        at_most(f"one operation of {size} withdrawn", withdrawn, "ms", 10),
        Measure(f"one operation of {size} redone", median(times[large].redo), "ms"),
        Measure(f"one operation of {size} restored", median(times[large].restore), "ms"),
        at_most(f"withdrawn: {size} / {chunks // 1_000:,}", withdrawn / median(times[small].rollback), "x", 1.5),
    ]


def _published(writer: Writer, superuser: Connection, chunks: int, chunks_per_document: int = 10) -> int:
    operation = writer.open()
    attempt = writer.log.begin_batch(operation, "all")
    fill_operation(superuser, writer.info, operation, attempt, chunks // chunks_per_document, chunks_per_document)
    writer.log.finish_batch(attempt, {})
    writer.log.publish(operation)
    return operation


def long_log(database: Database, log: SyntheticLog) -> list[Measure]:
    """Many operations at once, and blast radii."""
    return [*_withdrawn_at_once(database, log.careless), *_blast_radii(database, log), *_procedure(database, log)]


def _procedure(database: Database, log: SyntheticLog) -> list[Measure]:
    """Plan and apply as people call them, with their reports; these do describe each operation."""
    rollbacks = Rollback(database, read_settings({}))
    with stopwatch() as planning:
        plan = rollbacks.plan(Selector(agents=(CARELESS,)), agent="bench")
    with stopwatch() as applying:
        report = rollbacks.apply(plan, Attribution(agent="bench"))
    assert report.rollback_operation_id is not None, "it was to be withdrawn"
    with stopwatch() as verifying:
        rollbacks.verify(report.rollback_operation_id)
    name = f"{log.careless:,} operations"
    return [
        Measure(f"plan of {name}, with its report", planning.seconds, "s"),
        Measure(f"plan of {name} applied", applying.seconds, "s"),
        Measure(f"certificate of {name} in a log of {log.operations:,}", verifying.seconds, "s"),
    ]


def _withdrawn_at_once(database: Database, expected: int) -> list[Measure]:
    selector = Selector(agents=(CARELESS,))
    with database.transaction() as connection, stopwatch() as selecting:
        found = select(connection, selector).operations
    if len(found) != expected:
        raise AssertionError(f"the selector was to find {expected} operations, not {len(found)}")
    times = Times()
    for _ in range(3):
        times.take_turn(database, found)
    withdrawn, redone, restored = median(times.rollback), median(times.redo), median(times.restore)
    name = f"{len(found):,} operations"
    return [
        Measure(f"{name} selected by agent", selecting.seconds * 1000, "ms"),
        at_most(f"{name} withdrawn, selecting included", selecting.seconds * 1000 + withdrawn, "ms", 1_000),
        Measure(f"{name} redone", redone, "ms"),
        Measure(f"{name} restored", restored, "ms"),
        at_most(f"{name}: redo / rollback", redone / withdrawn, "x", 1.1),
        at_most(f"{name}: restore / rollback", restored / withdrawn, "x", 1.1),
    ]


def _blast_radii(database: Database, log: SyntheticLog) -> list[Measure]:
    rollbacks = Rollback(database, read_settings({}))
    few, many = log.first_of_a_family, log.built_upon
    count, query = _dependents(database, few)
    report = _median(lambda: rollbacks.blast_radius(Selector(operations=(few,))))
    all_of_them, long_query = _dependents(database, many)
    with stopwatch() as long_report:
        rollbacks.blast_radius(Selector(operations=(many,)))
    return [
        Measure(f"{count:,} dependents found among {log.operations:,} operations", query, "ms"),
        at_most(f"blast radius of {count:,} dependents, the whole report", report, "ms", 100),
        at_most(f"{all_of_them:,} dependents found", long_query, "ms", 1_500),
        Measure(f"blast radius of {all_of_them:,} dependents, the whole report", long_report.seconds, "s"),
    ]


def _dependents(database: Database, operation: int) -> tuple[int, float]:
    """How many, and the milliseconds until their ids are here, the first of them with the hop that leads to each."""
    given = {"operations": numbers_text([operation]), "listed": MOST_NAMED}
    with database.transaction() as connection:
        found = [connection.execute(_SQL["dependents"], given).fetchone() or {"ids": []} for _ in range(2)]
        spent = _median(lambda: connection.execute(_SQL["dependents"], given).fetchone())
    return len(found[0]["ids"]), spent


def _median(call: Callable[[], object]) -> float:
    return median([milliseconds(call) for _ in range(ROUNDS)])


def verifying(database: Database, superuser: Connection, records: int) -> list[Measure]:
    """`verify` over documents of two chunks, a hundred an operation."""
    writer = Writer(database)
    for _ in range(records // 100):
        _published(writer, superuser, 200, chunks_per_document=2)
    superuser.execute("VACUUM ANALYZE")
    reports = []
    seconds = median([milliseconds(lambda: reports.append(verify_log(database))) for _ in range(3)]) / 1000
    if not reports[-1].ok or reports[-1].records["document"] != records:
        raise AssertionError(f"the log was to verify: {reports[-1]}")
    return [at_most(f"verify over {records:,} records", seconds, "s", 10)]
