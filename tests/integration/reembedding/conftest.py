"""A library whose texts any of three small models turns into vectors of their own lengths, and who counts what they compute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recant.embedding import ModelCard
from recant.oplog import Attribution
from recant.reembedding import Reembedding
from recant.search import Searcher
from recant.settings import read_settings
from recant.store import Database
from tests.integration.library import Library, TinyModel

BOB = Attribution("bob")


def tiny(dimensions: int) -> TinyModel:
    """A model of so many dimensions."""
    return TinyModel(f"tiny-{dimensions}", f"tiny-digest-{dimensions}", dimensions)


@dataclass
class Computing:
    """An embedder over a tiny model; remembers how many texts it has embedded."""

    model: TinyModel
    computed: Counter[str]

    @property
    def card(self) -> ModelCard:
        return ModelCard(self.model.name, self.model.digest, self.model.dimensions, 8, Path("/nowhere"))

    def embed(self, texts: Sequence[str], *, progress: Any = None) -> np.ndarray:
        self.computed[self.model.name] += len(texts)
        return np.stack([self.model.vector(text) for text in texts])

    def count_batch(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


@dataclass
class TinyModels:
    """What `Models` is to an installation."""

    models: tuple[TinyModel, ...] = (tiny(4), tiny(6), tiny(9))
    listed: set[str] = field(default_factory=lambda: {"tiny-4", "tiny-6", "tiny-9"})
    computed: Counter[str] = field(default_factory=Counter)

    def named(self, name: str) -> ModelCard:
        return next(self.embedder_of(model).card for model in self.models if model.name == name)

    def known(self, digest: str) -> ModelCard | None:
        return next((self.embedder_of(model).card for model in self.models if model.digest == digest), None)

    def card(self, digest: str, name: str = "") -> ModelCard:
        found = self.known(digest)
        assert found is not None
        return found

    def is_listed(self, card: ModelCard) -> bool:
        return card.name in self.listed

    def embedder(self, card: ModelCard, purpose: str) -> Computing:
        return self.embedder_of(next(model for model in self.models if model.digest == card.digest))

    def tokens(self, card: ModelCard) -> Computing:
        return self.embedder(card, "documents")

    def embedder_of(self, model: TinyModel) -> Computing:
        return Computing(model, self.computed)


@dataclass
class Shelf(Library):
    """Writes in the space in use, and in those that have to be kept up, as an ingest does."""

    model: TinyModel = field(default_factory=lambda: tiny(4))
    models: TinyModels = field(default_factory=TinyModels)

    @cached_property
    def reembedding(self) -> Reembedding:
        return Reembedding(
            self.database, read_settings({"RECANT_COLLECTION": self.name}), self.models, self.search_many
        )

    @cached_property
    def searcher(self) -> Searcher:
        return Searcher(self.database, self.vector_of("tiny-digest-4"), embed_in=lambda s: self.vector_of(s.digest))

    def vector_of(self, digest: str) -> Any:
        model = next(model for model in self.models.models if model.digest == digest)
        return model.vector

    def search_many(self, queries: Any, **options: Any) -> Any:
        return self.searcher.search_batch(queries, **options)

    def publish(self, documents: dict[str, str | None], **options: Any) -> int:
        """Embedded in every space that has to have it."""
        operation = self.open(**options)
        self.write_everywhere(operation, documents)
        self.log.publish(operation)
        return operation

    def write_everywhere(self, operation: int, documents: dict[str, str | None]) -> None:
        info = self.corpus.collection(self.name)
        known = {model.digest: model for model in self.models.models}
        for space in self.corpus.further_spaces(info.id):
            self.embed(space.space_id, known[space.model_digest], documents)
        self.__dict__["collection"], self.model = info, known[info.model_digest]
        self.write(operation, documents)

    def embed(self, space_id: int, model: TinyModel, documents: dict[str, str | None]) -> None:
        from recant.corpus import Embeddings
        from recant.corpus.embeddings import text_hash

        texts = [text for text in documents.values() if text is not None]
        Embeddings(self.database, space_id, model.dimensions).add({text_hash(t): model.vector(t) for t in texts})


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    """Empty, in the space of the model of four dimensions."""
    with Database(database) as db:
        found = Shelf(db)
        assert found.collection.dimensions == 4
        yield found
