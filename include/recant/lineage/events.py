"""An event from the log alone: the same row gives the same event, whenever and however often it is delivered.

So an event tells what was true at its moment: a START knows no position and no counts, a COMPLETE stays "published"
after the operation was rolled back (the rollback is a run of its own). Inputs and outputs are the same on both, as
Marquez takes a job's edges from its last event.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.serde import Serde

from recant.json_types import JSON
from recant.lineage.dataset_facets import input_dataset_facets, input_facets, output_dataset_facets, output_facets
from recant.lineage.facets import job_facets, parent_facet, run_facets
from recant.lineage.naming import job_name, logical_name
from recant.lineage.producer import PRODUCER


def render_event(row: Mapping[str, Any], *, namespace: str) -> dict[str, JSON]:
    """An OpenLineage 2-0-2 RunEvent, JSON-ready, from a row of the query `read_events`.

    `namespace` is the configured lineage namespace. The run id is the operation's, so that a consumer recognises a
    second delivery by run and type.
    """
    parent = parent_facet(row["context"])
    name = job_name(row["kind"], row["collection"], parent.job.name if parent else None)
    event = RunEvent(
        eventType=RunState[row["event_type"]],
        eventTime=_instant(row["event_time"]),
        run=Run(runId=row["lineage_run_id"], facets=run_facets(row)),
        job=Job(namespace=logical_name(namespace), name=name, facets=job_facets(row)),
        inputs=[_input(dataset, row) for dataset in row["datasets"] if dataset["direction"] == "input"],
        outputs=[_output(dataset, row) for dataset in row["datasets"] if dataset["direction"] == "output"],
        producer=PRODUCER,
    )
    return cast("dict[str, JSON]", Serde.to_dict(event))


def _input(dataset: Mapping[str, Any], row: Mapping[str, Any]) -> InputDataset:
    return InputDataset(
        namespace=dataset["namespace"],
        name=dataset["name"],
        facets=input_facets(dataset, row),
        inputFacets=input_dataset_facets(dataset, row),
    )


def _output(dataset: Mapping[str, Any], row: Mapping[str, Any]) -> OutputDataset:
    return OutputDataset(
        namespace=dataset["namespace"],
        name=dataset["name"],
        facets=output_facets(dataset, row),
        outputFacets=output_dataset_facets(dataset, row),
    )


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
