"""Lineage of Recant's tasks: the same datasets as the operation they work for, and the task's place in the run tree.

An operation is an OpenLineage run of its own, delivered by Recant's relay from the log. What is here makes Airflow's
events about the tasks meet it: same datasets, and each operation's parent is the task that opened it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context


def airflow_context(context: Context) -> dict[str, Any]:
    """What an operation's attribution keeps of the task that makes it: ids, OpenLineage parent and root, source code."""
    from airflow.providers.openlineage.plugins import macros

    ti = context["ti"]
    return {
        "dag_id": ti.dag_id,
        "dag_run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": ti.map_index,
        "triggered_by": context["dag_run"].triggering_user_name,
        "parent_run_id": macros.lineage_run_id(ti),
        "parent_job_name": macros.lineage_job_name(ti),
        "parent_job_namespace": macros.lineage_job_namespace(),
        "root_run_id": macros.lineage_root_run_id(ti),
        "root_job_name": macros.lineage_root_job_name(ti),
        "root_job_namespace": macros.lineage_root_job_namespace(ti),
        **_source_code(context),
    }


def task_lineage(
    datasets: Iterable[Mapping[str, str]],
    *,
    reads: bool = False,
    writes: bool = False,
    facets: Mapping[str, Any] | None = None,
    statistics: Mapping[str, Any] | None = None,
) -> OperatorLineage:
    """An operation's datasets (direction, namespace, name) as those of a task that reads or writes them.

    `facets` say what the outputs are, `statistics` (OpenLineage's output facets) what was written to them; of a task that
    only reads, they are of its inputs (OpenLineage's input facets).
    """
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset

    known = list(datasets)
    of_inputs = {} if writes else {"facets": dict(facets or {}), "inputFacets": dict(statistics or {})}
    inputs = [
        InputDataset(d["namespace"], d["name"], **of_inputs) for d in known if reads and d["direction"] == "input"
    ]
    outputs = [
        OutputDataset(d["namespace"], d["name"], facets=dict(facets or {}), outputFacets=dict(statistics or {}))
        for d in known
        if writes and d["direction"] == "output"
    ]
    return OperatorLineage(inputs=inputs, outputs=outputs)


def _source_code(context: Context) -> dict[str, Any]:
    """git_commit, git_branch, repository: of the project's checkout; the commit is the bundle's where it names one."""
    from recant.provenance import checkout_context
    from recant.settings import read_settings

    known = dict(checkout_context(read_settings().project_root))
    bundle = getattr(context["ti"], "bundle_instance", None)  # there is none in dag.test()
    if bundle is not None and bundle.version:
        known["git_commit"] = str(bundle.version)
    return known
