"""What writes lineage in the tests: operations of the log, and a relay that runs beside them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from recant.lineage import collection_dataset, source_dataset
from recant.lineage.relay import Relay
from recant.oplog import Attribution, Dataset, OperationLog
from recant.settings import Settings

ALICE = Attribution("alice", session="s1", run_id="run-1", message="a load")


def open_ingest(log: OperationLog, settings: Settings, **changes: Any) -> int:
    """An open operation that reads a folder and writes the collection "docs"."""
    attribution = changes.pop("attribution", ALICE)
    datasets = [
        Dataset("input", *source_dataset(settings, "/srv/docs")),
        Dataset("output", *collection_dataset(settings, "docs")),
    ]
    return log.open("ingest", attribution, collection="docs", datasets=datasets, **changes)


def publish_ingest(log: OperationLog, settings: Settings, **changes: Any) -> int:
    """The id of an operation that was opened and published: a START and a COMPLETE are in the outbox."""
    operation = open_ingest(log, settings, **changes)
    log.finish_batch(log.begin_batch(operation, "0001"), {"documents": 1, "chunks": 3})
    log.publish(operation)
    return operation


def lines(settings: Settings) -> list[dict[str, Any]]:
    """The events in the file of the installation."""
    path: Path = settings.home / "lineage" / "events.ndjson"
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line] if path.exists() else []


def told(events: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Operation and type of each event."""
    return [(event["run"]["facets"]["recant_operation"]["operation_id"], event["eventType"]) for event in events]


@contextmanager
def running(relay: Relay) -> Iterator[Thread]:
    """The relay in a thread, stopped at the end."""
    thread = Thread(target=relay.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        relay.stop()
        thread.join(10)
        assert not thread.is_alive()


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Fails when it doesn't come to hold in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it didn't happen in time"
        time.sleep(0.02)
