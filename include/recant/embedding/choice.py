"""Which way to compute vectors suits the occasion.

A query, and a handful of documents: numpy alone, there at once. More documents: the resident process where there is
one, else sentence-transformers in this process. What can't be had is replaced by the next; vectors of one model are the
same by all of them within the precision they are stored in, and a query's are the same to the bit.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from recant.embedding.embedder import Embedder, Progress, Purpose
from recant.embedding.model import ModelCard
from recant.embedding.resident_state import WrongModel
from recant.errors import ConfigurationError, EmbedderUnreachable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Mode = Literal["auto", "resident", "local"]
"""Resident: that process or EmbedderUnreachable. Local: never that process. Auto: as this module's head says."""

FEW_TEXTS = 8
"""As many documents take the lean path less time than torch takes to be imported, by far."""


def open_embedder(
    card: ModelCard,
    *,
    purpose: Purpose = "documents",
    state_file: Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    mode: Mode = "auto",
) -> Embedder:
    """An embedder that decides at each call, and loads nothing before. May be shared by threads that take turns.

    Raises ConfigurationError for mode "resident" without a state file.
    """
    if mode == "resident" and state_file is None:
        raise ConfigurationError("RECANT_EMBEDDER=resident needs to know the resident embedder's state file")
    return _Choice(card, purpose, None if mode == "local" else state_file, mode, {"dtype": dtype, "device": device})


class _Choice:
    def __init__(
        self, card: ModelCard, purpose: Purpose, state_file: Path | None, mode: Mode, options: dict[str, str]
    ) -> None:
        self.card = card
        self._purpose = purpose
        self._state_file = state_file
        self._mode = mode
        self._options = options
        self._lean: Embedder | None = None
        self._lean_refused = False
        self._batch: Embedder | None = None

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """As `Embedder.embed`. Raises EmbedderUnreachable in mode "resident" only."""
        if self._mode != "resident" and (self._purpose == "query" or len(texts) <= FEW_TEXTS):
            lean = self._lean_embedder()
            if lean is not None:
                return lean.embed(texts, progress=progress)
        if self._state_file is not None and self._batch is None:
            try:
                return self._resident(self._state_file).embed(texts, progress=progress)
            except (EmbedderUnreachable, WrongModel) as error:
                if self._mode == "resident":
                    raise
                logger.info("embedding in this process: %s", error)
        return self._batch_embedder().embed(texts, progress=progress)

    def _resident(self, state_file: Path) -> Embedder:
        from recant.embedding.client import ResidentEmbedder

        return ResidentEmbedder(state_file, self.card, purpose=self._purpose)

    def _lean_embedder(self) -> Embedder | None:
        from recant.embedding.lean import LeanEmbedder, UnsupportedArchitecture

        if self._lean is None and not self._lean_refused:
            try:
                self._lean = LeanEmbedder(self.card, purpose=self._purpose)
            except UnsupportedArchitecture as error:
                logger.debug("no lean path: %s", error)
                self._lean_refused = True
        return self._lean

    def _batch_embedder(self) -> Embedder:
        from recant.embedding.batch import BatchEmbedder

        if self._batch is None:
            self._batch = BatchEmbedder(self.card, purpose=self._purpose, **self._options)
        return self._batch
