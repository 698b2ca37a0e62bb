"""Lineage with one node a job: counted on the server, so that a million runs take no more to show than ten."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from recant.lineage.graph import Direction, JobNode, LineageGraph, dataset_id
from recant.lineage.holdings import artifacts_of, tie_to_datasets
from recant.lineage.naming import is_collection, job_name
from recant.lineage.possible import possible_reach
from recant.lineage.question import Question
from recant.lineage.starts import Dataset, Start
from recant.lineage.ties import Ties
from recant.lineage.walk import reach


def ways(direction: Direction) -> list[bool]:
    """Whether to go upstream, and whether downstream."""
    return {"up": [True], "down": [False], "both": [True, False]}[direction]


def job_graph(
    question: Question,
    start: Start,
    own: Sequence[int],
    direction: Direction,
    depth: int | None,
    *,
    possible: bool = True,
) -> LineageGraph:
    """The jobs of these operations first, then those that they lead to; every operation is counted."""
    met = {upstream: reach(question, own, upstream=upstream, depth=depth) for upstream in ways(direction)}
    definite = {operation for found in met.values() for operation in found}
    maybe: set[int] = set()
    for upstream, found in met.items():
        further = possible_reach(question, own, found, upstream=upstream, depth=depth) if possible else []
        maybe.update(set(further) - definite)
        met[upstream] = sorted({*found, *further})
    above, below = met.get(True, []), met.get(False, [])
    ties = Ties()
    touch_datasets(question, ties, above, "input")
    touch_datasets(question, ties, below, "output")
    files = {node for node, dataset in ties.datasets.items() if not is_collection(*dataset)}
    touch_datasets(question, ties, set(below).difference(above), "input", only=files)
    touch_datasets(question, ties, set(above).difference(below), "output", only=files)
    everything = sorted({*above, *below})
    link_jobs(question, ties, everything)
    names = [job.node_id for job in jobs_of(question, own)]
    artifacts = artifacts_of(question, below)
    tie_to_datasets(question, ties, artifacts, names)
    return LineageGraph(
        start=start.given | {"jobs": names},
        direction=direction,
        depth=depth,
        position=question.position,
        level="jobs",
        jobs=sorted(jobs_of(question, everything, possible=maybe), key=lambda job: job.node_id not in names),
        datasets=ties.nodes(question),
        artifacts=artifacts,
        edges=ties.edges(),
    )


def dataset_graph(question: Question, dataset: Dataset, direction: Direction, depth: int | None) -> LineageGraph:
    """From dataset to dataset. What is met on the way is tied together by all its runs."""
    ties = Ties()
    operations: dict[int, None] = {}
    datasets = {ties.dataset(dataset): dataset}
    for upstream in ways(direction):
        runs, others = walk_datasets(question, [dataset], upstream=upstream, depth=depth)
        operations |= runs
        datasets |= {dataset_id(*other): other for other in others}
    touch_datasets(question, ties, operations, "input", only=datasets)
    touch_datasets(question, ties, operations, "output", only=datasets)
    return LineageGraph(
        start={"dataset": {"namespace": dataset[0], "name": dataset[1]}},
        direction=direction,
        depth=depth,
        position=question.position,
        level="jobs",
        jobs=jobs_of(question, operations),
        datasets=ties.nodes(question),
        edges=ties.edges(),
    )


def overview_graph(question: Question) -> LineageGraph:
    """Every dataset and every job."""
    (row,) = question.rows("every_operation")
    ties = Ties()
    touch_datasets(question, ties, row["operations"], "input")
    touch_datasets(question, ties, row["operations"], "output")
    jobs, datasets = jobs_of(question, row["operations"]), ties.nodes(question)
    return LineageGraph({}, "both", None, question.position, "jobs", jobs=jobs, datasets=datasets, edges=ties.edges())


def job_of(row: Mapping[str, Any], prefix: str = "") -> str:
    """The OpenLineage job that an operation of these columns is a run of."""
    return _job_name(row[f"{prefix}kind"], row[f"{prefix}collection"], row[f"{prefix}parent_job_name"])


_job_name = lru_cache(maxsize=10_000)(job_name)


def jobs_of(question: Question, operations: Collection[int], *, possible: Collection[int] = ()) -> list[JobNode]:
    """The jobs of these operations, in the order in which they first ran; `possible`: those that only a read leads to."""
    found: dict[str, JobNode] = {}
    for row in question.rows("jobs_of_operations", operations=list(operations), possible=list(possible)):
        name = job_of(row)
        row["agents"] = tuple(row["agents"])
        del row["parent_job_name"]
        job = JobNode(job=name, marquez_url=question.job_page(name), **row)
        found[name] = _together(found[name], job) if name in found else job
    return list(found.values())


def touch_datasets(
    question: Question,
    ties: Ties,
    operations: Collection[int],
    direction: str,
    *,
    only: Collection[str] | None = None,
) -> None:
    """What these operations' jobs read (input) or wrote (output); of the datasets `only` these nodes."""
    for row in question.rows("datasets_of_jobs", operations=list(operations), direction=direction):
        dataset = (row["namespace"], row["name"])
        if only is None or dataset_id(*dataset) in only:
            ties.touch(f"job:{job_of(row)}", direction, ties.dataset(dataset), row["runs"])


def link_jobs(question: Question, ties: Ties, operations: Collection[int]) -> None:
    """Which jobs' operations were built on which jobs', and which may have been."""
    given = list(operations)
    for row in question.rows("links_of_jobs", operations=given) + question.rows("reads_of_jobs", operations=given):
        ties.add(f"job:{job_of(row, 'via_')}", f"job:{job_of(row)}", row["relation"], row["links"])


def walk_datasets(
    question: Question, starts: Sequence[Dataset], *, upstream: bool, depth: int | None
) -> tuple[dict[int, None], dict[Dataset, None]]:
    """From dataset to dataset, by what the runs that read (or wrote) one wrote (or read): the runs, and the datasets."""
    operations: dict[int, None] = {}
    datasets = dict.fromkeys(starts)
    frontier, hop = list(starts), 0
    here, there = ("output", "input") if upstream else ("input", "output")
    while frontier and (depth is None or hop < depth):
        hop += 1
        pairs = {"namespaces": [d[0] for d in frontier], "names": [d[1] for d in frontier]}
        (row,) = question.rows("operations_touching", direction=here, **pairs)
        new = [operation for operation in row["operations"] or () if operation not in operations]
        operations |= dict.fromkeys(new)
        others = question.rows("other_datasets", operations=new, direction=there)
        frontier = [d for row in others if (d := (row["namespace"], row["name"])) not in datasets]
        datasets |= dict.fromkeys(frontier)
    return operations, datasets


def _together(a: JobNode, b: JobNode) -> JobNode:
    """One job whose runs differ in what their context says of their task."""
    positions = [position for position in (a.last_position, b.last_position) if position is not None]
    return replace(
        a,
        dag_id=a.dag_id or b.dag_id,
        task_id=a.task_id or b.task_id,
        runs=a.runs + b.runs,
        hidden=a.hidden + b.hidden,
        unpublished=a.unpublished + b.unpublished,
        possible=a.possible + b.possible,
        last_position=max(positions, default=None),
        last_operation=max(a.last_operation, b.last_operation),
        agents=tuple(sorted({*a.agents, *b.agents})),
    )
