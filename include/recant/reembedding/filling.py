"""Filling an embedding space with the texts of a collection: resumable anywhere, beside whoever writes or searches.

Every text of an operation that wasn't aborted is taken, seen or not: what a later rollback or redo shows again has its
vector then. Vectors belong to no operation, so that an interrupted build leaves nothing to clear up, and the next one goes
on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recant.corpus import Embeddings
from recant.corpus.embeddings import text_hash
from recant.embedding import Embedder, TokenCounter
from recant.errors import Refused
from recant.ingestion.document import with_headers
from recant.store import Database, Row, load

TEXTS_AT_ONCE = 1_000
"""Embedded, then stored, in one transaction: what an interruption loses at most."""
_SQL = load(__package__, "reembedding.sql")

Progress = Callable[[str, int, int | None], None]
"""Told (what, done, total) as work goes on."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a collection has in an embedding space."""

    collection: str
    space_id: int
    model: str
    model_digest: str
    dimensions: int
    texts: int
    """Distinct texts of the collection's chunks, seen or not."""
    embedded: int
    """Computed just now; the others were there."""
    cut: int
    """Of those, longer than the model sees: the rest of the text is left out of the vector."""
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass
class Filler:
    """One collection's texts, into one space."""

    database: Database
    collection: str
    collection_id: int
    space_id: int
    embedder: Embedder
    tokens: TokenCounter
    progress: Progress | None = None
    embedded: int = 0
    cut: int = 0

    def run(self) -> Filled:
        """Until every text that is published has its vector. Raises Refused where a text isn't what its address says."""
        started = time.perf_counter()
        texts = self.count()
        total = int(texts["missing"])
        while True:
            before = self.embedded
            self._pass(total)
            missing = self._cover()
            if not missing:
                break
            if self.embedded == before:
                raise Refused(
                    f'{missing} texts of "{self.collection}" are not those that their vectors were made of, so that nothing '
                    "can be embedded in their place: take back the operation that wrote them.",
                    missing=missing,
                )
            total = self.embedded + missing
        Embeddings(self.database, self.space_id, self.embedder.card.dimensions).tend_index()
        card = self.embedder.card
        return Filled(
            self.collection, self.space_id, card.name, card.digest, card.dimensions, int(texts["texts"]), self.embedded,
            self.cut, round(time.perf_counter() - started, 3),
        )  # fmt: skip

    def count(self) -> Row:
        """How many `texts` there are, and how many are `missing`."""
        return self._one("count_texts")

    def _pass(self, total: int) -> None:
        embeddings = Embeddings(self.database, self.space_id, self.embedder.card.dimensions)
        for texts in self._missing():
            self._tell(total)
            vectors = self.embedder.embed(list(texts.values()))
            embeddings.add(dict(zip(texts, vectors, strict=True)))
            self.embedded += len(texts)
            lengths = self.tokens.count_batch(list(texts.values()))
            self.cut += sum(length > self.embedder.card.max_tokens for length in lengths)
        self._tell(total)

    def _missing(self) -> Iterator[dict[bytes, str]]:
        """Texts by their hashes, some at a time, in the order of the chunks."""
        after = 0
        while rows := self._page(after):
            after = rows[-1]["id"]
            found = {
                bytes(row["text_hash"]): with_headers(row["parent_headers"], row["text"])
                for row in rows
                if row["text_hash"] is not None
            }
            if true := {address: text for address, text in found.items() if text_hash(text) == address}:
                yield true

    def _page(self, after: int) -> Sequence[Row]:
        given = self._given | {"after": after, "at_most": TEXTS_AT_ONCE}
        with self.database.transaction() as connection:
            return connection.execute(_SQL["missing_texts"], given).fetchall()

    def _cover(self) -> int:
        return int(self._one("cover_space")["missing"])

    def _tell(self, total: int) -> None:
        if self.progress:
            self.progress("texts", self.embedded, max(total, self.embedded))

    def _one(self, name: str) -> Row:
        with self.database.transaction() as connection:
            row = connection.execute(_SQL[name], self._given).fetchone()
        assert row is not None, f"{name} answers with one row"
        return row

    @property
    def _given(self) -> dict[str, int]:
        return {"collection_id": self.collection_id, "space_id": self.space_id}
