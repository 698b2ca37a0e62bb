"""Relevance by known items: the first line of a function's docstring is to find the function's code, from which it was removed.

The functions are those of Python's standard library here, so the collection is made, not brought, and differs a little between
Python versions. One relevant chunk a query: nDCG@10 is 1 / log2(1 + rank). Such queries share words with names in the code, which favours
words; they are no judged collection, and tell the modes apart no better than that. The weights were not chosen on these queries.
"""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path

import numpy as np

from recant.corpus import BatchTarget, ChunkRow, Corpus, DocumentRow, Embeddings
from recant.embedding import open_embedder, resolve_model
from recant.oplog import Attribution, OperationLog
from recant.search import Fusion, Searcher
from recant.search.keyword_index import tokenise_documents, write_segments
from recant.store import Database
from tests.benchmarks.measure import Measure, at_least
from tests.benchmarks.server import measured_server
from tests.benchmarks.synthetic import text_hash

COLLECTION = "functions"
LEAST_WORDS = 5
LONGEST_TEXT = 1_200
RESAMPLES = 2_000
WAYS: dict[str, tuple[str, Fusion | None]] = {
    "semantic": ("semantic", None),
    "keyword": ("keyword", None),
    "hybrid, max": ("hybrid", Fusion("max", 0.5)),
    "hybrid, max, meaning 0.3": ("hybrid", Fusion("max", 0.3)),
    "hybrid, max, meaning 0.7": ("hybrid", Fusion("max", 0.7)),
    "hybrid, rrf": ("hybrid", Fusion("rrf", 0.5)),
}


@dataclass(frozen=True)
class Function:
    """A function of the standard library, and what its docstring says first."""

    name: str
    code: str
    says: str


def run(functions: int = 2_000, queries: int = 300, seed: int = 2) -> list[Measure]:
    """Measures over `functions` functions, with `queries` of their docstrings."""
    random = np.random.default_rng(seed)
    known = sorted(library_functions(), key=lambda found: found.name)
    picked = [known[i] for i in np.sort(random.permutation(len(known))[:functions])]
    asked = [picked[i] for i in random.permutation(len(picked))[:queries]]
    card = resolve_model(None)
    embedder = open_embedder(card, purpose="documents", mode="local")
    vectors = {found.says: vector for found, vector in zip(asked, embedder.embed([f.says for f in asked]), strict=True)}
    with measured_server() as (database, _):
        _publish(database, picked, embedder.embed([f.code for f in picked]), card)
        searcher = Searcher(database, lambda text: vectors[text] if text in vectors else embedder.embed([text])[0])
        gains = {way: _gains(searcher, asked, *of) for way, of in WAYS.items()}
    return _report(gains)


def library_functions() -> Iterator[Function]:
    """Those whose docstring begins with a line of some words; the first of each name, without the docstring."""
    folder = Path(sysconfig.get_path("stdlib"))
    files = [
        path
        for path in sorted(folder.glob("**/*.py"))
        if not {"test", "tests", "site-packages", "idlelib"} & set(path.parts)
    ]
    for path in files:
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (says := _first_line(node)):
                node.body = node.body[1:] or [ast.Pass()]
                name = f"{path.relative_to(folder)}:{node.lineno}:{node.name}"
                yield Function(name, ast.unparse(node)[:LONGEST_TEXT], says)


def _first_line(node: ast.FunctionDef) -> str | None:
    lines = (ast.get_docstring(node) or "").splitlines()
    return lines[0] if lines and len(lines[0].split()) >= LEAST_WORDS else None


def _publish(database: Database, functions: Sequence[Function], vectors: np.ndarray, card: object) -> None:
    corpus, log = Corpus(database), OperationLog(database)
    info = corpus.ensure_collection(COLLECTION, card)  # type: ignore[arg-type]
    operation = log.open("ingest", Attribution(agent="bench"), collection=COLLECTION)
    target = BatchTarget(info.id, operation, log.begin_batch(operation, "all"))
    hashes = [text_hash(found.code) for found in functions]
    ids = Embeddings(database, info.space_id, info.dimensions).add(dict(zip(hashes, vectors, strict=True)))
    rows = [
        DocumentRow(
            found.name, "stdlib", None, "python", mark, mark, {},
            (ChunkRow(0, ids[mark], 100, "code", (), found.code, {}),), None,
        )
        for found, mark in zip(functions, hashes, strict=True)
    ]  # fmt: skip
    with database.transaction() as connection:
        corpus.append(connection, target, rows)
        write_segments(connection, target, tokenise_documents(rows))
    log.finish_batch(target.batch_id, {})
    log.publish(operation)


def _gains(searcher: Searcher, asked: Sequence[Function], mode: str, fusion: Fusion | None) -> np.ndarray:
    """nDCG@10 and whether it is among the first hundred, of each query."""
    gains = []
    for found in asked:
        hits = searcher.search(found.says, collection=COLLECTION, mode=mode, limit=100, fusion=fusion).hits
        rank = next((hit.rank for hit in hits if hit.text == found.code), None)
        gains.append((1 / log2(1 + rank) if rank and rank <= 10 else 0.0, 1.0 if rank else 0.0))
    return np.array(gains)


def _report(gains: dict[str, np.ndarray]) -> list[Measure]:
    measures = []
    for way, found in gains.items():
        measures.append(Measure(f"{way}: nDCG@10", float(found[:, 0].mean()), ""))
        measures.append(Measure(f"{way}: recall@100", float(found[:, 1].mean()), ""))
    for other in ("semantic", "keyword", "hybrid, rrf"):
        difference = gains["hybrid, max"][:, 0] - gains[other][:, 0]
        random = np.random.default_rng(0)
        means = [random.choice(difference, len(difference)).mean() for _ in range(RESAMPLES)]
        low, high = np.percentile(means, [2.5, 97.5])
        measures.append(at_least(f"hybrid, max - {other}: nDCG@10", float(difference.mean()), "", 0))
        measures += [
            Measure(f"the same, {side} end of its 95% interval", end, "")
            for side, end in (("lower", low), ("upper", high))
        ]
    return measures
