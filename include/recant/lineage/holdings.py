"""Files that hold what an answer is about: archives and exports, which are built on nothing and depend on nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from recant.lineage.naming import collection_dataset, is_collection
from recant.lineage.question import Question
from recant.lineage.ties import Ties

MOST_FILES = 100


def artifacts_of(question: Question, operations: Collection[int]) -> list[dict[str, Any]]:
    """artifact_id, kind, path, format, position, collection, state (today's), operation_id (its maker), holds."""
    if not operations:
        return []
    return [
        dict(row) for row in question.rows("artifacts_of_operations", operations=list(operations), limit=MOST_FILES)
    ]


def tie_to_operations(ties: Ties, artifacts: Sequence[dict[str, Any]], distances: Mapping[int, int]) -> None:
    """Each to the nearest of the operations that it holds."""
    for artifact in artifacts:
        nearest = min(abs(distances[operation]) for operation in artifact["holds"])
        for operation in artifact["holds"]:
            if abs(distances[operation]) == nearest:
                ties.add(f"operation:{operation}", artifact_node(artifact), "holds")


def tie_to_datasets(question: Question, ties: Ties, artifacts: Sequence[dict[str, Any]], starts: Sequence[str]) -> None:
    """Each to its collection (to all, where it holds all), or to the start where that isn't in the answer."""
    collections = {node: dataset for node, dataset in ties.datasets.items() if is_collection(*dataset)}
    for artifact in artifacts:
        named = artifact["collection"] and collection_dataset(question.settings, artifact["collection"])
        held = [node for node, dataset in collections.items() if named in (None, dataset)]
        for node in held or starts:
            ties.add(node, artifact_node(artifact), "holds")


def artifact_node(artifact: Mapping[str, Any]) -> str:
    """Its name in `edges`."""
    return f"artifact:{artifact['artifact_id']}"
