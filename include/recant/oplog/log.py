"""Opening, publishing, aborting and looking up operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from recant.errors import UnknownOperation
from recant.json_types import JSON
from recant.oplog.identifiers import new_run_id
from recant.oplog.operation import Attribution, Dataset, Operation
from recant.oplog.positions import Moment, position_at, position_of, undo_limits
from recant.oplog.projections import refresh_projections
from recant.oplog.selector import Selector
from recant.oplog.statements import STATEMENTS as _SQL
from recant.store import Database, Row, json_parameter

DEFAULT_LEASE_SECONDS = 900.0
HOLD_LEASE_SECONDS = 7 * 86_400.0
_NO_CONDITION = Selector()


class OperationLog:
    """The log of one database. Safe to share between threads."""

    def __init__(self, database: Database, *, retention_days: int | None = None) -> None:
        """`retention_days`: how long what is no longer seen is kept; None: for ever."""
        self.database = database
        self.retention_days = retention_days

    def open(
        self,
        kind: str,
        attribution: Attribution,
        *,
        collection: str | None = None,
        parameters: Mapping[str, JSON] | None = None,
        datasets: Iterable[Dataset] = (),
        last_wins: bool = False,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
        open_key: str | None = None,
    ) -> int:
        """Opens an operation and returns its id. What is appended to it is seen by its own session only.

        The same `open_key` gives the same operation while it is open (a retried task). Raises UnknownCollection, and
        OperationClosed when the key's operation is over.
        """
        given = {
            "kind": kind,
            "agent": attribution.agent,
            "session": attribution.session,
            "run_id": attribution.run_id,
            "lineage_run_id": new_run_id(),
            "collection": collection,
            "message": attribution.message,
            "parameters": json_parameter(dict(parameters or {})),
            "context": json_parameter(dict(attribution.context)),
            "datasets": json_parameter([asdict(d) for d in datasets]),
            "last_wins": last_wins,
            "lease_seconds": lease_seconds,
            "open_key": open_key,
        }
        return int(self._one("open_operation", given)["operation_id"])

    def begin_batch(self, operation_id: int, key: str, *, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> int:
        """Starts an attempt at a worker's share and returns the batch id; an earlier attempt's rows are discarded.

        Raises OperationClosed, UnknownOperation.
        """
        given = {"operation_id": operation_id, "key": key, "lease_seconds": lease_seconds}
        return int(self._one("begin_batch", given)["batch_id"])

    def finish_batch(self, batch_id: int, counts: Mapping[str, JSON]) -> None:
        """Marks the attempt as whole. The numbers among `counts` are summed up when the operation is published.

        Raises StaleBatch when a later attempt has taken over.
        """
        self._one("finish_batch", {"batch_id": batch_id, "counts": json_parameter(dict(counts))})

    def extend_lease(self, operation_id: int, *, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> None:
        """Keeps upkeep from aborting an operation whose worker is alive."""
        self._one("extend_lease", {"operation_id": operation_id, "lease_seconds": lease_seconds})

    def hold(self, operation_id: int, *, lease_seconds: float = HOLD_LEASE_SECONDS) -> None:
        """Says that the writing is over, and leaves the operation open for its session to be merged or discarded.

        Until then it is seen by its session only. Raises OperationClosed; Refused while a batch is unfinished, and for an
        operation without a session.
        """
        self._one("hold_operation", {"operation_id": operation_id, "lease_seconds": lease_seconds})

    def publish(self, *operation_ids: int) -> list[int]:
        """Publishes all or none, in the order opened, and returns their positions.

        Raises WriteConflict, InputWithdrawn, OperationClosed; Refused while a batch is unfinished. The operations stay
        open then, and can be tried again or aborted.
        """
        with self.database.transaction() as connection:
            rows = connection.execute(_SQL["publish_operations"], {"operation_ids": list(operation_ids)}).fetchall()
        refresh_projections(self.database)
        return [int(row["position"]) for row in rows]

    def abort(self, operation_id: int, reason: str, *, failed: bool = False) -> bool:
        """Gives an open operation up: nothing of it was or will be seen. False when it was aborted before.

        `failed` tells lineage that it failed rather than was called off. Raises OperationClosed for a published one.
        """
        given = {"operation_id": operation_id, "reason": reason, "event": "FAIL" if failed else "ABORT"}
        return bool(self._one("abort_operation", given)["aborted"])

    def abort_expired(self) -> list[int]:
        """Aborts open operations whose lease ran out: their worker is gone."""
        with self.database.transaction() as connection:
            return [int(row["operation_id"]) for row in connection.execute(_SQL["abort_expired"])]

    def position(self) -> int:
        """The last position given out; 0 in an empty log."""
        return int(self._one("log_position", {})["position"])

    def position_at(self, time: datetime) -> int:
        """The last position given out by then; 0 when there was none yet. A time without a zone is UTC."""
        with self.database.transaction() as connection:
            return position_at(connection, time)

    def position_of(self, moment: Moment) -> int:
        """The position that a number, a tag's name or a time means. Raises UsageError for what is none of these."""
        with self.database.transaction() as connection:
            return position_of(connection, moment)

    def get(self, operation_id: int) -> Operation:
        """One operation. Raises UnknownOperation."""
        found = self.find(Selector(operations=(operation_id,)), limit=1)
        if not found:
            raise UnknownOperation(f"There is no operation {operation_id}: `recant log` lists them.")
        return found[0]

    def find(
        self, selector: Selector | None = None, *, limit: int = 50, before_position: int | None = None
    ) -> list[Operation]:
        """Operations, newest first; control, open and aborted ones too."""
        given = (selector or _NO_CONDITION).bindings() | {"limit": limit, "before_position": before_position}
        with self.database.transaction() as connection:
            rows = connection.execute(_SQL["find_operations"], given).fetchall()
            until = undo_limits(connection, [row["id"] for row in rows], self.retention_days)
        return [_operation(row, until.get(row["id"])) for row in rows]

    def details(self, operation_id: int, *, limit: int = 1000) -> dict[str, Any]:
        """What else is known of an operation, at most `limit` of each: rejections, gate results, datasets, verdicts,
        history, what its writer said it is based on, searches that it took.
        """
        given = {"operation_id": operation_id, "limit": limit}
        names = {
            "rejected": "rejections_of",
            "quality_checks": "quality_checks_of",
            "datasets": "datasets_of",
            "verdicts": "verdicts_of",
            "verdicts_about": "verdicts_about",
            "record_verdicts": "record_verdicts_of",
            "record_verdicts_about": "record_verdicts_about",
            "withheld": "withheld_of",
            "visibility_history": "visibility_history_of",
            "based_on": "citations_of",
            "searches": "searches_of",
        }
        with self.database.transaction() as connection:
            return {key: connection.execute(_SQL[name], given).fetchall() for key, name in names.items()}

    def _one(self, name: str, given: Mapping[str, Any]) -> Row:
        with self.database.transaction() as connection:
            row = connection.execute(_SQL[name], given).fetchone()
        assert row is not None, f"{name} answers with one row"
        return row


def _operation(row: Row, undoable_until: datetime | None) -> Operation:
    known = {k: v for k, v in row.items() if k != "id"}
    return Operation(operation_id=row["id"], **known, undoable_until=undoable_until)
