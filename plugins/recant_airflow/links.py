"""Links from a task to where its work goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import attrs
from airflow.sdk import BaseOperatorLink

from recant_airflow.assets import PUBLISHED_KNOWLEDGE
from recant_airflow.pages import DATA_DOCS

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


@attrs.define()
class ApprovalLink(BaseOperatorLink):
    """From a task to the page where a person answers the approval right after it."""

    name: str = "Approval"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Address of the approval's page; empty where no approval follows."""
        from airflow.providers.standard.operators.hitl import ApprovalOperator

        waiting = [task.task_id for task in operator.downstream_list if isinstance(task, ApprovalOperator)]
        if not waiting:
            return ""
        return _task_page(ti_key, waiting[0], "required_actions")


@attrs.define()
class OperationLink(BaseOperatorLink):
    """From a task that works for an operation to the asset event that tells of it, on Airflow's own page.

    The event's partition key is the operation's id, its extra has the position: what `recant show` is asked with. It is
    there once the operation is published or the rollback applied; before, and of an aborted one, the page has none.
    """

    name: str = "Operation"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Address of the asset events of the task that announces the operation; empty where none does."""
        around = (task for upstream in (False, True) for task in operator.get_flat_relatives(upstream=upstream))
        announcing = [task.task_id for task in (operator, *around) if PUBLISHED_KNOWLEDGE in task.outlets]
        return _task_page(ti_key, announcing[0], "asset_events") if announcing else ""


@attrs.define()
class DataDocsLink(BaseOperatorLink):
    """From an audit to its page of Data Docs, which Recant's plugin serves to whoever may see Airflow's plugins."""

    name: str = "Data Docs"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Address of the page that the operator has just made; empty where it made none."""
        page = getattr(operator, "data_docs", None)
        return f"{_base_url()}{DATA_DOCS}/{quote(page)}" if page else ""


def _base_url() -> str:
    from airflow.sdk.configuration import conf

    return (conf.get("api", "base_url", fallback="") or "").rstrip("/")


def _task_page(ti_key: TaskInstanceKey, task_id: str, tab: str) -> str:
    """A tab of a task's page in the same run."""
    return f"{_base_url()}/dags/{ti_key.dag_id}/runs/{quote(ti_key.run_id, safe='')}/tasks/{task_id}/{tab}"
