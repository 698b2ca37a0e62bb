"""Recant's errors in Airflow's terms: what trying again can help is retried, what it can't help fails at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context

FAILURE_KEY = "failure"
"""XCom key under which a failed attempt leaves its reason, for the task that aborts the operation."""
MAX_REASON_CHARACTERS = 2000


@contextmanager
def airflow_failures(context: Context) -> Iterator[None]:
    """Turns a TerminalError into AirflowFailException, and lets the rest through to the task's retries."""
    from recant.errors import TerminalError

    try:
        yield
    except TerminalError as error:
        _leave_reason(context, error)
        raise AirflowFailException(str(error)) from error
    except AirflowException:
        raise
    except Exception as error:
        _leave_reason(context, error)
        raise


def _leave_reason(context: Context, error: Exception) -> None:
    reason = f"{type(error).__name__}: {error}"
    context["ti"].xcom_push(key=FAILURE_KEY, value=reason[:MAX_REASON_CHARACTERS])


def reasons_of_failure(context: Context) -> list[str]:
    """What the failed tasks upstream of this one left behind; one that was killed left nothing but its state."""
    task, ti = context["task"], context["ti"]
    upstream = sorted(task.get_flat_relative_ids(upstream=True))
    left = {task_id: ti.xcom_pull(task_ids=[task_id], key=FAILURE_KEY) for task_id in upstream}
    reasons = [f"{task_id}: {reason}" for task_id, found in left.items() for reason in found or () if reason]
    if reasons:
        return list(dict.fromkeys(reasons))
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    return [f"{name}: ended as {state} without saying why" for name, state in states.items() if state == "failed"]
