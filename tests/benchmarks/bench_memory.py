"""Whether the memory of an ingest grows with the corpus: peak resident memory with one, two and four times as much.

The whole pipeline runs in a process of its own, Great Expectations included, on Markdown files. Vectors are made up
from the texts' hashes, so that the model, which takes the same whatever the corpus, doesn't hide what grows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recant.embedding import ModelCard, resolve_model
from recant.ingestion.pipeline import Ingestion
from recant.ingestion.request import IngestRequest
from recant.oplog import Attribution
from recant.settings import inherited_environment, read_settings
from recant.store import Database
from tests.benchmarks.documents import write_documents
from tests.benchmarks.measure import Measure, at_most
from tests.benchmarks.server import measured_server

TIMES = (1, 2, 4)
MIB = 1024


def run(documents: int = 300) -> list[Measure]:
    """Measures with `documents` files of ten chunks, and with two and four times as many."""
    with measured_server() as (_, dsn), tempfile.TemporaryDirectory(prefix="recant-bench-") as temporary:
        peaks = {times: _peak_mib(dsn, Path(temporary), times, documents * times) for times in TIMES}
    one, most = peaks[TIMES[0]], peaks[TIMES[-1]]
    return [
        *(Measure(f"peak memory, {documents * times:,} documents", peak, "MiB") for times, peak in peaks.items()),
        at_most(f"peak memory, {TIMES[-1]} times the documents / once", most / one, "x", 1.1),
    ]


def _peak_mib(dsn: str, folder: Path, times: int, documents: int) -> float:
    sources = folder / f"{times}"
    write_documents(sources, documents, label=f"times-{times}")
    command = [sys.executable, "-m", "tests.benchmarks.bench_memory", str(sources), f"times-{times}"]
    environment = inherited_environment() | {"RECANT_DSN": dsn, "RECANT_HOME": str(folder / "home")}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    answer = json.loads(done.stdout)
    if answer["documents"] != documents:
        raise AssertionError(f"{documents} documents were to be ingested: {answer}")
    return float(answer["peak_mib"])


@dataclass(frozen=True)
class MadeUpEmbedder:
    """Vectors that follow from the texts, at next to no cost."""

    card: ModelCard

    def embed(self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None) -> NDArray[np.float32]:
        """Unit vectors of shape (len(texts), card.dimensions)."""
        rows = [np.random.default_rng(hash(text) & 0xFFFFFFFF).standard_normal(self.card.dimensions) for text in texts]
        vectors = np.array(rows, dtype=np.float32).reshape(len(texts), self.card.dimensions)
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


def ingest_and_tell(sources: str, collection: str) -> dict[str, Any]:
    """In the child: one ingest, and the most memory that was resident."""
    settings = read_settings()
    assert settings.dsn is not None
    with Database(settings.dsn) as database:
        ingestion = Ingestion(database, settings)
        vars(ingestion)["embedder"] = MadeUpEmbedder(resolve_model(None))
        report = ingestion.run(IngestRequest(sources=(sources,), collection=collection), Attribution(agent="bench"))
    return {"documents": report.documents, "chunks": report.chunks, "peak_mib": _peak_resident_kib() / MIB}


def _peak_resident_kib() -> int:
    """VmHWM; getrusage would count what the parent had before exec, too."""
    status = Path("/proc/self/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    print(json.dumps(ingest_and_tell(*sys.argv[1:])))
