"""How far a DAG, task or run that failed or was bad reaches: what was built on it, and who reads what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recant.lineage.graph import JobNode, LineageGraph, OperationNode
from recant.lineage.jobs import job_graph, jobs_of, walk_datasets
from recant.lineage.possible import possible_reach
from recant.lineage.question import Question
from recant.lineage.runs import operation_nodes
from recant.lineage.starts import WHOLE, Dataset, Start, find_operations
from recant.lineage.walk import reach, walk


@dataclass(frozen=True, slots=True)
class FailureRadius:
    """What is downstream of the operations of a DAG, a task or a run, as of the graph's position.

    Two things follow from a bad run. What it published may be in what others built: these operations are counted and
    named, whether they are hidden by now or not. And what it was to write is missing or old: so the jobs that read its
    datasets are named as well, whether they have run since or not. An operation that was aborted was never seen by
    anybody: nothing is built on it, but its readers may wait for it.
    """

    graph: LineageGraph
    """Downstream by job, its own jobs first."""
    own_operations: int
    own_states: dict[str, int]
    """published, hidden, open, aborted."""
    operations: int
    """Downstream."""
    states: dict[str, int]
    possible_operations: int
    """Not among these: what was written after a session was merely shown any of it, and what was built on that."""
    possible_states: dict[str, int]
    nearest: list[OperationNode]
    """Operations downstream, the nearest first, as many as the limit allowed."""
    dags: list[dict[str, Any]]
    """Downstream, its own DAGs left out: dag_id, tasks, operations, hidden."""
    records: dict[str, int]
    """What is seen that it or what is downstream wrote, by kind; chunks as well."""
    datasets: list[dict[str, Any]]
    """namespace, name, `written_by` ("it" or "downstream"), marquez_url."""
    readers: list[JobNode]
    """Jobs that read what it writes, or what these write in turn."""
    artifacts: list[dict[str, Any]]
    """Files that hold any of it."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        counts = ("own_operations", "own_states", "operations", "states", "possible_operations", "possible_states")
        plain = (*counts, "dags", "records", "datasets", "artifacts")
        return {
            "start": self.graph.start,
            "position": self.graph.position,
            **{name: getattr(self, name) for name in plain},
            "nearest": [node.to_dict() for node in self.nearest],
            "readers": [asdict(job) for job in self.readers],
            "graph": self.graph.to_dict(),
        }


def failure_radius(question: Question, start: Start, limit: int) -> FailureRadius:
    """Of these operations; at most `limit` downstream are named."""
    own = find_operations(question, start)
    below = sorted(set(reach(question, own, upstream=False, depth=None)).difference(own))
    possible = possible_reach(question, own, [*own, *below], upstream=False, depth=None)
    written, further = _written(question, own), _written(question, below)
    runs, _ = walk_datasets(question, written, upstream=False, depth=None)
    own_jobs = jobs_of(question, own)
    known = {job.job for job in own_jobs}
    graph = job_graph(question, start, own, "down", None)
    return FailureRadius(
        graph=graph,
        own_operations=len(own),
        own_states=_states(question, own),
        operations=len(below),
        states=_states(question, below),
        possible_operations=len(possible),
        possible_states=_states(question, possible),
        nearest=_nearest(question, own, limit),
        dags=_dags(jobs_of(question, below), {job.dag_id for job in own_jobs}),
        records=_records(question, [*own, *below]),
        datasets=_told(question, written, "it")
        + _told(question, [d for d in further if d not in written], "downstream"),
        readers=[job for job in jobs_of(question, runs) if job.job not in known],
        artifacts=graph.artifacts,
    )


def _nearest(question: Question, own: Sequence[int], limit: int) -> list[OperationNode]:
    starts = [(operation, WHOLE) for operation in own]
    reached = walk(question, starts, upstream=False, depth=None, limit=len(own) + limit)
    reached.distances = {operation: hops for operation, hops in reached.distances.items() if hops}
    return operation_nodes(question, reached)


def _written(question: Question, operations: Sequence[int]) -> list[Dataset]:
    rows = question.rows("other_datasets", operations=operations, direction="output")
    return [(row["namespace"], row["name"]) for row in rows]


def _told(question: Question, datasets: Sequence[Dataset], written_by: str) -> list[dict[str, Any]]:
    return [
        {
            "namespace": namespace,
            "name": name,
            "written_by": written_by,
            "marquez_url": question.dataset_page(namespace, name),
        }
        for namespace, name in datasets
    ]


def _states(question: Question, operations: Sequence[int]) -> dict[str, int]:
    (row,) = question.rows("states_of_operations", operations=operations)
    return {state: count for state, count in row.items() if count}


def _records(question: Question, operations: Sequence[int]) -> dict[str, int]:
    rows = question.rows("records_of_operations", operations=operations)
    chunks = sum(row["chunks"] for row in rows)
    return {row["kind"]: row["records"] for row in rows} | ({"chunk": int(chunks)} if chunks else {})


def _dags(jobs: Sequence[JobNode], own: set[str | None]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        if job.dag_id is None or job.dag_id in own:
            continue
        dag = found.setdefault(job.dag_id, {"dag_id": job.dag_id, "tasks": [], "operations": 0, "hidden": 0})
        if job.task_id and job.task_id not in dag["tasks"]:
            dag["tasks"].append(job.task_id)
        dag["operations"] += job.runs
        dag["hidden"] += job.hidden
    return list(found.values())
