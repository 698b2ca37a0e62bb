"""Relevance on a judged collection that is made where it is measured (`judged`): each mode, the usual fusion, and LanceDB's.

All have the same passages and the same vectors (all-MiniLM-L6-v2). `rrf` is reciprocal rank fusion of BM25 and cosine, 100 of each; so is
LanceDB's hybrid, of its own full-text index over title, headings and text, stemmed, and of its vectors. Differences are held
against chance by a paired randomisation test over queries; no class of queries is left out of the mean, and each counts the same.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recant.corpus import BatchTarget, ChunkRow, Corpus, DocumentRow, Embeddings
from recant.embedding import open_embedder, resolve_model
from recant.evaluation.measures import randomisation_test
from recant.oplog import Attribution, OperationLog
from recant.search import Fusion, Searcher
from recant.search.keyword_index import tokenise_documents, write_segments
from recant.store import Database
from tests.benchmarks.judged import Collection, Judged, Passage, judged_collection
from tests.benchmarks.measure import Measure, at_least, at_most
from tests.benchmarks.peers import LanceHybrid
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import Vectors, text_hash

COLLECTION = "judged"
DEPTH = 100
K = 10
HYBRID = "hybrid"
LANCE = "LanceDB's hybrid"
WAYS: dict[str, tuple[str, Fusion | None]] = {
    "semantic": ("semantic", None),
    "keyword": ("keyword", None),
    "rrf": ("hybrid", Fusion("rrf")),
    HYBRID: ("hybrid", None),
}
Gains = NDArray[np.float64]
Ask = Callable[[Judged, Vectors], list[int]]


def run(
    functions: int = 600, sections: int = 450, translations: int = 170, queries: int = 75, seed: int = 4
) -> list[Measure]:
    """Measures over so many passages of each sort, with at most `queries` queries of each class."""
    judged = judged_collection(seed, functions=functions, sections=sections, translations=translations, queries=queries)
    card = resolve_model(None)
    embedder = open_embedder(card, purpose="documents", mode="local")
    vectors = embedder.embed([passage.embedded for passage in judged.passages])
    asked = embedder.embed([query.text for query in judged.queries])
    gains: dict[str, Gains] = {}
    with measured_server() as (database, _):
        _publish(database, judged.passages, vectors, card)
        searcher = Searcher(database, lambda text: embedder.embed([text])[0])
        for way, of in WAYS.items():
            gains[way] = _gains(judged, asked, _asking(searcher, *of))
    if importlib.util.find_spec("lancedb"):
        with tempfile.TemporaryDirectory(prefix="recant-bench-") as folder:
            lance = LanceHybrid(Path(folder))
            lance.write([passage.whole for passage in judged.passages], vectors)
            gains[LANCE] = _gains(judged, asked, lambda query, vector: lance.best(query.text, vector, DEPTH))
    return _report(judged, gains)


def _asking(searcher: Searcher, mode: str, fusion: Fusion | None) -> Ask:
    def ask(query: Judged, vector: Vectors) -> list[int]:
        options: dict[str, Any] = {"collection": COLLECTION, "mode": mode, "limit": DEPTH, "fusion": fusion}
        hits = searcher.search(query.text, vector=None if mode == "keyword" else vector, **options).hits
        return [int(hit.source) for hit in hits]

    return ask


def _publish(database: Database, passages: Sequence[Passage], vectors: Vectors, card: object) -> None:
    corpus, log = Corpus(database), OperationLog(database)
    info = corpus.ensure_collection(COLLECTION, card)  # type: ignore[arg-type]
    operation = log.open("ingest", Attribution(agent="bench"), collection=COLLECTION)
    target = BatchTarget(info.id, operation, log.begin_batch(operation, "all"))
    hashes = [text_hash(passage.embedded) for passage in passages]
    ids = Embeddings(database, info.space_id, info.dimensions).add(dict(zip(hashes, vectors, strict=True)))
    rows = [
        DocumentRow(
            str(number), "judged", passage.title, "text", mark, mark, {},
            (ChunkRow(0, ids[mark], 100, "text", passage.headers, passage.text, {}),), None,
        )
        for number, (passage, mark) in enumerate(zip(passages, hashes, strict=True))
    ]  # fmt: skip
    with database.transaction() as connection:
        corpus.append(connection, target, rows)
        write_segments(connection, target, tokenise_documents(rows))
    log.finish_batch(target.batch_id, {})
    log.publish(operation)


def _gains(judged: Collection, vectors: Vectors, ask: Ask) -> Gains:
    """nDCG@10 and recall@100 of each query."""
    gains = []
    for query, vector in zip(judged.queries, vectors, strict=True):
        found = [number in query.answers for number in ask(query, vector)]
        ideal = sum(1 / log2(rank + 2) for rank in range(min(K, len(query.answers))))
        gain = sum(1 / log2(rank + 2) for rank, relevant in enumerate(found[:K]) if relevant)
        gains.append((gain / ideal, sum(found[:DEPTH]) / len(query.answers)))
    return np.array(gains)


def _report(judged: Collection, gains: dict[str, Gains]) -> list[Measure]:
    kinds = np.array([query.kind for query in judged.queries])
    measures = [Measure("passages", len(judged.passages), ""), Measure("queries", len(judged.queries), "")]
    for way, found in gains.items():
        measures.append(Measure(f"{way}: nDCG@10", _mean(found[:, 0], kinds), ""))
        measures.append(Measure(f"{way}: recall@100", _mean(found[:, 1], kinds), ""))
    for other in (way for way in gains if way != HYBRID):
        difference = gains[HYBRID] - gains[other]
        measures.append(at_least(f"hybrid - {other}: nDCG@10", _mean(difference[:, 0], kinds), "", 0))
        measures.append(at_most("the same by chance", randomisation_test(difference[:, 0].tolist()), "", 0.05))
        measures.append(at_least(f"hybrid - {other}: recall@100", _mean(difference[:, 1], kinds), "", 0))
    for kind in sorted(set(kinds)):
        measures += _of_class(kind, {way: found[kinds == kind, 0] for way, found in gains.items()})
    return measures


def _of_class(kind: str, gains: dict[str, Gains]) -> list[Measure]:
    """A class by itself: its queries are few, so this is told and not held against anything."""
    measures = [Measure(f"{kind}, {way}: nDCG@10", float(found.mean()), "") for way, found in gains.items()]
    best = max((way for way in gains if way != HYBRID), key=lambda way: gains[way].mean())
    difference = gains[HYBRID] - gains[best]
    return [*measures, Measure(f"{kind}: by chance as far from {best}", randomisation_test(difference.tolist()), "")]


def _mean(values: Gains, kinds: NDArray[np.str_]) -> float:
    """Of the classes' means."""
    return float(np.mean([values[kinds == kind].mean() for kind in sorted(set(kinds))]))
