"""What an event says of the datasets that an operation reads and writes: only what is true of every delivery of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    OutputDatasetFacet,
    base_subset_dataset,
    data_quality_assertions_dataset,
    dataset_version_dataset,
    lifecycle_state_change_dataset,
    output_statistics_output_dataset,
)

from recant.lineage.column_facets import REEMBEDDING, column_lineage_facet, schema_facet
from recant.lineage.naming import is_collection
from recant.lineage.producer import PRODUCER

SEVERITIES = {"critical": "error", "warning": "warn", "info": "info"}
MOST_OPERATIONS_OF_A_SUBSET = 20


def input_facets(dataset: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, DatasetFacet]:
    """Of a collection or an archive that is read: its columns. Not its version: Marquez puts what is said of an input on
    whichever version came last, whose own it would replace.
    """
    schema = schema_facet(dataset, row)
    return {"schema": schema} if schema else {}


def input_dataset_facets(dataset: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, InputDatasetFacet]:
    """Which part of a collection is read: a rollback reads what it withdraws."""
    condition = _subset(dataset, row) if row["control"] else None
    if condition is None:
        return {}
    return {"subset": base_subset_dataset.InputSubsetInputDatasetFacet(producer=PRODUCER, inputCondition=condition)}


def output_facets(dataset: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, DatasetFacet]:
    """Of what is written: its columns and where they come from; of a collection also version, what the gate found, birth."""
    facets: dict[str, DatasetFacet | None] = {
        "schema": schema_facet(dataset, row),
        "columnLineage": column_lineage_facet(dataset, row),
    }
    if is_collection(dataset["namespace"], dataset["name"]):
        facets["dataQualityAssertions"] = assertions_facet(row["quality"])
        if row["event_type"] == "COMPLETE":
            facets["version"] = version_facet(row["position"])
            facets["lifecycleStateChange"] = _lifecycle(row)
    return {key: facet for key, facet in facets.items() if facet is not None}


def output_dataset_facets(dataset: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, OutputDatasetFacet]:
    """How much was written, and which part of the collection it is."""
    facets: dict[str, OutputDatasetFacet] = {}
    condition = _subset(dataset, row)
    if condition is not None:
        facets["subset"] = base_subset_dataset.OutputSubsetOutputDatasetFacet(
            producer=PRODUCER, outputCondition=condition
        )
    if row["event_type"] == "COMPLETE" and (statistics := _statistics(dataset, row["counts"])) is not None:
        facets["outputStatistics"] = statistics
    return facets


def version_facet(position: int) -> dataset_version_dataset.DatasetVersionDatasetFacet:
    """A collection's version is the position in the log: what a search as of that position sees."""
    return dataset_version_dataset.DatasetVersionDatasetFacet(producer=PRODUCER, datasetVersion=str(position))


def assertions_facet(quality: Iterable[Iterable[Mapping[str, Any]]]) -> DatasetFacet | None:
    """What the gate found, one assertion an expectation, summed over its batches; None when it didn't run.

    The facet's class counts as an input's, but its schema asks for a producer and the assertions only, so that it is
    valid on any dataset; on the output, in `facets`, Marquez shows it beside the data that it is about.
    """
    totals: dict[str, dict[str, Any]] = {}
    for expectation in (expectation for batch in quality for expectation in batch or ()):
        total = totals.setdefault(expectation["name"], {**expectation, "success": True, "checked": 0, "unexpected": 0})
        total["success"] = total["success"] and expectation["success"]
        total["checked"] += expectation["checked"]
        total["unexpected"] += expectation["unexpected"]
    assertions = [_assertion(total) for total in totals.values()]
    if not assertions:
        return None
    facet: Any = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
        producer=PRODUCER, assertions=assertions
    )
    return facet  # type: ignore[no-any-return]


def _assertion(total: Mapping[str, Any]) -> data_quality_assertions_dataset.Assertion:
    return data_quality_assertions_dataset.Assertion(
        assertion=total["expectation"],
        success=total["success"],
        column=total.get("field"),
        severity=SEVERITIES[total["severity"]],
        name=total["name"],
        description=total.get("description"),
        actual=f"{total['unexpected']} of {total['checked']} rows unexpected",
        params=None,
    )


def _statistics(
    dataset: Mapping[str, Any], counts: Mapping[str, Any]
) -> output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet | None:
    """A collection has one row a chunk. Of files the rows, bytes and files are those that the operation counted."""
    collection = is_collection(dataset["namespace"], dataset["name"])
    rows = _whole(counts.get("chunks") if collection else counts.get("rows", counts.get("chunks")))
    size, files = (None, None) if collection else (_whole(counts.get("bytes")), _whole(counts.get("files")))
    if rows is None and size is None and files is None:
        return None
    return output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        producer=PRODUCER, rowCount=rows, size=size, fileCount=files
    )


def _subset(dataset: Mapping[str, Any], row: Mapping[str, Any]) -> base_subset_dataset.CompareSubsetCondition | None:
    """The rows of a collection that the operation wrote; of a rollback those of the operations that it judged whole."""
    if not is_collection(dataset["namespace"], dataset["name"]):
        return None
    operations: Sequence[int] = [row["operation_id"]]
    if row["control"]:
        operations = [] if row["record_verdicts"] else [verdict["operation_id"] for verdict in row["verdicts"]]
    if not 0 < len(operations) <= MOST_OPERATIONS_OF_A_SUBSET:
        return None
    conditions: list[Any] = [_written_by(operation) for operation in operations]
    return reduce(_either, conditions)  # type: ignore[no-any-return]


def _written_by(operation: int) -> base_subset_dataset.CompareSubsetCondition:
    return base_subset_dataset.CompareSubsetCondition(
        left=base_subset_dataset.FieldBaseCompareExpression(field="operation_id"),
        right=base_subset_dataset.LiteralCompareExpression(value=str(operation)),
        comparison="EQUAL",
    )


def _either(left: Any, right: Any) -> Any:
    return base_subset_dataset.BinarySubsetCondition(left=left, right=right, operator="OR")


def _lifecycle(row: Mapping[str, Any]) -> DatasetFacet | None:
    """The first write into a collection creates it; embedding it anew changes its form. No rollback does either."""
    changes = lifecycle_state_change_dataset.LifecycleStateChange
    if row["first_of_collection"]:
        change = changes.CREATE
    elif row["kind"] in REEMBEDDING:
        change = changes.ALTER
    else:
        return None
    return lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
        producer=PRODUCER, lifecycleStateChange=change
    )


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
