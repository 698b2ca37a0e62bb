"""What Recant's operators have in common: a knowledge base while they work, its errors in Airflow's terms, lineage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from recant_airflow.failures import airflow_failures
from recant_airflow.hooks import KnowledgeBaseHook
from recant_airflow.lineage import airflow_context, task_lineage

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from recant.knowledge_base import KnowledgeBase
    from recant.oplog import Attribution


class KnowledgeBaseOperator(BaseOperator):
    """Works on a knowledge base.

    A TerminalError fails the task at once, anything else goes to its retries. What `execute` notes for lineage is
    forgotten at the start of the next one: several runs may share an operator in one process.

    :param recant_conn_id: see KnowledgeBaseHook; where Airflow has no such connection, the installation itself.
    """

    reads = False
    """Whether lineage shows the operation's inputs as read by this task."""
    writes = False
    """Whether lineage shows the operation's outputs as written by this task."""

    def __init__(self, *, recant_conn_id: str = KnowledgeBaseHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.recant_conn_id = recant_conn_id
        self.facets: dict[str, Any] = {}
        self.statistics: dict[str, Any] = {}

    def execute(self, context: Context) -> Any:
        """Opens the knowledge base and does the work."""
        self.facets, self.statistics = {}, {}
        with airflow_failures(context), KnowledgeBaseHook(self.recant_conn_id).get_conn() as kb:
            return self.work(kb, context)

    def work(self, kb: KnowledgeBase, context: Context) -> Any:
        """What the operator is for; what it returns goes to XCom."""
        raise NotImplementedError

    def lineage_datasets(self) -> Iterable[Mapping[str, str]]:
        """direction, namespace and name of what the operation reads and writes; empty until it is known."""
        return ()

    def get_openlineage_facets_on_start(self) -> OperatorLineage:
        """The same datasets at the start as at the end, so that a failed run keeps its edges."""
        return task_lineage(self.lineage_datasets(), reads=self.reads, writes=self.writes)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage:
        """The datasets with what became of them."""
        return task_lineage(
            self.lineage_datasets(),
            reads=self.reads,
            writes=self.writes,
            facets=self.facets,
            statistics=self.statistics,
        )

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage:
        """The datasets that would have been read and written."""
        return self.get_openlineage_facets_on_start()


def attribution(context: Context, *, agent: str, session: str | None = None, message: str | None = None) -> Attribution:
    """Who writes: the agent named, in the DAG's run, from this task."""
    from recant.oplog import Attribution

    return Attribution(
        agent=agent,
        session=session or None,
        run_id=context["ti"].run_id,
        message=message or "",
        context=airflow_context(context),
    )
