"""Reads an OpenLineage event as strictly as the client's own classes allow: for tests, and a collector that refuses.

Every object must be one of the client's classes (or ours, for `recant_operation` and its like), every key one of its fields, every
value of the field's type, and every facet must name its producer and the schema of its class.
"""

from __future__ import annotations

import types
import typing
from enum import Enum
from typing import Any

import attr
from openlineage.client.event_v2 import RunEvent
from openlineage.client.facet_v2 import (
    BaseFacet,
    base_subset_dataset,
    column_lineage_dataset,
    data_quality_assertions_dataset,
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    lifecycle_state_change_dataset,
    nominal_time_run,
    output_statistics_output_dataset,
    ownership_job,
    parent_run,
    schema_dataset,
    source_code_location_job,
)

from recant.lineage.dependency_facet import RecantDependenciesRunFacet
from recant.lineage.facets import RecantOperationRunFacet
from recant.lineage.producer import PRODUCER
from recant.lineage.rollback_facets import RecantBlastRadiusRunFacet, RecantRollbackRunFacet

FACETS: dict[str, type[Any]] = {
    "recant_operation": RecantOperationRunFacet,
    "recant_dependencies": RecantDependenciesRunFacet,
    "recant_rollback": RecantRollbackRunFacet,
    "recant_blast_radius": RecantBlastRadiusRunFacet,
    "parent": parent_run.ParentRunFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "nominalTime": nominal_time_run.NominalTimeRunFacet,
    "jobType": job_type_job.JobTypeJobFacet,
    "ownership": ownership_job.OwnershipJobFacet,
    "sourceCodeLocation": source_code_location_job.SourceCodeLocationJobFacet,
    "schema": schema_dataset.SchemaDatasetFacet,
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "dataQualityAssertions": data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet,
    "columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet,
    "lifecycleStateChange": lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet,
    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
}

SUBSETS = {
    "inputFacets": base_subset_dataset.InputSubsetInputDatasetFacet,
    "outputFacets": base_subset_dataset.OutputSubsetOutputDatasetFacet,
}
CONDITIONS = {
    "compare": base_subset_dataset.CompareSubsetCondition,
    "binary": base_subset_dataset.BinarySubsetCondition,
    "field": base_subset_dataset.FieldBaseCompareExpression,
    "literal": base_subset_dataset.LiteralCompareExpression,
}
"""What the parts of a subset's condition say that they are."""


class Malformed(ValueError):
    """Not an OpenLineage event."""


def read_event(event: dict[str, Any]) -> RunEvent:
    """The event as the client's class. Raises Malformed saying where."""
    try:
        read: RunEvent = _object(RunEvent, event, "event")
    except Malformed:
        raise
    except (TypeError, ValueError, KeyError) as error:
        raise Malformed(f"{type(error).__name__}: {error}") from error
    for key in ("eventType", "eventTime", "producer", "schemaURL"):
        _require(bool(event.get(key)), f"event.{key} is missing")
    return read


def _object(kind: type[Any], value: Any, where: str) -> Any:
    _require(isinstance(value, dict), f"{where} is no object")
    fields = {field.name: field for field in attr.fields(kind)}
    hints = _hints(kind)
    given = {}
    for key, part in value.items():
        _require(key in fields, f"{where}.{key} is not in {kind.__name__}")
        if not fields[key].init:
            _require(part == kind._get_schema(), f"{where}.{key} is {part}")
            continue
        given[key.lstrip("_")] = _value(hints[key], part, f"{where}.{key}")
    if issubclass(kind, BaseFacet):
        _require(value.get("_producer") == PRODUCER, f"{where}._producer is {value.get('_producer')}")
        _require("_schemaURL" in value, f"{where}._schemaURL is missing")
    return kind(**given)


def _value(hint: Any, value: Any, where: str) -> Any:
    if hint is None:
        _require(isinstance(value, dict) and value.get("type") in CONDITIONS, f"{where} is no condition")
        return _object(CONDITIONS[value["type"]], value, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _value(next(a for a in arguments if a is not type(None)), value, where)
    if origin is list:
        _require(isinstance(value, list), f"{where} is no list")
        return [_value(arguments[0], part, f"{where}[{place}]") for place, part in enumerate(value)]
    if origin is dict:
        _require(isinstance(value, dict), f"{where} is no object")
        if where.lower().endswith("facets"):
            known = FACETS | {"subset": SUBSETS.get(where.rpartition(".")[2])}
            return {key: _object(known[key], part, f"{where}.{key}") for key, part in value.items()}
        if attr.has(arguments[1]):
            return {key: _object(arguments[1], part, f"{where}.{key}") for key, part in value.items()}
        return value
    if isinstance(hint, type) and issubclass(hint, Enum):
        _require(value in hint.__members__, f"{where} is {value}")
        return hint[value]
    if isinstance(hint, type) and attr.has(hint):
        return _object(hint, value, where)
    exact = hint in (str, int, bool)
    _require(not exact or type(value) is hint, f"{where} is {type(value).__name__}, not {hint}")
    return value


def _hints(kind: type[Any]) -> dict[str, Any]:
    """Types by field; None stands for a part of a condition, whose own `type` says what it is."""
    module = vars(base_subset_dataset)
    if kind.__module__ == module["CompareSubsetCondition"].__module__:
        parts = {"left", "right", "inputCondition", "outputCondition"}
        return {f.name: None if f.name in parts else str for f in attr.fields(kind)}
    return typing.get_type_hints(kind, include_extras=False)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise Malformed(message)
