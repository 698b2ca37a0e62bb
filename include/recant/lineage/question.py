"""A question of lineage while it is answered: one snapshot of the log, the position asked about, and the statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString

from recant.errors import UsageError
from recant.lineage.graph import marquez_page
from recant.lineage.naming import logical_name
from recant.oplog import Moment
from recant.oplog.positions import position_of
from recant.settings import Settings
from recant.store import Connection, Row, load

_SQL = load(__package__, "graph.sql")
_WITH_PARTS = (
    "downstream",
    "upstream",
    "downstream_of_records",
    "upstream_of_records",
    "describe",
    "jobs_of_operations",
    "datasets_of_jobs",
    "links_of_jobs",
    "reads_of_jobs",
    "states_of_operations",
    "records_of_operations",
)


@dataclass(frozen=True, slots=True)
class Question:
    """Every query of an answer runs on this connection, whose transaction is a snapshot."""

    connection: Connection
    settings: Settings
    position: int
    now: bool
    """Whether that is the last position: what was never published is part of the present only."""

    def rows(self, query: str, /, **given: Any) -> list[Row]:
        """The rows of a named query."""
        return self.run(_STATEMENTS[query], **given)

    def run(self, statement: LiteralString, /, **given: Any) -> list[Row]:
        """The rows of a statement that was put together."""
        return self.connection.execute(statement, {"position": self.position, "now": self.now, **given}).fetchall()

    def dataset_page(self, namespace: str, name: str) -> str | None:
        """Where Marquez shows a dataset."""
        return marquez_page(self.settings.marquez_web_url, "dataset", namespace, name)

    def job_page(self, job: str) -> str | None:
        """Where Marquez shows a job."""
        return marquez_page(self.settings.marquez_web_url, "job", logical_name(self.settings.lineage_namespace), job)


def ask(connection: Connection, settings: Settings, as_of: Moment | None) -> Question:
    """As of a position, tag or time, or of the last one. Raises UsageError for a position that has not been given out."""
    row = connection.execute(_SQL["begin"]).fetchone()
    last = int(row["position"]) if row else 0
    position = last if as_of is None else position_of(connection, as_of)
    if not 0 <= position <= last:
        raise UsageError(f"There is no position {position}: the last one is {last}.")
    return Question(connection, settings, position, position == last)


def _statements() -> dict[str, LiteralString]:
    named = ("visible_then", "parent_job", "via_parent_job", "files_below", "files_above")
    parts: dict[str, LiteralString] = {name: _SQL[name] for name in named}
    parts["job_columns"] = _SQL["job_columns"].format(**parts)
    return dict(_SQL) | {name: _SQL[name].format(**parts) for name in _WITH_PARTS}


_STATEMENTS = _statements()
