"""What a question of lineage is answered with: operations or jobs, datasets and artifacts, and what leads to what.

Two levels. At the level of runs each operation is a node, and is tied to those it was built on by what the log noted at
the time of the write. At the level of jobs the operations of one task, or of one kind and collection, are one node with
a count: what a page of Marquez shows, but of every run and as of any position.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from recant.lineage.naming import is_collection

Direction = Literal["up", "down", "both"]
Level = Literal["runs", "jobs"]
Certainty = Literal["definite", "possible"]


@dataclass(frozen=True, slots=True)
class OperationNode:
    """One operation, in the state it was in as of the answer's position."""

    operation_id: int
    position: int | None
    kind: str
    agent: str
    session: str | None
    run_id: str | None
    lineage_run_id: str
    collection: str | None
    message: str
    dag_id: str | None
    dag_run_id: str | None
    task_id: str | None
    job: str
    """Its OpenLineage job."""
    published_at: str | None
    state: str
    """published, reverted, quarantined, open or aborted."""
    withheld_records: int
    """Records of it that a narrower rollback or quarantine hides."""
    distance: int
    """Hops from where the question starts: 0 there, above it downstream, below it upstream."""
    records: tuple[str, ...] = ()
    """The documents of it that are meant; none named: all of it."""
    certainty: Certainty = "definite"
    """possible: each way there leads over a read: a session was shown something, and wrote then."""
    marquez_url: str | None = None

    @property
    def node_id(self) -> str:
        """Its name in `edges`."""
        return f"operation:{self.operation_id}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with its node."""
        return {"node": self.node_id} | asdict(self)


@dataclass(frozen=True, slots=True)
class JobNode:
    """The operations of one job that are in the answer."""

    job: str
    kind: str
    collection: str | None
    dag_id: str | None
    task_id: str | None
    runs: int
    hidden: int
    """Of the runs, those that are reverted or quarantined."""
    unpublished: int
    """Of the runs, those that are open or were aborted."""
    possible: int
    """Of the runs, those that only a read leads to."""
    last_position: int | None
    last_operation: int
    agents: tuple[str, ...]
    marquez_url: str | None = None

    @property
    def node_id(self) -> str:
        """Its name in `edges`."""
        return f"job:{self.job}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with its node."""
        return {"node": self.node_id} | asdict(self)


@dataclass(frozen=True, slots=True)
class DatasetNode:
    """An OpenLineage dataset."""

    namespace: str
    name: str
    marquez_url: str | None = None

    @property
    def node_id(self) -> str:
        """Its name in `edges`, as Marquez has it."""
        return dataset_id(self.namespace, self.name)

    @property
    def collection(self) -> str | None:
        """The collection that it is, if it is one."""
        return self.name.split(".", 2)[2] if is_collection(self.namespace, self.name) else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with its node."""
        return {"node": self.node_id} | asdict(self)


@dataclass(frozen=True, slots=True)
class Edge:
    """From what was there before to what was made with it."""

    source: str
    target: str
    relation: str
    """read (dataset to operation), wrote (operation to dataset), holds (operation to artifact); between operations the
    class of the dependency: derived, referenced, affirmed, decided, cited; or shown (to a session, before it wrote)."""
    count: int = 1
    """How many runs, or pairs of runs, it stands for."""

    @property
    def certainty(self) -> Certainty:
        """possible: that the one may have been built on the other, as its session was shown it."""
        return "possible" if self.relation == "shown" else "definite"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"certainty": self.certainty}


@dataclass(frozen=True, slots=True)
class LineageGraph:
    """An answer from the log at `position`. Nodes and edges are in a steady order: the same question, the same answer."""

    start: dict[str, Any]
    """What was asked about; empty: everything."""
    direction: Direction
    depth: int | None
    position: int
    level: Level
    operations: list[OperationNode] = field(default_factory=list)
    jobs: list[JobNode] = field(default_factory=list)
    datasets: list[DatasetNode] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    """Files that hold what is in the answer, the newest: artifact_id, kind, path, format, position, collection, state
    (today's), operation_id (its maker), holds (operations)."""
    edges: list[Edge] = field(default_factory=list)
    truncated: bool = False
    """Whether there is more than the limit allowed to show; what is nearest was kept."""

    @property
    def start_nodes(self) -> list[str]:
        """The nodes that the question starts at."""
        if "dataset" in self.start:
            return [dataset_id(**self.start["dataset"])]
        return [o.node_id for o in self.operations if o.distance == 0] or list(self.start.get("jobs", ()))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        nodes = {name: [n.to_dict() for n in getattr(self, name)] for name in ("operations", "jobs", "datasets")}
        return {
            "start": self.start,
            "direction": self.direction,
            "depth": self.depth,
            "position": self.position,
            "level": self.level,
            **nodes,
            "artifacts": self.artifacts,
            "edges": [edge.to_dict() for edge in self.edges],
            "truncated": self.truncated,
        }


def dataset_id(namespace: str, name: str) -> str:
    """A dataset's node."""
    return f"dataset:{namespace}:{name}"


def marquez_page(web_url: str | None, node: Literal["dataset", "job"], namespace: str, name: str) -> str | None:
    """Where Marquez's web page shows a dataset or a job; None where no such page is configured."""
    if not web_url:
        return None
    return f"{web_url.rstrip('/')}/lineage/{node}/{quote(namespace, safe='')}/{quote(name, safe='')}"
