"""What remembering saves on a log of queries as people write them, and how many clients at once are served.

The log: eight hundred queries, drawn by Zipf's law (the n-th most frequent has the n-th part of the first one's share) from
three hundred sentences of the documents; after every hundred something is published, so that answers are forgotten. The
whole call, real MiniLM included, of a knowledge base that remembers and of one that doesn't, over the same database. Then
sixteen threads ask for answers by vector, each its share of the queries, without remembering.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import recant
from recant.knowledge_base import KnowledgeBase
from recant.search import Searcher
from recant.settings import read_settings
from recant.store import Database
from tests.benchmarks.documents import write_documents
from tests.benchmarks.measure import Measure, at_least, median, milliseconds, percentile_95, stopwatch
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import COLLECTION, Clusters, Writer, drafts

SENTENCES = 300
CLIENTS = 16
EVERY = 100


def run(documents: int = 40, draws: int = 800, chunks: int = 10_000, seed: int = 9) -> list[Measure]:
    """Measures with `documents` Markdown files and `draws` queries; then with `chunks` synthetic chunks."""
    with measured_server() as (database, dsn), tempfile.TemporaryDirectory(prefix="recant-bench-") as folder:
        measures = remembering(dsn, Path(folder), documents, draws, seed)
        return measures + clients(database, chunks, seed)


def remembering(dsn: str, folder: Path, documents: int, draws: int, seed: int) -> list[Measure]:
    """Seconds of the log with and without."""
    write_documents(folder / "sources", documents)
    queries = _zipf(_sentences(folder / "sources"), draws, seed)
    seconds, knowledge_bases = {}, {size: _connect(dsn, folder, size) for size in ("0", "1000")}
    knowledge_bases["0"].ingest([str(folder / "sources")])
    for size, kb in knowledge_bases.items():
        with kb:
            kb.search("warm up")
            seconds[size] = _asked(kb, queries, folder / f"more-{size}")
            hits = kb._search_cache.results.hits / draws, kb._search_cache.vectors.hits
    return [
        Measure(f"{draws:,} queries without remembering", seconds["0"], "s"),
        Measure(f"{draws:,} queries, remembering", seconds["1000"], "s"),
        Measure("answered from memory", 100 * hits[0], "%"),
        at_least("saved", 100 * (1 - seconds["1000"] / seconds["0"]), "%", 20),
    ]


def _connect(dsn: str, folder: Path, size: str) -> KnowledgeBase:
    given = {"RECANT_HOME": str(folder / "home"), "RECANT_EMBEDDER": "local", "RECANT_SEARCH_CACHE": size}
    return recant.connect(dsn, settings=read_settings(given))


def _asked(kb: KnowledgeBase, queries: list[str], folder: Path) -> float:
    """Publishing isn't counted."""
    seconds = 0.0
    for start in range(0, len(queries), EVERY):
        with stopwatch() as watch:
            for query in queries[start : start + EVERY]:
                kb.search(query)
        seconds += watch.seconds
        write_documents(folder / f"{start}", 1, label=f"{folder.name}-{start}")
        kb.ingest([str(folder / f"{start}")])
    return seconds


def _sentences(folder: Path) -> list[str]:
    texts = [path.read_text("utf-8") for path in sorted(folder.glob("*.md"))]
    found = [line.split(".")[0] for text in texts for line in text.splitlines() if line.endswith(".")]
    return found[:SENTENCES]


def _zipf(sentences: list[str], draws: int, seed: int) -> list[str]:
    shares = 1 / np.arange(1, len(sentences) + 1)
    picked = np.random.default_rng(seed).choice(len(sentences), size=draws, p=shares / shares.sum())
    return [sentences[number] for number in picked]


def clients(database: Database, chunks: int, seed: int) -> list[Measure]:
    """Searches a second of one client and of sixteen; an error of any ends the benchmark."""
    clusters = Clusters(seed, centres=max(10, chunks // 200))
    writer = Writer(database)
    writer.publish(drafts(clusters, chunks // 10, label="served"))
    writer.build_index()
    queries = clusters.draw(800)
    searcher = Searcher(database, lambda text: queries[0])

    def ask(number: int) -> float:
        return milliseconds(lambda: searcher.search(None, vector=queries[number], collection=COLLECTION))

    for number in range(20):
        ask(number)
    with stopwatch() as alone:
        one = [ask(number) for number in range(200)]
    with ThreadPoolExecutor(CLIENTS) as pool, stopwatch() as together:
        many = list(pool.map(ask, range(len(queries))))
    return [
        Measure("1 client, searches", len(one) / alone.seconds, "/s"),
        Measure(f"{CLIENTS} clients, searches", len(many) / together.seconds, "/s"),
        Measure(f"{CLIENTS} clients: median", median(many), "ms"),
        Measure(f"{CLIENTS} clients: 95th percentile", percentile_95(many), "ms"),
    ]
