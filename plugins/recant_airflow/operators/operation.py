"""The life of an operation: open, then publish or abort."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from recant_airflow.assets import PUBLISHED_KNOWLEDGE
from recant_airflow.failures import reasons_of_failure
from recant_airflow.links import OperationLink
from recant_airflow.operators.base import KnowledgeBaseOperator, attribution

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.ingestion.request import IngestRequest
    from recant.knowledge_base import KnowledgeBase

NAMED_REJECTIONS = 50

LEASE_SECONDS = 24 * 3600.0
"""Tasks may queue for long, and the teardown aborts what isn't published: the lease is for a scheduler that never returns."""


class KnowledgeBaseOpenOperator(KnowledgeBaseOperator):
    """Opens the operation that the tasks after it write under; nobody sees a row of it before it is published.

    Opened once for a run of the DAG: a retry finds the operation of the first attempt. A run that is cleared as a whole
    opens a new one, as the first is over by then.

    Gives `{"operation_id", "request", "datasets"}`, which the other operators take as `operation`.

    :param sources: files, folders, globs, http(s) addresses, `dist:NAME`, `dist:*`; paths are the worker's.
    :param collection: where to; None: the installation's default.
    :param agent: who writes.
    :param session: the agent's session, if it has one.
    :param message: why.
    :param policy: `strict` or `quarantine`, see KnowledgeBaseGateOperator.
    :param suite: the file of the gate's suite of expectations, on the worker; None: the default one.
    :param based_on: what the documents were made from: chunk ids, and sources of documents in the collection.
    """

    template_fields: Sequence[str] = (
        "sources",
        "collection",
        "agent",
        "session",
        "message",
        "policy",
        "suite",
        "based_on",
    )
    operator_extra_links = (OperationLink(),)

    def __init__(
        self,
        *,
        sources: Sequence[str],
        agent: str,
        collection: str | None = None,
        session: str | None = None,
        message: str | None = None,
        policy: str = "strict",
        suite: str | None = None,
        based_on: Sequence[int | str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sources = sources
        self.collection = collection
        self.agent = agent
        self.session = session
        self.message = message
        self.policy = policy
        self.suite = suite
        self.based_on = based_on

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Opens, or finds the operation that an earlier attempt opened."""
        from recant.ingestion.request import IngestRequest, citation

        sources = tuple(source for source in self.sources if source)
        based_on = tuple(citation(item) if isinstance(item, str) else item for item in self.based_on or () if item)
        _require_no_credentials((*sources, *(item for item in based_on if isinstance(item, str))))
        collection = self.collection or kb.settings.collection
        request = IngestRequest(sources, collection, policy=self.policy, based_on=based_on, suite=self.suite or None)
        writer = attribution(context, agent=self.agent, session=self.session, message=self.message)
        operation_id = kb.ingestion.open(request, writer, open_key=open_key(context), lease_seconds=LEASE_SECONDS)
        self.log.info("Operation %s is open in collection %s", operation_id, request.collection)
        return {
            "operation_id": operation_id,
            "request": request.to_dict(),
            "datasets": kb.operations.details(operation_id)["datasets"],
        }


class OpenOperationOperator(KnowledgeBaseOperator):
    """Works for an operation that is open.

    :param operation: what KnowledgeBaseOpenOperator gave.
    """

    template_fields: Sequence[str] = ("operation",)
    operator_extra_links = (OperationLink(),)

    def __init__(self, *, operation: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.operation = operation

    @property
    def operation_id(self) -> int:
        """Of the open operation."""
        return int(self.operation["operation_id"])

    @property
    def request(self) -> IngestRequest:
        """What was asked for when it was opened."""
        from recant.ingestion.request import IngestRequest

        return IngestRequest.from_dict(self.operation["request"])

    def lineage_datasets(self) -> Iterable[Mapping[str, str]]:
        """The operation's own."""
        return self.operation["datasets"] if isinstance(self.operation, Mapping) else ()


class KnowledgeBasePublishOperator(OpenOperationOperator):
    """Publishes the operation: all of it is seen from one moment to the next.

    Gives the ingest's report, and an event of the asset `published_knowledge` for the partition named by the operation's
    id. A retry after the publishing itself went through finds it published and goes on. In a session that was opened for
    exploration it is held instead, until the session is merged: nothing was published, and no event says so.
    """

    writes = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"outlets": [PUBLISHED_KNOWLEDGE], **kwargs})

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Publishes, unless an earlier attempt did."""
        report = self._published_before(kb) or kb.ingestion.publish(self.operation_id).to_dict()
        self.log.info("%s: %s", "Held" if report["position"] is None else "Published", counts_text(report))
        self._tell_rejected(report["rejected"])
        if report["position"] is None:
            withhold(context)
            return report
        event = {"kind": "ingest", "collection": self.request.collection, "position": report["position"]}
        announce(context, self.operation_id, event)
        self.facets = {"version": version_facet(report["position"])}
        self.statistics = {"outputStatistics": statistics_facet(report)}
        return report

    def _tell_rejected(self, rejected: Sequence[Mapping[str, str]]) -> None:
        for left_out in rejected[:NAMED_REJECTIONS]:
            self.log.warning("Left out: %s (%s) %s", left_out["source"], left_out["code"], left_out["reason"])
        if (more := len(rejected) - NAMED_REJECTIONS) > 0:
            self.log.warning("and %s more: `recant show %s` lists them", more, self.operation_id)

    def _published_before(self, kb: KnowledgeBase) -> dict[str, Any] | None:
        operation = kb.operations.get(self.operation_id)
        if operation.position is None:
            return None
        rejected = kb.operations.details(self.operation_id)["rejected"]
        known = {"operation_id": operation.operation_id, "position": operation.position, "rejected": rejected}
        return {**operation.counts, **known}


class KnowledgeBaseAbortOperator(OpenOperationOperator):
    """Aborts the operation where it is still open; nothing of it was or will be seen.

    Made to be the teardown of the task that opened it: it runs whatever happened between, and leaves a published
    operation alone. The reason is what the failed tasks said. Having aborted, it fails, so that a run that published
    nothing never looks like a success (Airflow would call it one where a person marked the run as failed).

    A held operation is left alone too. Gives `{"operation_id", "state"}` where there was nothing to abort.
    """

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Aborts with the reason and fails, or says that there is nothing to abort."""
        operation = kb.operations.get(self.operation_id)
        if operation.position is not None or operation.held:
            self.log.info("Operation %s is %s: nothing to abort", self.operation_id, operation.state)
            return {"operation_id": self.operation_id, "state": operation.state}
        reason = operation.reason or "; ".join(reasons_of_failure(context)) or "the run ended without publishing it"
        kb.operations.abort(self.operation_id, reason, failed=True)
        raise AirflowFailException(
            f"Operation {self.operation_id} is aborted, nothing of it is visible. The reason: {reason}"
        )


def _require_no_credentials(sources: Sequence[str]) -> None:
    """Raises UsageError: the sources go from task to task by XCom, and are told in events."""
    from recant.errors import UsageError
    from recant.ingestion.origin import as_given
    from recant.ingestion.readers.addresses import has_credentials

    for source in filter(has_credentials, sources):
        raise UsageError(
            f"{as_given(source)} has a login or a token in it, which Airflow would keep: ingest it with `recant ingest`, "
            "or fetch it into a folder first."
        )


def open_key(context: Context) -> str:
    """One for each time that a run of a DAG is started over."""
    ti, cleared = context["ti"], context["dag_run"].clear_number
    return f"{ti.dag_id}/{ti.run_id}" + (f"/{cleared}" if cleared else "")


def announce(context: Context, operation_id: int, extra: Mapping[str, Any]) -> None:
    """An event of `published_knowledge` for one operation; nothing where the task doesn't have the asset as outlet."""
    if PUBLISHED_KNOWLEDGE not in context["task"].outlets:
        return
    event = context["outlet_events"][PUBLISHED_KNOWLEDGE]
    event.extra = {"operation_id": operation_id, **extra}
    event.add_partitions(str(operation_id))


def withhold(context: Context) -> None:
    """No event of `published_knowledge`: Airflow makes one for each outlet of a task that succeeds, told or not."""
    context["task"].outlets = [outlet for outlet in context["task"].outlets if outlet != PUBLISHED_KNOWLEDGE]


def counts_text(report: Mapping[str, Any]) -> str:
    """The numbers of a report, for the log."""
    return ", ".join(
        f"{name} {value}" for name, value in report.items() if isinstance(value, int | float) and value is not False
    )


def version_facet(position: int | None) -> Any:
    """OpenLineage: a collection's version is the position in the log."""
    from openlineage.client.facet_v2 import dataset_version_dataset

    return dataset_version_dataset.DatasetVersionDatasetFacet(str(position))


def statistics_facet(report: Mapping[str, Any]) -> Any:
    """OpenLineage: rows written are chunks, files are documents."""
    from openlineage.client.facet_v2 import output_statistics_output_dataset

    return output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=report.get("chunks"), fileCount=report.get("documents")
    )
