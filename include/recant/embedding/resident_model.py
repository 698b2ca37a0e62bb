"""The model inside a resident embedder: loaded once, shared by its threads."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recant.embedding.embedder import Embedder, Purpose
from recant.embedding.model import ModelCard

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recant.embedding.batch import BatchEmbedder

logger = logging.getLogger(__name__)


class ResidentModel:
    """One model for all threads of the server; documents take turns."""

    def __init__(self, card: ModelCard, *, dtype: str = "auto", device: str = "auto") -> None:
        self.card = card
        self._dtype = dtype
        self._device = device
        self._turn = threading.Lock()
        self._documents: BatchEmbedder | None = None
        self._queries: Embedder | None = None
        self._health: dict[str, str] = {"state": "waiting"}

    def health(self) -> dict[str, str]:
        """State of loading, and the model; dtype and device when it is loaded."""
        return {"model": self.card.name, "digest": self.card.digest, **self._health}

    def load(self) -> None:
        """Load now rather than at the first request; what goes wrong is in `health` and in the log."""
        with self._turn, contextlib.suppress(Exception):
            self._loaded()

    def embed(self, texts: Sequence[str], purpose: Purpose) -> NDArray[np.float32]:
        """Vectors of unit length; raises what loading raises."""
        if purpose == "query" and (queries := self._lean()) is not None:
            return queries.embed(texts)
        with self._turn:
            return self._loaded().embed(texts, purpose=purpose)

    def _lean(self) -> Embedder | None:
        from recant.embedding.lean import LeanEmbedder, UnsupportedArchitecture

        if self._queries is None:
            with contextlib.suppress(UnsupportedArchitecture):
                self._queries = LeanEmbedder(self.card, purpose="query")
        return self._queries

    def _loaded(self) -> BatchEmbedder:
        if self._documents is not None:
            return self._documents
        self._health = {"state": "loading"}
        try:
            from recant.embedding.batch import BatchEmbedder

            loaded = BatchEmbedder(self.card, dtype=self._dtype, device=self._device)
        except Exception as error:
            self._health = {"state": "failed", "reason": f"{type(error).__name__}: {error}"}
            logger.exception("can't load %s", self.card.name)
            raise
        self._health = {"state": "ready", "dtype": loaded.dtype, "device": loaded.device}
        self._documents = loaded
        return loaded
