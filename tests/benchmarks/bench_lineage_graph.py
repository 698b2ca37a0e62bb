"""Questions of lineage in a log of a hundred thousand runs: downstream of one, by run and by job, and what fails with it.

Half of the runs form families of some three hundred, in which all was built on the first over some hops; the others were
all built on one. Each read a folder of its own or a shared one, wrote the collection, and belongs to one of a hundred
DAGs. Target of the issue: downstream of one run in under 20 ms. The same question is asked in a log a tenth as long.

Beside a real Marquez, where MARQUEZ_URL or MARQUEZ_JAR names one: a tree of jobs, each of which reads its parent's file and
writes its own, is published here and delivered there, and both are asked, in turns, for all that is downstream of the
root's file. Both must name the same jobs.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import replace
from threading import Event

from recant.lineage import Start, collection_dataset
from recant.lineage.answers import Lineage
from recant.lineage.courier import Courier
from recant.lineage.destinations import MarquezDestination
from recant.lineage.outbox import attach_destination
from recant.oplog import Attribution, OperationLog
from recant.oplog import Dataset as OperationDataset
from recant.settings import read_settings
from recant.store import Connection, Database
from tests.benchmarks.bench_lineage import real_marquez
from tests.benchmarks.measure import Measure, at_most, median, milliseconds
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import Writer
from tests.benchmarks.synthetic_log import FAMILY, SyntheticLog
from tests.marquez_server import Marquez

ROUNDS = 15
MARQUEZ_DEPTH = 20
"""Its own default."""
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


def run(operations: int = 100_000, jobs: int = 300) -> list[Measure]:
    """Measures in a log of so many operations, and in one of a tenth; beside Marquez with so many jobs."""
    with real_marquez() as url:
        beside = beside_marquez(url, jobs) if url else []
    if not beside:
        print("No MARQUEZ_URL or MARQUEZ_JAR: nothing is measured beside Marquez' own lineage query.")
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
        *beside,
    ]


def beside_marquez(url: str, jobs: int, seed: int = 7) -> list[Measure]:
    """Downstream of the root of a tree of jobs, by Marquez and by us."""
    namespace = f"recant_bench_{uuid.uuid4().hex[:12]}"
    settings = replace(read_settings({"RECANT_LINEAGE_NAMESPACE": namespace}), marquez_url=url)
    root = ("file", f"/{namespace}/0")
    with measured_server() as (database, _):
        plant(OperationLog(database), namespace, jobs, random.Random(seed))
        destination = MarquezDestination(url)
        name = attach_destination(database, destination.name, destination.identity)
        Courier(database, destination, namespace, Event(), known_as=name).deliver()
        destination.close()
        lineage, marquez = Lineage(database, settings), Marquez(url.rstrip("/"))
        here = lambda: {n.job for n in lineage.downstream(Start(dataset=root)).operations}  # noqa: E731
        there = lambda: _jobs_below(marquez, namespace, root)  # noqa: E731
        if not here() == there() == {f"derive.t{number}" for number in range(1, jobs)}:
            raise AssertionError(f"downstream of the root: {len(here())} jobs by us, {len(there())} by Marquez")
        times: dict[str, list[float]] = {"us": [], "Marquez": []}
        for _ in range(7):
            times["us"].append(milliseconds(here))
            times["Marquez"].append(milliseconds(there))
    ours, theirs = median(times["us"]), median(times["Marquez"])
    return [
        Measure(f"all downstream in a tree of {jobs:,} jobs", ours, "ms"),
        Measure(f"the same by Marquez (depth {MARQUEZ_DEPTH})", theirs, "ms"),
        at_most("ours / Marquez", ours / theirs, "x", 1),
    ]


def plant(log: OperationLog, namespace: str, jobs: int, chance: random.Random) -> None:
    """A random tree: each job has one run, which reads the file of an earlier one and writes its own."""
    for number in range(jobs):
        with log.database.transaction() as connection:
            connection.execute("SELECT ensure_collection(%s, 'test-model', 'digest', 3, true)", [f"t{number}"])
        datasets = [OperationDataset("output", "file", f"/{namespace}/{number}")]
        if number:
            datasets.append(OperationDataset("input", "file", f"/{namespace}/{chance.randrange(number)}"))
        log.publish(log.open("derive", Attribution("bench"), collection=f"t{number}", datasets=datasets))


def _jobs_below(marquez: Marquez, namespace: str, root: tuple[str, str]) -> set[str]:
    """Of the jobs around the root, as Marquez walks both ways, those that aren't the root's own."""
    graph = marquez.get("lineage", nodeId=f"dataset:{root[0]}:{root[1]}", depth=MARQUEZ_DEPTH)["graph"]
    found = {node["data"]["name"] for node in graph if node["type"] == "JOB"}
    return found - {"derive.t0"}


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
