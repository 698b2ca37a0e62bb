"""The way from an Airflow connection to a knowledge base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from recant.knowledge_base import KnowledgeBase

LIBPQ_OPTIONS = (
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "connect_timeout",
    "keepalives_idle",
    "target_session_attrs",
)
"""Of a connection's extras, what PostgreSQL's client library understands; the rest is left aside."""


class KnowledgeBaseHook(BaseHook):
    """Opens a knowledge base.

    Where Airflow has a connection of type Postgres with the id `recant_conn_id`, it is used; otherwise the installation
    itself, as `recant.connect()` finds it (`RECANT_DSN`, or the embedded server under `RECANT_HOME`).
    """

    conn_name_attr = "recant_conn_id"
    default_conn_name = "recant_default"
    conn_type = "postgres"
    hook_name = "Recant"

    def __init__(self, recant_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.recant_conn_id = recant_conn_id

    def get_conn(self) -> KnowledgeBase:
        """A knowledge base, to be used as a context manager or closed. Raises ConfigurationError for a foreign type."""
        import recant

        return recant.connect(self.get_dsn())

    def get_dsn(self) -> str | None:
        """The connection as a libpq URI; None where Airflow has no such connection."""
        from recant.errors import ConfigurationError

        try:
            connection = self.get_connection(self.recant_conn_id)
        except AirflowNotFoundException:
            return None
        if connection.conn_type not in ("postgres", "postgresql"):
            raise ConfigurationError(
                f"The Airflow connection {self.recant_conn_id!r} is of type {connection.conn_type!r}: it must be Postgres."
            )
        return _dsn(connection)


def _dsn(connection: Connection) -> str:
    login = quote(connection.login or "", safe="")
    password = f":{quote(connection.password, safe='')}" if connection.password else ""
    host = quote(connection.host or "localhost", safe="[]:")
    port = f":{connection.port}" if connection.port else ""
    options = {k: v for k, v in connection.extra_dejson.items() if k in LIBPQ_OPTIONS}
    query = f"?{urlencode(options)}" if options else ""
    at = "@" if login else ""
    return f"postgresql://{login}{password}{at}{host}{port}/{quote(connection.schema or '', safe='')}{query}"
