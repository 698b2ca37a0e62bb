"""Questions of lineage, answered from the log alone: run by run, in either direction, as of any position.

Offers what a person would look up in Marquez, and what Marquez can't tell: what was built on one run, as of an earlier
position, with what was reverted or quarantined marked so. Kept out: what taking it back would do (`recant.rollback`).
"""

from __future__ import annotations

from typing import Any

from recant.errors import UsageError
from recant.lineage.failure import FailureRadius, failure_radius
from recant.lineage.graph import Direction, LineageGraph
from recant.lineage.jobs import dataset_graph, job_graph, overview_graph
from recant.lineage.question import ask
from recant.lineage.runs import starts_of, trace_dataset, trace_operations
from recant.lineage.starts import Dataset, Start, find_dataset
from recant.oplog import Moment
from recant.settings import Settings
from recant.store import Database

LIMIT = 1_000
MOST = 100_000


class Lineage:
    """The lineage of one database. Every answer is read in one snapshot; `as_of` is a position, a tag or a time.

    A hidden operation is part of every answer, in the state that it had as of the position.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    def trace(
        self,
        start: Start,
        *,
        direction: Direction = "both",
        depth: int | None = None,
        as_of: Moment | None = None,
        limit: int = LIMIT,
        possible: bool = True,
    ) -> LineageGraph:
        """Run by run: what was built on it (down), what it was built on (up), and the datasets written and read.

        `depth` counts hops between operations; None: all. At most `limit` operations each way, the nearest; `truncated`
        says whether there are more. A document is followed by itself: of operations that wrote others as well, only
        what was made from it. `possible`: what a session wrote after it was shown something counts as possibly built on
        it, over one read at most. Raises UsageError, UnknownOperation.
        """
        _require(direction, depth, limit)
        with self.database.snapshot() as connection:
            question = ask(connection, self.settings, as_of)
            if start.dataset is not None:
                return trace_dataset(
                    question, find_dataset(question, start.dataset), direction, depth, limit, possible=possible
                )
            return trace_operations(question, start, direction, depth, limit, possible=possible)

    def upstream(self, start: Start, **options: Any) -> LineageGraph:
        """What it was built on, with the options of `trace`."""
        return self.trace(start, direction="up", **options)

    def downstream(self, start: Start, **options: Any) -> LineageGraph:
        """What was built on it, with the options of `trace`."""
        return self.trace(start, direction="down", **options)

    def jobs(
        self,
        start: Start,
        *,
        direction: Direction = "both",
        depth: int | None = None,
        as_of: Moment | None = None,
        possible: bool = True,
    ) -> LineageGraph:
        """The same with one node for all operations of a job, each of them counted, without a limit.

        The operations of a document count whole here. Of a dataset, it is `get_dataset_lineage`. With a `depth` a read is
        followed by so many hops, wherever on the way it is.
        """
        _require(direction, depth)
        if start.dataset is not None:
            return self.get_dataset_lineage(start.dataset, direction=direction, depth=depth, as_of=as_of)
        with self.database.snapshot() as connection:
            question = ask(connection, self.settings, as_of)
            own = [operation for operation, _ in starts_of(question, start)]
            return job_graph(question, start, own, direction, depth, possible=possible)

    def get_dag_lineage(
        self,
        dag: str,
        *,
        task: str | None = None,
        run: str | None = None,
        direction: Direction = "both",
        depth: int | None = None,
        as_of: Moment | None = None,
    ) -> LineageGraph:
        """The jobs of a DAG (of one task or run of it), their datasets, and the jobs up and down from them.

        Raises UnknownOperation when the log knows no operation of it.
        """
        return self.jobs(Start(dag=dag, task=task, run=run), direction=direction, depth=depth, as_of=as_of)

    def get_dataset_lineage(
        self,
        dataset: str | Dataset,
        *,
        direction: Direction = "both",
        depth: int | None = None,
        as_of: Moment | None = None,
    ) -> LineageGraph:
        """From dataset to dataset: the jobs that read and wrote it, what else these wrote and read, and so on.

        `depth` counts hops between datasets. Every run counts, not each job's latest only; runs that failed or are open
        count as `unpublished`, unless the question is about the past. Raises UsageError.
        """
        _require(direction, depth)
        with self.database.snapshot() as connection:
            question = ask(connection, self.settings, as_of)
            return dataset_graph(question, find_dataset(question, dataset), direction, depth)

    def get_failure_blast_radius(
        self,
        *,
        dag: str | None = None,
        task: str | None = None,
        run: str | None = None,
        as_of: Moment | None = None,
        limit: int = 100,
    ) -> FailureRadius:
        """What is downstream of a DAG, a task (DAG.TASK) or a run that failed or was bad.

        At most `limit` operations are named; all are counted. Raises UnknownOperation, UsageError.
        """
        start = Start(dag=dag, task=task, run=run)
        _require("down", limit=limit)
        with self.database.snapshot() as connection:
            return failure_radius(ask(connection, self.settings, as_of), start, limit)

    def overview(self, *, as_of: Moment | None = None) -> LineageGraph:
        """Every dataset and every job."""
        with self.database.snapshot() as connection:
            return overview_graph(ask(connection, self.settings, as_of))


def _require(direction: str, depth: int | None = None, limit: int = LIMIT) -> None:
    if direction not in ("up", "down", "both"):
        raise UsageError(f"direction {direction!r}: must be up, down or both")
    if depth is not None and depth < 1:
        raise UsageError(f"depth {depth}: must be 1 or more, or None for all")
    if not 1 <= limit <= MOST:
        raise UsageError(f"limit {limit}: must be from 1 to {MOST:,}")
