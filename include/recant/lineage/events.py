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
from openlineage.client.facet_v2 import DatasetFacet, OutputDatasetFacet, output_statistics_output_dataset
from openlineage.client.serde import Serde

from recant.json_types import JSON
from recant.lineage.facets import (
    PRODUCER,
    assertions_facet,
    job_facets,
    parent_facet,
    run_facets,
    schema_facet,
    version_facet,
)
from recant.lineage.naming import is_collection, job_name, logical_name


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
        inputs=[_input(dataset) for dataset in row["datasets"] if dataset["direction"] == "input"],
        outputs=[_output(dataset, row) for dataset in row["datasets"] if dataset["direction"] == "output"],
        producer=PRODUCER,
    )
    return cast("dict[str, JSON]", Serde.to_dict(event))


def _input(dataset: Mapping[str, Any]) -> InputDataset:
    facets: dict[str, DatasetFacet] = {}
    if is_collection(dataset["namespace"], dataset["name"]):
        facets["schema"] = schema_facet(dataset["dimensions"])
    return InputDataset(namespace=dataset["namespace"], name=dataset["name"], facets=facets)


def _output(dataset: Mapping[str, Any], row: Mapping[str, Any]) -> OutputDataset:
    facets: dict[str, DatasetFacet] = {}
    output_facets: dict[str, OutputDatasetFacet] = {}
    if is_collection(dataset["namespace"], dataset["name"]):
        facets["schema"] = schema_facet(dataset["dimensions"])
        if row["event_type"] == "COMPLETE":
            facets["version"] = version_facet(row["position"])
            output_facets = _statistics(row["counts"])
        if (assertions := assertions_facet(row["quality"])) is not None:
            facets["dataQualityAssertions"] = assertions
    return OutputDataset(
        namespace=dataset["namespace"], name=dataset["name"], facets=facets, outputFacets=output_facets
    )


def _statistics(counts: Mapping[str, Any]) -> dict[str, OutputDatasetFacet]:
    """The rows written are chunks, as a collection has one row a chunk; nothing where none were counted."""
    chunks = counts.get("chunks")
    if not isinstance(chunks, (int, float)):
        return {}
    facet = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(producer=PRODUCER, rowCount=int(chunks))
    return {"outputStatistics": facet}


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
