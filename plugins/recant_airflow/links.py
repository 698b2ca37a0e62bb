"""Links from a task to where its work goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import attrs
from airflow.sdk import BaseOperatorLink

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
        from airflow.sdk.configuration import conf

        waiting = [task.task_id for task in operator.downstream_list if isinstance(task, ApprovalOperator)]
        if not waiting:
            return ""
        base_url = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
        run_id = quote(ti_key.run_id, safe="")
        return f"{base_url}/dags/{ti_key.dag_id}/runs/{run_id}/tasks/{waiting[0]}/required_actions"
