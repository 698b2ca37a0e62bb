"""A library of some history, and the room that archives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recant
from recant.corpus import ChunkRow, DocumentRow, Embeddings
from recant.corpus.embeddings import text_hash
from recant.oplog import Attribution
from recant.search import Searcher
from recant.settings import read_settings
from tests.conftest import throwaway_database
from tests.integration.library import Library

WHO = Attribution("keeper")


@pytest.fixture
def kb(database: str, tmp_path: Path) -> Iterator[recant.KnowledgeBase]:
    """Over a database of its own; its collection is the library's."""
    found = replace(
        read_settings({"RECANT_AGENT": "keeper", "RECANT_COLLECTION": "library"}), home=tmp_path, dsn=database
    )
    with recant.connect(settings=found) as opened:
        yield opened


@pytest.fixture
def other(postgres, migrated_template: str, tmp_path: Path) -> Iterator[recant.KnowledgeBase]:
    """Another installation, empty."""
    for dsn in throwaway_database(postgres, template=migrated_template):
        found = replace(read_settings({"RECANT_COLLECTION": "library"}), home=tmp_path, dsn=dsn)
        with recant.connect(settings=found) as opened:
            yield opened


@pytest.fixture
def library(kb: recant.KnowledgeBase) -> Library:
    """Empty."""
    return Library(kb.database)


@pytest.fixture
def told(library: Library) -> Library:
    """Positions 1 to 5: `a` in two versions, `b` removed, `c` seen; what `d` said was taken back."""
    library.publish({"a": "one", "b": "zwei — äöü", "plain": "the same words"})
    library.publish({"a": "two", "c": "the same words"})
    library.publish({"b": None})
    wrong = library.publish({"d": "a lie", "a": "two, and a lie"}, agent="mallory")
    take_back(library, wrong)
    return library


def take_back(library: Library, operation_id: int) -> None:
    """A rollback of one operation."""
    plan = library.rollback.plan(recant.Selector(operations=(operation_id,)), agent="carol")
    library.rollback.apply(plan, Attribution("carol"))


def write_rich(library: Library, source: str = "manual", *, parts: int = 3, origin: str = "folder") -> int:
    """A document as an ingest writes it: several chunks, headers, attributes, and a watermark of its origin."""
    operation_id = library.open(agent="ingester")
    target = library.begin(operation_id)
    texts = [f"{source} says {number} — «ß»" for number in range(parts)]
    vectors = {text_hash(text): library.model.vector(text) for text in texts}
    ids = Embeddings(library.database, library.collection.space_id, library.model.dimensions).add(vectors)
    chunks = tuple(
        ChunkRow(n, ids[text_hash(t)], 3, "text", ("Top", f"Part {n}"), t, {"page": n, "symbol": None})
        for n, t in enumerate(texts)
    )
    attributes = {"author": "Ada", "topics": ["x", "y"], "ratio": 0.5, "deep": {"very": [1, None, True]}}
    row = DocumentRow(source, origin, None, "markdown", b"s" * 32, b"f" * 32, attributes, chunks, None)
    with library.database.transaction() as connection:
        library.corpus.append(connection, target, [row])
        library.corpus.mark_origins(connection, target, [origin])
    library.log.finish_batch(target.batch_id, {"documents": 1, "chunks": parts})
    library.log.publish(operation_id)
    return operation_id


def searched(kb: recant.KnowledgeBase, text: str, *, limit: int = 10, as_of: int | None = None) -> list[tuple]:
    """What a search by the tiny model's vector shows, without what another database numbers otherwise."""
    searcher = Searcher(kb.database, lambda _: np.zeros(0))
    found = searcher.search(
        text, vector=Library(kb.database).model.vector(text), collection="library", limit=limit, as_of=as_of
    )
    return [told_of(hit) for hit in found.hits]


def told_of(hit) -> tuple:
    """A hit without ids."""
    return (hit.rank, hit.score, hit.source, hit.title, hit.text, hit.chunk_type, hit.parent_headers, hit.attributes)
