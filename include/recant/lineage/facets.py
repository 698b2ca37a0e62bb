"""The run and job facets of an operation's events, made from the log's rows. Those of the standard are OpenLineage's own
classes; those of datasets are in `dataset_facets`, what a rollback says of itself in `rollback_facets`.

Every facet names its producer itself: the client's global producer belongs to whoever shares the process (Airflow).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import attr
from openlineage.client.facet_v2 import (
    JobFacet,
    RunFacet,
    error_message_run,
    job_type_job,
    nominal_time_run,
    ownership_job,
    parent_run,
    source_code_location_job,
)

from recant.json_types import JSON
from recant.lineage.dependency_facet import dependencies_facet
from recant.lineage.producer import PRODUCER, SCHEMAS
from recant.lineage.rollback_facets import blast_radius_facet, rollback_facet

OPERATION_SCHEMA = f"{SCHEMAS}recant_operation-1-0-0.json#/$defs/RecantOperationRunFacet"
STATES = {"START": "open", "RUNNING": "open", "COMPLETE": "published", "ABORT": "aborted", "FAIL": "aborted"}
ENDS = ("COMPLETE", "ABORT", "FAIL")


@attr.define(kw_only=True)
class RecantOperationRunFacet(RunFacet):
    """What Recant's log says of the operation at the time of the event. Times and identifiers are the log's."""

    operation_id: int
    kind: str
    agent: str
    state: str
    message: str = ""
    position: int | None = None
    collection: str | None = None
    session: str | None = None
    run_id: str | None = None
    counts: dict[str, Any] | None = None
    withdrew: list[int] | None = None
    withdrew_runs: list[str] | None = None
    brought_back: list[int] | None = None
    git: dict[str, Any] | None = None

    @staticmethod
    def _get_schema() -> str:
        return OPERATION_SCHEMA


def operation_facet(row: Mapping[str, Any]) -> RecantOperationRunFacet:
    """The `recant_operation` run facet. A control operation names whom it withdrew, and whom it brought back."""
    done = row["event_type"] == "COMPLETE"
    verdicts = row["verdicts"] if done else []
    hidden = [verdict for verdict in verdicts if not verdict["shows"]]
    shown = [verdict["operation_id"] for verdict in verdicts if verdict["shows"]]
    return RecantOperationRunFacet(
        producer=PRODUCER,
        operation_id=row["operation_id"],
        kind=row["kind"],
        agent=row["agent"],
        state=STATES[row["event_type"]],
        message=row["message"],
        position=row["position"] if done else None,
        collection=row["collection"],
        session=row["session"],
        run_id=row["run_id"],
        counts=row["counts"] if row["event_type"] in ENDS and row["counts"] else None,
        withdrew=[verdict["operation_id"] for verdict in hidden] if verdicts else None,
        withdrew_runs=[verdict["run_id"] for verdict in hidden] if verdicts else None,
        brought_back=shown or None,
        git=_git(row["context"]),
    )


def parent_facet(context: Mapping[str, Any]) -> parent_run.ParentRunFacet | None:
    """The run that this one was started from, with its root; None without one, or when its id is no UUID."""
    run_id = _uuid(context.get("parent_run_id"))
    name, namespace = context.get("parent_job_name"), context.get("parent_job_namespace")
    if not (run_id and name and namespace):
        return None
    run = parent_run.Run(runId=run_id)
    return parent_run.ParentRunFacet(
        producer=PRODUCER, run=run, job=parent_run.Job(namespace=namespace, name=name), root=_root(context)
    )


def run_facets(row: Mapping[str, Any]) -> dict[str, RunFacet]:
    """All run facets by key."""
    context = row["context"]
    facets: dict[str, RunFacet | None] = {
        "recant_operation": operation_facet(row),
        "recant_dependencies": dependencies_facet(row),
        "recant_rollback": rollback_facet(row),
        "recant_blast_radius": blast_radius_facet(row),
        "parent": parent_facet(context),
        "errorMessage": _error_message(row),
        "nominalTime": _nominal_time(context),
    }
    return {key: facet for key, facet in facets.items() if facet is not None}


def job_facets(row: Mapping[str, Any]) -> dict[str, JobFacet]:
    """All job facets by key."""
    job_type = job_type_job.JobTypeJobFacet(
        producer=PRODUCER, processingType="BATCH", integration="RECANT", jobType="OPERATION"
    )
    owner = ownership_job.Owner(name=f"agent:{row['agent']}", type="AGENT")
    facets: dict[str, JobFacet] = {
        "jobType": job_type,
        "ownership": ownership_job.OwnershipJobFacet(producer=PRODUCER, owners=[owner]),
    }
    if (source := _source_code(row["context"])) is not None:
        facets["sourceCodeLocation"] = source
    return facets


def _error_message(row: Mapping[str, Any]) -> error_message_run.ErrorMessageRunFacet | None:
    if row["event_type"] not in ("ABORT", "FAIL"):
        return None
    message = row["reason"] or "no reason given"
    return error_message_run.ErrorMessageRunFacet(producer=PRODUCER, message=message, programmingLanguage="PYTHON")


def _nominal_time(context: Mapping[str, Any]) -> nominal_time_run.NominalTimeRunFacet | None:
    """Lineage reports and never breaks: a time that can't be read is left out."""
    with contextlib.suppress(KeyError, ValueError, TypeError, AttributeError):
        return nominal_time_run.NominalTimeRunFacet(
            producer=PRODUCER,
            nominalStartTime=context["nominal_start_time"],
            nominalEndTime=context.get("nominal_end_time"),
        )
    return None


def _root(context: Mapping[str, Any]) -> parent_run.Root | None:
    run_id = _uuid(context.get("root_run_id"))
    name, namespace = context.get("root_job_name"), context.get("root_job_namespace")
    if not (run_id and name and namespace):
        return None
    return parent_run.Root(run=parent_run.RootRun(runId=run_id), job=parent_run.RootJob(namespace=namespace, name=name))


def _git(context: Mapping[str, Any]) -> dict[str, JSON] | None:
    commit = context.get("git_commit")
    if not commit:
        return None
    return {"commit": commit, "branch": context.get("git_branch"), "repository": web_address(context.get("repository"))}


def _source_code(context: Mapping[str, Any]) -> source_code_location_job.SourceCodeLocationJobFacet | None:
    """Needs an address that a browser could open; a repository without a remote has none."""
    repository, commit = web_address(context.get("repository")), context.get("git_commit")
    if not (repository and commit):
        return None
    return source_code_location_job.SourceCodeLocationJobFacet(
        producer=PRODUCER,
        type="git",
        url=f"{repository}/tree/{commit}",
        repoUrl=repository,
        version=commit,
        branch=context.get("git_branch"),
    )


def web_address(remote: str | None) -> str | None:
    """A git remote as an https address without user and password; None when it has no such form.

    >>> web_address("git@github.com:recant/recant.git")
    'https://github.com/recant/recant'
    """
    if not remote:
        return None
    short = re.fullmatch(r"(?:[^@/\s]+@)([^:/\s]+):([^\s]+)", remote)
    parts = urlsplit(f"ssh://{short[1]}/{short[2]}" if short else remote)
    if parts.scheme not in ("http", "https", "ssh", "git") or not parts.hostname:
        return None
    scheme = parts.scheme if parts.scheme == "http" else "https"
    port = f":{parts.port}" if parts.scheme in ("http", "https") and parts.port else ""
    return f"{scheme}://{parts.hostname}{port}{parts.path.rstrip('/').removesuffix('.git')}"


def _uuid(text: object) -> str | None:
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return str(UUID(str(text)))
    return None
