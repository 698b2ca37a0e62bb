"""Small histories with lineage: operations that read and write datasets, are built on each other, and belong to DAGs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recant.artifacts import Artifacts
from recant.lineage import collection_dataset, source_dataset
from recant.lineage.answers import Lineage
from recant.oplog import Attribution, Dataset
from recant.settings import Settings, read_settings
from tests.integration.library import Library

SETTINGS = read_settings({"MARQUEZ_WEB_URL": "http://marquez.example:3000/"})


def lineage_of(library: Library, settings: Settings = SETTINGS) -> Lineage:
    """The questions of a library's database."""
    return Lineage(library.database, settings)


def of_dag(dag: str, run: str = "manual__1", task: str = "publish", **changes: Any) -> Attribution:
    """What an operator's operation says of itself."""
    context = {
        "dag_id": dag,
        "dag_run_id": run,
        "task_id": task,
        "parent_run_id": "01900000-0000-7000-8000-000000000001",
        "parent_job_name": f"{dag}.{task}",
        "parent_job_namespace": "recant",
        "root_run_id": "01900000-0000-7000-8000-000000000002",
    }
    return Attribution("airflow", run_id=run, context=context | changes)


def begin(
    library: Library,
    *,
    by: Attribution | None = None,
    kind: str = "ingest",
    reads: Iterable[str] = (),
    writes: Iterable[str] = (),
    changes_library: bool = True,
) -> int:
    """An open operation; what it reads and writes are sources by their origin, and the library's own collection."""
    own = collection_dataset(SETTINGS, library.collection.name)
    datasets = [Dataset("input", *_dataset(library, origin)) for origin in reads]
    datasets += [Dataset("output", *_dataset(library, origin)) for origin in writes]
    if changes_library:
        datasets.append(Dataset("output", *own))
    who = by or Attribution("alice")
    return library.log.open(kind, who, collection=library.collection.name, datasets=datasets)


def publish(
    library: Library,
    documents: dict[str, str | None],
    built_on: dict[str, str] | None = None,
    **how: Any,
) -> int:
    """A published operation that wrote these documents; `built_on`: source to class of dependency."""
    operation = begin(library, **how)
    if documents:
        library.write(operation, documents)
    for source, kind in (built_on or {}).items():
        library.build_on(operation, source, kind)
    library.log.publish(operation)
    return operation


def export(library: Library, path: str) -> int:
    """An artifact that holds what is seen now; its id."""
    operation = begin(library, kind="export", writes=[path], changes_library=False)
    batch, position = library.log.begin_batch(operation, "file"), library.log.position()
    file = {"kind": "export", "path": Path(path), "format": "csv", "position": position, "read_position": position}
    found = Artifacts(library.database).record(batch, **file, sha256="0" * 64, size_bytes=1, files=[])
    library.log.finish_batch(batch, {})
    library.log.publish(operation)
    return found


def _dataset(library: Library, origin: str) -> tuple[str, str]:
    if origin == library.name:
        return collection_dataset(SETTINGS, origin)
    return source_dataset(SETTINGS, origin)
