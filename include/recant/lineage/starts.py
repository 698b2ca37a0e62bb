"""Where a question of lineage starts: a dataset, a document, an operation, a position, a run, a DAG or one of its tasks."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from recant.errors import UnknownOperation, UsageError
from recant.lineage.naming import COLLECTION_PREFIX, collection_dataset, source_dataset
from recant.lineage.question import Question
from recant.settings import Settings
from recant.store import load

Dataset = tuple[str, str]
Target = tuple[int, int]
"""An operation, and one of its records or WHOLE."""
WHOLE = 0
MOST_STARTS = 1_000_000
_CONDITIONS = {"operation": "by_operation", "at": "by_position", "run": "by_run", "dag": "by_dag", "task": "by_task"}
_AIRFLOW = {"run", "dag", "task"}
_SQL = load(__package__, "graph.sql")
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Start:
    """One of these; a run may be narrowed to a DAG or a task, as Airflow's run ids repeat from DAG to DAG."""

    dataset: str | Dataset | None = None
    """(namespace, name), or a collection's name, a path, an address, or any dataset's name that is unambiguous."""
    document: str | None = None
    """A document's source."""
    operation: int | None = None
    position: int | None = None
    """The operation published there."""
    run: str | None = None
    """Airflow's run id, or the OpenLineage run id of an operation, of the task that made it or of its DAG run."""
    dag: str | None = None
    task: str | None = None
    """DAG and task, "ingest_documents.publish"; the task alone where `dag` is given."""

    def __post_init__(self) -> None:
        if len(self.given) != 1 and not (self.given and self.given.keys() <= _AIRFLOW):
            raise UsageError(
                "Say where to start: one of dataset, document, operation, position, run, dag, task "
                "(of these, run, dag and task narrow each other)."
            )
        if self.task is not None and self.dag is None and not all(self.task.partition(".")):
            raise UsageError(f"task {self.task!r}: must be DAG.TASK, ingest_documents.publish for one.")

    @property
    def given(self) -> dict[str, Any]:
        """What was said."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def is_of_airflow(self) -> bool:
        """Whether it is a DAG, a task or a run."""
        return not self.given.keys().isdisjoint(_AIRFLOW)


def find_operations(question: Question, start: Start) -> list[int]:
    """The operations that a start other than a dataset or a document means, newest first. Raises UnknownOperation."""
    dag, _, task = (start.dag, "", start.task) if start.dag or not start.task else start.task.partition(".")
    given = {
        "operation": _possible(start.operation),
        "at": _possible(start.position),
        "run": start.run,
        "run_uuid": _uuid(start.run),
        "dag": dag,
        "task": task,
    }
    named = [name for name, value in given.items() if value is not None and name in _CONDITIONS]
    condition = " AND ".join(_SQL[_CONDITIONS[name]] for name in named)
    rows = question.run(_SQL["find_operations"].format(condition=condition), limit=MOST_STARTS, **given)
    if not rows:
        raise UnknownOperation(f"The log has no operation of {_said(start)}{_then(question)}.")
    return [row["id"] for row in rows]


def find_document(question: Question, source: str) -> list[Target]:
    """What wrote a document, newest first, with its record. Raises UsageError when nothing ever did."""
    records = [row["id"] for row in question.rows("find_document", source=source)]
    rows = question.rows("find_document_operations", records=records, limit=MOST_STARTS)
    if not rows:
        raise UsageError(f"There is no document {source!r}{_then(question)}.")
    return [(row["id"], row["record_id"]) for row in rows]


def find_dataset(question: Question, wanted: str | Dataset) -> Dataset:
    """The dataset that is meant. Raises UsageError when there is none, or several of that name."""
    if not isinstance(wanted, str):
        if found := _known(question, [(wanted[0], wanted[1])]):
            return found[0]
        raise UsageError(f"No operation reads or writes a dataset {wanted[1]!r} in {wanted[0]!r}.")
    if found := _known(question, _readings(question.settings, wanted)):
        return found[0]
    rows = question.rows("datasets_called", names=[wanted, f"{COLLECTION_PREFIX}{wanted}"])
    if len(rows) > 1:
        several = ", ".join(f"{row['name']} in {row['namespace']}" for row in rows[:5])
        raise UsageError(f"Several datasets are called {wanted!r}: {several}. Give the namespace, too.")
    if not rows:
        raise UsageError(f"No operation reads or writes a dataset {wanted!r}: `recant lineage show` lists them all.")
    return rows[0]["namespace"], rows[0]["name"]


def _readings(settings: Settings, wanted: str) -> list[Dataset]:
    """A name as a collection's, as a source's, as a path's that is relative, and with its namespace in front."""
    found = [collection_dataset(settings, wanted), source_dataset(settings, wanted)]
    found.append(source_dataset(settings, os.path.abspath(wanted)))
    return found + [(wanted[:i], wanted[i + 1 :]) for i, letter in enumerate(wanted) if letter in ": "]


def _known(question: Question, datasets: list[Dataset]) -> list[Dataset]:
    rows = question.rows("known_datasets", namespaces=[d[0] for d in datasets], names=[d[1] for d in datasets])
    known = {(row["namespace"], row["name"]) for row in rows}
    return [dataset for dataset in datasets if dataset in known]


def _possible(number: int | None) -> int | None:
    """An id that can't be is nobody's."""
    return number if number is None or abs(number) <= _LARGEST_ID else 0


def _uuid(text: str | None) -> str | None:
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        return None


def _said(start: Start) -> str:
    return " and ".join(f"{name} {value!r}" for name, value in start.given.items())


def _then(question: Question) -> str:
    return "" if question.now else f" as of position {question.position}"
