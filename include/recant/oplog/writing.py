"""An operation that one caller writes at once: opened, one batch, published; or aborted, with what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from recant.json_types import JSON
from recant.oplog.log import OperationLog
from recant.oplog.operation import Attribution, Dataset


def write_at_once(
    log: OperationLog, kind: str, attribution: Attribution, write: Callable[[int, int], Mapping[str, JSON]], *,
    collection: str, parameters: Mapping[str, JSON], datasets: Iterable[Dataset], batch: str,
) -> tuple[int, int]:  # fmt: skip
    """The operation's id and position. `write` is given the ids of operation and batch, and says what it comes to.

    Whatever it raises, or publishing does, is raised; the operation is aborted then, and nothing of it was seen.
    """
    operation_id = log.open(kind, attribution, collection=collection, parameters=parameters, datasets=datasets)
    try:
        batch_id = log.begin_batch(operation_id, batch)
        log.finish_batch(batch_id, write(operation_id, batch_id))
        (position,) = log.publish(operation_id)
    except BaseException as error:
        log.abort(operation_id, f"{type(error).__name__}: {error}"[:1000], failed=True)
        raise
    return operation_id, position
