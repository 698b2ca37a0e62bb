"""What ties the nodes of an answer, as it is met."""

from __future__ import annotations

from dataclasses import dataclass, field

from recant.lineage.graph import DatasetNode, Edge, dataset_id
from recant.lineage.question import Question
from recant.lineage.starts import Dataset


@dataclass(slots=True)
class Ties:
    """Datasets and edges as they are met; an edge that is met again counts up."""

    datasets: dict[str, Dataset] = field(default_factory=dict)
    counts: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def add(self, source: str, target: str, relation: str, count: int = 1) -> None:
        """One more edge, or more of one."""
        key = (source, target, relation)
        self.counts[key] = self.counts.get(key, 0) + count

    def dataset(self, dataset: Dataset) -> str:
        """A dataset's node."""
        node = dataset_id(*dataset)
        self.datasets[node] = dataset
        return node

    def touch(self, node: str, direction: str, dataset: str, count: int = 1) -> None:
        """That a job or an operation read or wrote a dataset."""
        self.add(*((dataset, node, "read") if direction == "input" else (node, dataset, "wrote")), count)

    def edges(self, *, counted: bool = True) -> list[Edge]:
        """All of them, in the order in which they were met."""
        return [Edge(*key, count if counted else 1) for key, count in self.counts.items()]

    def nodes(self, question: Question) -> list[DatasetNode]:
        """The datasets met, with their pages."""
        return [DatasetNode(*dataset, question.dataset_page(*dataset)) for dataset in self.datasets.values()]
