"""Builds that are killed or overtaken, and ingests that cross a change-over."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from recant.corpus import Embeddings
from recant.errors import Refused, VectorsMissing
from recant.oplog import Selector
from recant.reembedding import filling
from recant.store import Database
from tests.integration.concurrency.interleaving import Halting, first_then_second
from tests.integration.reembedding.conftest import BOB, Shelf, tiny


class Killed(BaseException):
    """The end of a process."""


def test_a_killed_build_goes_on_where_it_stopped(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored isn't computed again; nothing was seen of it meanwhile, and nothing is left behind."""
    monkeypatch.setattr(filling, "TEXTS_AT_ONCE", 3)
    shelf.publish({f"d{n}": f"text {n}" for n in range(10)})
    add, batches = Embeddings.add, []

    def dying(self: Embeddings, vectors: Any) -> Any:
        if len(batches) == 2:
            raise Killed
        batches.append(len(vectors))
        return add(self, vectors)

    monkeypatch.setattr(Embeddings, "add", dying)
    with pytest.raises(Killed):
        shelf.reembedding.build("tiny-6")
    monkeypatch.setattr(Embeddings, "add", add)
    told: list[tuple[str, int, int | None]] = []
    shelf.models.computed.clear()
    filled = shelf.reembedding.build("tiny-6", progress=lambda *step: told.append(step))
    assert (filled.texts, filled.embedded) == (10, 4)
    assert shelf.models.computed == {"tiny-6": 4}
    assert told[-1] == ("texts", 4, 4)
    assert shelf.reembedding.build("tiny-6").embedded == 0


def test_long_texts_are_counted(shelf: Shelf) -> None:
    """Those that the model sees only the beginning of."""
    shelf.publish({"long": "one two three four five six seven eight nine", "short": "one"})
    assert shelf.reembedding.build("tiny-6").cut == 1


def test_a_text_that_is_not_its_address_stops_the_build(shelf: Shelf) -> None:
    """Nothing may be stored under another text's hash."""
    operation = shelf.open()
    row = shelf.row("forged", "a text", None)
    chunk = row.chunks[0]
    forged = type(row)(**{**_fields(row), "chunks": (type(chunk)(**{**_fields(chunk), "text": "another text"}),)})
    target = shelf.begin(operation)
    with shelf.database.transaction() as connection:
        shelf.corpus.append(connection, target, [forged])
    shelf.log.finish_batch(target.batch_id, {})
    shelf.log.publish(operation)
    with pytest.raises(Refused, match="not those that their vectors were made of"):
        shelf.reembedding.build("tiny-6")


def test_an_ingest_publishes_while_a_change_over_commits(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever comes second meets the first: the ingest lacks the new model's vectors, is told so, and goes through filled."""
    with Halting(database) as halting, Database(database) as other:
        shelf, beside = Shelf(halting), Shelf(other)
        shelf.publish({"a": "one"})
        operation = beside.open()
        monkeypatch.setattr(shelf.reembedding, "_publish", lambda operation_id, filler: 0)
        changeover = shelf.reembedding.switch("tiny-6", BOB).operation_id
        beside.write(operation, {"b": "two"})
        switched, published = first_then_second(
            halting, other, lambda: shelf.log.publish(changeover), lambda: beside.log.publish(operation)
        )
        assert (switched.refusal, type(published.refusal)) == (None, VectorsMissing)
        assert beside.reembedding.fill().embedded == 1
        beside.log.publish(operation)
        assert {hit.text for hit in beside.searcher.search("?", collection="library").hits} == {"one", "two"}


def test_a_change_over_embeds_what_was_published_meanwhile(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that doesn't know the model goes on publishing: what it wrote is embedded, and it is tried again."""
    shelf.publish({"a": "one"})
    index, left = shelf.reembedding._index, [3]

    def meanwhile(space_id: int) -> None:
        index(space_id)
        if left[0]:
            left[0] -= 1
            stranger = Shelf(shelf.database)
            stranger.__dict__["collection"] = shelf.corpus.collection("library")
            operation = stranger.open()
            stranger.write(operation, {f"s{left[0]}": f"strange {left[0]}"})
            stranger.log.publish(operation)

    monkeypatch.setattr(shelf.reembedding, "_index", meanwhile)
    shelf.reembedding.switch("tiny-6", BOB)
    assert left == [0]
    assert len(shelf.searcher.search("?", collection="library").hits) == 4


def test_searches_beside_change_overs_are_of_one_space(shelf: Shelf) -> None:
    """A search answers wholly by the model that its position says, however often another thread changes over and back."""
    shelf.publish({f"d{n}": f"text {n}" for n in range(8)})
    shelf.reembedding.build("tiny-6")
    answers: list[tuple[int, list[str]]] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            result = shelf.searcher.search("what?", collection="library", limit=8)
            answers.append((result.position, [hit.text for hit in result.hits]))

    thread = threading.Thread(target=search)
    thread.start()
    in_use = {shelf.log.position(): 4}
    for _ in range(6):
        in_use[shelf.reembedding.switch("tiny-6", BOB, soak=timedelta(0)).position] = 6
        plan = shelf.rollback.plan(Selector(kinds=("reembed",)), agent="bob")
        shelf.rollback.run(plan, BOB)
        in_use[shelf.log.position()] = 4
    done.set()
    thread.join()
    assert len({position for position, _ in answers}) > 1
    for position, texts in answers:
        model = tiny(in_use[position])
        scores = [float(np.float16(model.vector(text)) @ model.vector("what?")) for text in texts]
        assert (len(texts), scores) == (8, sorted(scores, reverse=True))


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}
