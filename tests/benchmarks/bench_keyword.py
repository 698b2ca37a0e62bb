"""Keyword and hybrid search over many chunks: latency, sizes, and what half of all operations withdrawn or an earlier position cost.

Texts are made of words drawn by Zipf's law (exponent 1, 200,000 words), 141 to a chunk, as real paragraphs have on average;
queries are of five words, drawn from a chunk of the collection: three rare ones, two less so. Ten chunks a document, operations
of a hundred documents. bm25s, when it is installed (`make bench-peers`), indexes the same terms in the same run; it answers from
memory, and has to be built anew for any change. Full-text search of PostgreSQL (GIN, the words joined by "or", ts_rank_cd) is
asked in turns with Recant, over the same texts. Sixteen threads ask at last, each its share of the queries.

With a million chunks (`run(chunks=1_000_000, vectors=False)`) it takes some ten minutes; it isn't part of `make bench`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import psutil
from numpy.typing import NDArray

from recant.corpus import BatchTarget, ChunkRow, DocumentRow
from recant.search import KeywordIndex, Searcher
from recant.search.keyword_index import tokenise_documents, write_segments
from recant.store import Database
from tests.benchmarks.measure import Measure, at_least, at_most, median, milliseconds, percentile_95, stopwatch
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import CHUNKS_PER_DOCUMENT, COLLECTION, Clusters, Vectors, Writer, text_hash

WORDS = 200_000
WORDS_PER_CHUNK = 141
DOCUMENTS_PER_OPERATION = 100
LETTERS = np.array(list("bcdfghjklmnprtvw"))
CLIENTS = 16
FULL_TEXT_QUERIES = 10
BOUNDS = {10_000: 3.0, 100_000: 3.0, 1_000_000: 15.0}


def run(chunks: int = 100_000, queries: int = 300, seed: int = 5, vectors: bool = True) -> list[Measure]:
    """Measures with `chunks` chunks seen; `vectors`: hybrid search, too, which needs a vector index."""
    with measured_server() as (database, dsn):
        corpus = Corpus(seed, chunks)
        operations, measures = fill(database, corpus, vectors=vectors)
        asked = corpus.queries(queries)
        measures += sizes(dsn, chunks)
        searcher = _searcher(database, asked, corpus.clusters.draw(len(asked)))
        measures += now(searcher, corpus, asked, vectors=vectors)
        measures += clients(searcher, asked, vectors=vectors)
        measures += full_text(database, searcher, asked)
        measures += after_changes(database, searcher, corpus, asked)
        measures += withdrawn(database, searcher, corpus, asked, operations)
        return measures + _bm25s(corpus, asked)


class Corpus:
    """Texts by number, the same every time."""

    def __init__(self, seed: int, chunks: int) -> None:
        self.random = np.random.default_rng(seed)
        self.chunks = chunks
        self.words = _words(WORDS)
        weights = 1 / np.arange(1, WORDS + 1)
        self.cumulated = np.cumsum(weights / weights.sum())
        self.drawn: list[NDArray[np.int32]] = []
        self.clusters = Clusters(seed, centres=max(10, chunks // 200))

    def texts(self, count: int) -> list[str]:
        """The next ones."""
        picked = np.searchsorted(self.cumulated, self.random.random((count, WORDS_PER_CHUNK))).astype(np.int32)
        np.minimum(picked, WORDS - 1, out=picked)
        self.drawn.append(picked)
        return [" ".join(row) for row in self.words[picked]]

    def queries(self, count: int) -> list[str]:
        """Five words of a chunk: three of its rarer half, two of the other."""
        random, found = np.random.default_rng(1), []
        for _ in range(count):
            block = self.drawn[random.integers(len(self.drawn))]
            ranks = np.sort(np.unique(block[random.integers(len(block))]))
            half = len(ranks) // 2
            picked = [*random.choice(ranks[half:], 3, replace=False), *random.choice(ranks[:half], 2, replace=False)]
            found.append(" ".join(self.words[picked]))
        return found


def _words(count: int) -> NDArray[np.str_]:
    """As many words of consonants: their own stems, and no stop words."""
    digits = [(np.arange(count) // len(LETTERS) ** place) % len(LETTERS) for place in range(5)]
    columns = [LETTERS[of] for of in digits]
    return np.array(["".join(letters) for letters in zip(*columns, strict=True)])


def fill(database: Database, corpus: Corpus, *, vectors: bool) -> tuple[list[int], list[Measure]]:
    """Publishes the corpus as an ingest does, and merges; the operations, and how long that took."""
    writer = Writer(database)
    operations = []
    tokenising = writing = 0.0
    for first in range(0, corpus.chunks // CHUNKS_PER_DOCUMENT, DOCUMENTS_PER_OPERATION):
        operation, seconds = _ingest(writer, corpus, first)
        tokenising, writing = tokenising + seconds[0], writing + seconds[1]
        operations.append(operation)
    with stopwatch() as merging:
        KeywordIndex(database).tend(COLLECTION)
    if vectors:
        writer.build_index()
    return operations, [
        at_least("tokenised in one process", corpus.chunks / tokenising, "chunks/s", 10_000),
        Measure("packed and written as segments", corpus.chunks / writing, "chunks/s"),
        Measure(f"merging the segments of {len(operations):,} operations", merging.seconds, "s"),
    ]


def _ingest(writer: Writer, corpus: Corpus, first: int) -> tuple[int, tuple[float, float]]:
    """The next documents as an operation; and the seconds of splitting them into terms, and of writing segments."""
    rows = _rows(writer, corpus, first)
    operation = writer.open()
    target = BatchTarget(writer.info.id, operation, writer.log.begin_batch(operation, "all"))
    with stopwatch() as tokenising:
        as_terms = tokenise_documents(rows)
    with writer.database.transaction() as connection:
        writer.corpus.append(connection, target, rows)
        with stopwatch() as writing:
            write_segments(connection, target, as_terms)
    writer.log.finish_batch(target.batch_id, {})
    writer.log.publish(operation)
    return operation, (tokenising.seconds, writing.seconds)


def _rows(writer: Writer, corpus: Corpus, first: int) -> list[DocumentRow]:
    texts = corpus.texts(DOCUMENTS_PER_OPERATION * CHUNKS_PER_DOCUMENT)
    found = corpus.clusters.draw(len(texts))
    hashes = [text_hash(text) for text in texts]
    ids = writer.embeddings.add(dict(zip(hashes, found, strict=True)))
    rows = []
    for number in range(DOCUMENTS_PER_OPERATION):
        low = number * CHUNKS_PER_DOCUMENT
        chunks = tuple(
            ChunkRow(i, ids[hashes[low + i]], 190, "text", (), texts[low + i], {}) for i in range(CHUNKS_PER_DOCUMENT)
        )
        source, mark = f"/synthetic/{first + number}.md", hashes[low]
        rows.append(DocumentRow(source, "/synthetic", None, "markdown", mark, mark, {}, chunks, None))
    return rows


def sizes(dsn: str, chunks: int) -> list[Measure]:
    """What the index takes on disk."""
    with Database(dsn, role="postgres").connection() as connection:
        connection.execute("VACUUM FULL keyword_segment, keyword_posting")
        connection.execute("VACUUM ANALYZE")
        row = connection.execute(
            "SELECT (SELECT count(*) FROM keyword_segment) AS segments, "
            "pg_total_relation_size('keyword_segment') + pg_total_relation_size('keyword_posting') AS bytes"
        ).fetchone()
    assert row is not None
    return [
        Measure("segments", row["segments"], ""),
        Measure("size of the keyword index on disk, per 100,000 chunks", row["bytes"] / chunks * 0.1, "MB"),
    ]


def now(searcher: Searcher, corpus: Corpus, queries: Sequence[str], *, vectors: bool) -> list[Measure]:
    """The first search, and what follows."""
    bound, process = BOUNDS.get(corpus.chunks, 15.0), psutil.Process()
    before = process.memory_info().rss
    measures = [Measure("the first keyword search of a process", _first(searcher, queries[0]), "ms")]
    uncached, warm = _timed(searcher, queries), _timed(searcher, queries)
    measures += _lines("keyword", uncached, bound) + _lines("keyword, the same queries again", warm, bound)
    measures.append(Measure("memory that keyword searches took", (process.memory_info().rss - before) / 2**20, "MB"))
    if vectors:
        _timed(searcher, queries[:50], "hybrid")
        measures += _lines("hybrid without the query's embedding", _timed(searcher, queries, "hybrid"), 10.0)
    return measures


def clients(searcher: Searcher, queries: Sequence[str], *, vectors: bool) -> list[Measure]:
    """Searches a second of sixteen threads; an error of any ends the benchmark."""
    measures = []
    for mode in ("keyword", "hybrid") if vectors else ("keyword",):
        ask = partial(_once, searcher, mode)
        with ThreadPoolExecutor(CLIENTS) as pool, stopwatch() as watch:
            times = list(pool.map(ask, queries))
        measures += [
            Measure(f"{CLIENTS} clients, {mode}", len(times) / watch.seconds, "/s"),
            Measure(f"{CLIENTS} clients, {mode}: 95th percentile", percentile_95(times), "ms"),
        ]
    return measures


def _once(searcher: Searcher, mode: str, query: str) -> float:
    return milliseconds(partial(searcher.search, query, collection=COLLECTION, mode=mode))


def full_text(database: Database, searcher: Searcher, queries: Sequence[str]) -> list[Measure]:
    """PostgreSQL's own, in turns with ours, over the same chunks."""
    with database.connection() as connection:
        connection.execute(
            "CREATE TEMP TABLE plain AS SELECT id, text, to_tsvector('simple', text) AS words FROM chunk"
        )
        connection.execute("CREATE INDEX ON plain USING gin (words)")
        connection.execute("ANALYZE plain")
        statement = (
            "SELECT id, text FROM plain, to_tsquery('simple', %s) AS q WHERE words @@ q "
            "ORDER BY ts_rank_cd(words, q) DESC LIMIT 10"
        )
        pairs = []
        for query in queries[:FULL_TEXT_QUERIES]:
            asked = [query.replace(" ", " | ")]
            theirs = milliseconds(lambda given=asked: connection.execute(statement, given).fetchall())  # type: ignore[misc]
            pairs.append((_once(searcher, "keyword", query), theirs))
        connection.execute("DROP TABLE plain")
    return [
        Measure("full-text search of PostgreSQL, median", median([theirs for _, theirs in pairs]), "ms"),
        at_most("keyword / full-text search of PostgreSQL, in turns", median([a / b for a, b in pairs]), "x", 1),
    ]


def after_changes(database: Database, searcher: Searcher, corpus: Corpus, queries: Sequence[str]) -> list[Measure]:
    """The first search after each of some publishes and rollbacks, beyond the one after it."""
    writer, over = Writer(database), {"a publish of 1,000 chunks": list[float](), "a rollback": list[float]()}
    for number in range(8):
        operation, _ = _ingest(writer, corpus, corpus.chunks + number * DOCUMENTS_PER_OPERATION)
        for name in over:
            if name == "a rollback":
                writer.say("rollback", [operation], shows=False)
            first, second = _once(searcher, "keyword", queries[number]), _once(searcher, "keyword", queries[number])
            over[name].append(first - second)
    return [
        at_most(f"the first keyword search after {name}, beyond the next", median(times), "ms", 10)
        for name, times in over.items()
    ]


def withdrawn(
    database: Database, searcher: Searcher, corpus: Corpus, queries: Sequence[str], operations: Sequence[int]
) -> list[Measure]:
    """With half of all operations withdrawn, and as of the position before."""
    bound, position = BOUNDS.get(corpus.chunks, 15.0), _position(database)
    _first(searcher, queries[0])
    warm = _timed(searcher, queries)
    Writer(database).say("rollback", operations[::2], shows=False)
    measures = [Measure("the first keyword search after half was withdrawn", _first(searcher, queries[0]), "ms")]
    half = _timed(searcher, queries)
    measures += _lines("keyword, half withdrawn", half, bound)
    measures.append(at_most("half withdrawn / before, medians", median(half) / median(warm), "x", 1.5))
    _first(searcher, queries[0], as_of=position)
    then = _timed(searcher, queries, as_of=position)
    measures += _lines("keyword, as of before that", then, bound)
    return [*measures, at_most("as of / now, medians", median(then) / median(warm), "x", 2)]


def _searcher(database: Database, queries: Sequence[str], vectors: Vectors) -> Searcher:
    by_text = dict(zip(queries, vectors, strict=True))
    return Searcher(database, by_text.__getitem__)


def _first(searcher: Searcher, query: str, **options: int) -> float:
    return milliseconds(partial(searcher.search, query, collection=COLLECTION, mode="keyword", **options))


def _timed(searcher: Searcher, queries: Sequence[str], mode: str = "keyword", **options: int) -> list[float]:
    calls: list[Callable[[], object]] = [
        partial(searcher.search, query, collection=COLLECTION, mode=mode, **options) for query in queries
    ]
    return [milliseconds(call) for call in calls]


def _lines(name: str, times: list[float], bound: float) -> list[Measure]:
    return [
        Measure(f"{name}, median", median(times), "ms"),
        at_most(f"{name}, 95th percentile", percentile_95(times), "ms", bound),
    ]


def _position(database: Database) -> int:
    with database.transaction() as connection:
        row = connection.execute("SELECT log_position() AS position").fetchone()
    assert row is not None
    return int(row["position"])


def _bm25s(corpus: Corpus, queries: Sequence[str]) -> list[Measure]:
    if importlib.util.find_spec("bm25s") is None:
        print("Not compared, because not installed: bm25s (`make bench-peers` installs it)")
        return []
    import bm25s

    ids = [row.tolist() for block in corpus.drawn for row in block]
    retriever = bm25s.BM25(k1=1.5, b=0.75)
    with stopwatch() as building:
        retriever.index((ids, {str(number): number for number in range(WORDS)}), show_progress=False)
    numbers = {word: str(number) for number, word in enumerate(corpus.words)}
    asked = [[[numbers[word] for word in query.split()]] for query in queries]
    times = [milliseconds(partial(retriever.retrieve, q, k=10, show_progress=False, n_threads=0)) for q in asked]
    return [
        Measure("bm25s, building its index (terms are there)", building.seconds, "s"),
        Measure("bm25s, median", median(times), "ms"),
        Measure("bm25s, 95th percentile", percentile_95(times), "ms"),
    ]
