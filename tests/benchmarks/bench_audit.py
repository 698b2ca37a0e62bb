"""Audits by the built-in suite: processor time a chunk, and memory, which may grow by what is kept of each chunk only.

Documents of ten chunks of 120 words out of 4,000, one chunk in ten a variation of an earlier one. Each audit runs in a process of
its own, which tells its peak resident memory and its own processor time; the server's isn't in it. The growth is between a
quarter of the chunks and all of them, above what the libraries take.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from recant.quality import audit_collection
from recant.settings import inherited_environment
from recant.store import Database
from tests.benchmarks.measure import Measure, at_least, at_most
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import COLLECTION, Clusters, Draft, Writer, drafts

WORDS = 120
VARIED_EVERY = 10
BYTES_A_CHUNK = 1_000
MIB = 1024


def run(chunks: int = 40_000, seed: int = 11) -> list[Measure]:
    """Measures with a quarter of the chunks, and with all of them."""
    told: dict[int, dict[str, float]] = {}
    with measured_server() as (database, dsn):
        writer, made = Writer(database), 0
        clusters = Clusters(seed, 100)
        for size in (chunks // 4, chunks):
            writer.publish(_prose(clusters, made, size // 10, seed))
            made = size // 10
            told[size] = _audited(dsn)
    few, all_of_them = told[chunks // 4], told[chunks]
    growth = (all_of_them["peak_kib"] - few["peak_kib"]) * 1024 / (chunks - chunks // 4)
    expected = chunks / VARIED_EVERY
    return [
        Measure(f"processor time, {chunks:,} chunks", all_of_them["seconds"], "s"),
        Measure("processor time a chunk", all_of_them["seconds"] / chunks * 1e6, "us"),
        *(Measure(f"peak memory, {size:,} chunks", one["peak_kib"] / MIB, "MiB") for size, one in told.items()),
        at_most("memory more for each chunk more", growth, "bytes", BYTES_A_CHUNK),
        at_least("near-duplicates found / made", all_of_them["near"] / expected, "x", 0.98),
    ]


@dataclass(frozen=True)
class Prose(Draft):
    """A document of random words; the last chunk is the first one of an earlier document with a word changed."""

    number: int = 0
    seed: int = 0

    @cached_property
    def texts(self) -> list[str]:  # type: ignore[override]
        """One text a vector."""
        own = [_words(self.seed, self.number, place) for place in range(len(self.vectors))]
        varied = _words(self.seed, self.number // 2, 0).split()
        varied[self.number % WORDS] = f"changed{self.number}"
        return [*own[:-1], " ".join(varied)]


def _words(seed: int, number: int, place: int) -> str:
    rng = random.Random(f"{seed} {number} {place}")
    return " ".join(f"word{rng.randrange(4_000)}" for _ in range(WORDS))


def _prose(clusters: Clusters, first: int, last: int, seed: int) -> Iterator[Draft]:
    for start in range(first, last, 200):
        for draft in drafts(clusters, min(200, last - start), label="prose", first=start):
            number = int(draft.label.split()[1])
            yield Prose(draft.source, draft.label, draft.vectors, draft.attributes, number, seed)


def _audited(dsn: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="recant-bench-") as home:
        environment = inherited_environment() | {"RECANT_HOME": home}
        command = [sys.executable, "-m", "tests.benchmarks.bench_audit", dsn]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def _audit(dsn: str) -> dict[str, float]:
    started = time.process_time()
    with Database(dsn) as database:
        report = audit_collection(database, COLLECTION)
    near = next(e["unexpected"] for e in report.expectations if e["name"] == "text_is_not_nearly_repeated")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": time.process_time() - started, "peak_kib": peak, "near": float(str(near)), "rows": report.rows}


if __name__ == "__main__":
    print(json.dumps(_audit(sys.argv[1])))
