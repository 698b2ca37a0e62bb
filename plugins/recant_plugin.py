"""The one plugin that Airflow loads. Light: it is imported by every component and every task's process.

Everything else is in the package `recant_airflow`, which `.airflowignore` keeps from being executed as plugins.
"""

from airflow.plugins_manager import AirflowPlugin

from recant_airflow.links import ApprovalLink, DataDocsLink, OperationLink
from recant_airflow.pages import PREFIX, Pages


class RecantPlugin(AirflowPlugin):
    """Makes Recant's links known to the user interface, and serves the pages that some lead to."""

    name = "recant"
    operator_extra_links = [ApprovalLink(), DataDocsLink(), OperationLink()]  # noqa: RUF012 - the base class declares it so
    fastapi_apps = [{"app": Pages(), "url_prefix": PREFIX, "name": "recant"}]  # noqa: RUF012 - as above
    external_views = [  # noqa: RUF012 - as above
        {"name": "Data Docs", "href": f"{PREFIX}/data-docs/index.html", "destination": "nav", "category": "browse"}
    ]
