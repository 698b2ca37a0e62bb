"""The one plugin that Airflow loads. Light: it is imported by every component and every task's process.

Everything else is in the package `recant_airflow`, which `.airflowignore` keeps from being executed as plugins.
"""

from airflow.plugins_manager import AirflowPlugin

from recant_airflow.links import ApprovalLink, OperationLink


class RecantPlugin(AirflowPlugin):
    """Makes Recant's links known to the user interface."""

    name = "recant"
    operator_extra_links = [ApprovalLink(), OperationLink()]  # noqa: RUF012 - the base class declares it so
