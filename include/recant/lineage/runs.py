"""Lineage with one node an operation: what was built on what, by what the log noted at the time of each write."""

from __future__ import annotations

from typing import Any

from recant.lineage.graph import Direction, LineageGraph, OperationNode
from recant.lineage.holdings import artifacts_of, tie_to_operations
from recant.lineage.jobs import job_of, ways
from recant.lineage.possible import follow_reads
from recant.lineage.question import Question
from recant.lineage.starts import WHOLE, Dataset, Start, Target, find_document, find_operations
from recant.lineage.ties import Ties
from recant.lineage.walk import Reached, walk

_SHOWN = {"input": True, "output": False}
"""Which datasets are shown on which way: downstream those that were written, upstream those that were read."""


def trace_operations(
    question: Question, start: Start, direction: Direction, depth: int | None, limit: int, *, possible: bool = True
) -> LineageGraph:
    """From operations, or from a document of theirs. `possible`: over reads as well."""
    starts, walks = starts_of(question, start), {}
    for upstream in ways(direction):
        walks[upstream] = walk(question, starts, upstream=upstream, depth=depth, limit=limit)
        if possible:
            follow_reads(question, walks[upstream], upstream=upstream, depth=depth, limit=limit)
    return _graph(question, start.given, walks, Ties(), direction, depth)


def trace_dataset(
    question: Question, dataset: Dataset, direction: Direction, depth: int | None, limit: int, *, possible: bool = True
) -> LineageGraph:
    """From a dataset: the first hop leads to those that read it, or that wrote it, the newest first."""
    namespace, name = dataset
    ties, walks = Ties(), {}
    node = ties.dataset(dataset)
    for upstream in ways(direction):
        said, step = ("output", -1) if upstream else ("input", 1)
        rows = question.rows("operations_of_dataset", namespace=namespace, name=name, direction=said, limit=limit + 1)
        starts = [(row["id"], WHOLE) for row in rows]
        further = None if depth is None else depth - 1
        reached = walk(question, starts, upstream=upstream, depth=further, limit=limit)
        if possible:
            follow_reads(question, reached, upstream=upstream, depth=further, limit=limit)
        reached.distances = {operation: distance + step for operation, distance in reached.distances.items()}
        for operation, _ in starts[:limit]:
            ties.touch(f"operation:{operation}", said, node)
        walks[upstream] = reached
    start = {"dataset": {"namespace": namespace, "name": name}}
    return _graph(question, start, walks, ties, direction, depth)


def starts_of(question: Question, start: Start) -> list[Target]:
    """The operations that a start means; of a document, only that record of each."""
    if start.document is not None:
        return find_document(question, start.document)
    return [(operation, WHOLE) for operation in find_operations(question, start)]


def operation_nodes(question: Question, reached: Reached) -> list[OperationNode]:
    """The operations of a walk, the nearest first."""
    found = []
    for row in question.rows("describe", operations=list(reached.distances)):
        number, job = row["operation_id"], job_of(row)
        del row["parent_job_name"]
        records, page = tuple(sorted(reached.records.get(number, ()))), question.job_page(job)
        distance, certainty = reached.distances[number], reached.certainty(number)
        found.append(
            OperationNode(job=job, distance=distance, records=records, certainty=certainty, marquez_url=page, **row)
        )
    return sorted(found, key=lambda node: (abs(node.distance), node.operation_id))


def _graph(
    question: Question,
    start: dict[str, Any],
    walks: dict[bool, Reached],
    ties: Ties,
    direction: Direction,
    depth: int | None,
) -> LineageGraph:
    together = Reached()
    definite = {o for reached in walks.values() for o in reached.distances if o not in reached.possible}
    together.possible = {o for reached in walks.values() for o in reached.possible} - definite
    for reached in walks.values():
        together.distances = reached.distances | together.distances
        for operation, sources in reached.records.items():
            together.records.setdefault(operation, set()).update(sources)
        together.edges |= reached.edges
        ties.datasets |= reached.files
    for edge in together.edges:
        ties.add(edge.source, edge.target, edge.relation)
    _touch(question, ties, walks, list(together.distances))
    artifacts = artifacts_of(question, walks[False].distances) if False in walks else []
    tie_to_operations(ties, artifacts, together.distances)
    return LineageGraph(
        start=start,
        direction=direction,
        depth=depth,
        position=question.position,
        level="runs",
        operations=operation_nodes(question, together),
        datasets=ties.nodes(question),
        artifacts=artifacts,
        edges=ties.edges(counted=False),
        truncated=any(reached.truncated for reached in walks.values()),
    )


def _touch(question: Question, ties: Ties, walks: dict[bool, Reached], operations: list[int]) -> None:
    for row in question.rows("datasets_of_operations", operations=operations):
        way = walks.get(_SHOWN[row["direction"]])
        if way is not None and row["operation_id"] in way.distances:
            node = ties.dataset((row["namespace"], row["name"]))
            ties.touch(f"operation:{row['operation_id']}", row["direction"], node)
