"""`recant search` from a cold shell: a fresh process, no resident embedder, a real question to real vectors.

The operating system's page cache is warm; nothing of Recant's is. What is timed is what a user waits for: starting
Python, importing, loading MiniLM's weights, embedding the question, searching, printing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from recant.ingestion.pipeline import Ingestion
from recant.ingestion.request import IngestRequest
from recant.oplog import Attribution
from recant.settings import inherited_environment, read_settings
from tests.benchmarks.documents import write_documents
from tests.benchmarks.measure import Measure, at_most, median, stopwatch
from tests.benchmarks.server import measured_server


def run(documents: int = 30, rounds: int = 7) -> list[Measure]:
    """Measures over a collection of `documents` Markdown files."""
    with measured_server() as (database, dsn), tempfile.TemporaryDirectory(prefix="recant-bench-") as temporary:
        folder = Path(temporary)
        write_documents(folder / "sources", documents)
        environment = {"RECANT_HOME": str(folder / "home"), "RECANT_DSN": dsn, "RECANT_EMBEDDER": "local"}
        request = IngestRequest(sources=(str(folder / "sources"),), collection="knowledge")
        Ingestion(database, read_settings(environment)).run(request, Attribution(agent="bench"))
        seconds = [_search(environment) for _ in range(rounds + 1)][1:]
    return [
        at_most("recant search from a cold shell, median", median(seconds), "s", 3),
        at_most("recant search from a cold shell, slowest", max(seconds), "s", 3),
    ]


def _search(environment: dict[str, str]) -> float:
    command = [str(Path(sys.executable).with_name("recant")), "search", "how does a rollback change the log", "--json"]
    with stopwatch() as watch:
        done = subprocess.run(command, env=inherited_environment() | environment, capture_output=True, check=True)
    if len(json.loads(done.stdout)["hits"]) != 10:
        raise AssertionError(f"ten hits were to be found: {done.stdout[:500]!r}")
    return watch.seconds
