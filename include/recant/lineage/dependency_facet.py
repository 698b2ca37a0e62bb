"""What the run of an operation says of the operations that it was built on: with it, the events alone give the whole graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attr
from openlineage.client.facet_v2 import RunFacet

from recant.lineage.producer import PRODUCER, SCHEMAS

DEPENDENCIES_SCHEMA = f"{SCHEMAS}recant_dependencies-1-0-0.json#/$defs/RecantDependenciesRunFacet"


@attr.define(kw_only=True)
class RecantDependenciesRunFacet(RunFacet):
    """What an operation was made from. Of more than a thousand each event of the run tells a part, in order."""

    built_on: list[dict[str, Any]]
    """operation_id, run_id (OpenLineage's), class, records (how many of its), certainty: definite, or possible of a read."""
    first: int
    """The place of the first of these in the whole list, from 1."""
    total: int
    """How many there are in all events of the run together."""

    @staticmethod
    def _get_schema() -> str:
        return DEPENDENCIES_SCHEMA


def dependencies_facet(row: Mapping[str, Any]) -> RecantDependenciesRunFacet | None:
    """The `recant_dependencies` facet of an operation that was published; None of one that was built on nothing."""
    found = row["made_from"]
    if not found:
        return None
    return RecantDependenciesRunFacet(
        producer=PRODUCER, built_on=[_input(each) for each in found["rows"]], first=found["first"], total=found["total"]
    )


def _input(row: Mapping[str, Any]) -> dict[str, Any]:
    named = {name: row[name] for name in ("operation_id", "run_id", "class", "records")}
    return named | {"certainty": "possible" if row["class"] == "read" else "definite"}
