"""Questions of lineage in a log of a hundred thousand runs: downstream of one, by run and by job, and what fails with it.

Half of the runs form families of some three hundred, in which all was built on the first over some hops; the others were
all built on one. Each read a folder of its own or a shared one, wrote the collection, and belongs to one of a hundred
DAGs. Target of the issue: downstream of one run in under 20 ms. The same question is asked in a log a tenth as long.
"""

from __future__ import annotations

from collections.abc import Callable

from recant.lineage import Start, collection_dataset
from recant.lineage.answers import Lineage
from recant.settings import read_settings
from recant.store import Connection, Database
from tests.benchmarks.measure import Measure, at_most, median, milliseconds
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import Writer
from tests.benchmarks.synthetic_log import FAMILY, SyntheticLog

ROUNDS = 15
DATASETS = (
    "SET session_replication_role = replica",
    """INSERT INTO operation_dataset (operation_id, direction, namespace, name)
       SELECT o.id, x.direction, x.namespace, x.name FROM operation o CROSS JOIN LATERAL (VALUES
         ('input', 'file', '/srv/' || CASE WHEN o.id %% 3 = 0 THEN 'shared' ELSE (o.id %% 1000)::text END),
         ('output', %(namespace)s, %(name)s)) x (direction, namespace, name)""",
    """UPDATE operation SET run_id = 'scheduled__' || id, context = jsonb_build_object(
         'dag_id', 'dag_' || id %% 100, 'task_id', 'write', 'dag_run_id', 'scheduled__' || id, 'parent_run_id', lineage_run_id::text,
         'root_run_id', lineage_run_id::text, 'parent_job_namespace', 'recant', 'parent_job_name', 'dag_' || id %% 100 || '.write')""",
    "SET session_replication_role = origin",
    "VACUUM ANALYZE operation, operation_dataset",
)


def run(operations: int = 100_000) -> list[Measure]:
    """Measures in a log of so many operations, and in one of a tenth."""
    small, large = _measured(operations // 10), _measured(operations)
    size = f"{operations:,} runs"
    family = f"{FAMILY - 1} downstream of one"
    return [
        at_most(f"{family}, of {size}: trace", large["trace"], "ms", 20),
        Measure(f"{family}, as of an earlier position", large["as_of"], "ms"),
        Measure(f"{family}, by job", large["jobs"], "ms"),
        at_most(f"trace: {operations:,} / {operations // 10:,} runs", large["trace"] / small["trace"], "x", 1.5),
        Measure("upstream of the last of a family", large["up"], "ms"),
        Measure(f"a failed run of {FAMILY - 1} dependents: its blast radius", large["failure"], "ms"),
        Measure(f"1,000 nearest of {operations // 2:,} downstream of one", large["many"], "ms"),
        Measure(f"{operations // 2:,} downstream of one, by job", large["many_jobs"], "ms"),
        Measure("a DAG of a hundredth of the runs, with all up and down from it", large["dag"], "ms"),
        Measure(f"lineage of the collection that {size} wrote", large["dataset"], "ms"),
        Measure(f"every dataset and job of {size}", large["overview"], "ms"),
    ]


def _measured(operations: int) -> dict[str, float]:
    with measured_server() as (database, dsn), Database(dsn, role="postgres").connection() as superuser:
        writer = Writer(database)
        log = SyntheticLog(operations, careless=operations // 10)
        log.fill(superuser, writer.info.id)
        add_datasets(superuser, writer.info.name)
        return _timed(Lineage(database, read_settings({})), log, writer.info.name)


def add_datasets(superuser: Connection, collection: str) -> None:
    """Datasets and DAGs for the operations of a synthetic log."""
    namespace, name = collection_dataset(read_settings({}), collection)
    for statement in DATASETS:
        superuser.execute(statement, {"namespace": namespace, "name": name})


def _timed(lineage: Lineage, log: SyntheticLog, collection: str) -> dict[str, float]:
    few, many = Start(operation=log.first_of_a_family), Start(operation=log.built_upon)
    found = lineage.downstream(few)
    if len(found.operations) != FAMILY:
        raise AssertionError(f"a family has {FAMILY} operations, not {len(found.operations)}")
    questions: dict[str, Callable[[], object]] = {
        "trace": lambda: lineage.downstream(few),
        "as_of": lambda: lineage.downstream(few, as_of=log.half),
        "jobs": lambda: lineage.jobs(few, direction="down"),
        "up": lambda: lineage.upstream(Start(operation=log.half)),
        "failure": lambda: lineage.get_failure_blast_radius(run=f"scheduled__{log.first_of_a_family}"),
        "many": lambda: lineage.downstream(many),
        "many_jobs": lambda: lineage.jobs(many, direction="down"),
        "dag": lambda: lineage.get_dag_lineage("dag_7"),
        "dataset": lambda: lineage.get_dataset_lineage(collection),
        "overview": lineage.overview,
    }
    slow = {"many_jobs", "dag", "dataset", "overview", "failure"}
    return {
        name: median([milliseconds(ask) for _ in range(3 if name in slow else ROUNDS)])
        for name, ask in questions.items()
    }
