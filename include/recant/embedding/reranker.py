"""How well texts answer a query, by a sentence-transformers cross-encoder in a folder of one's own. Nothing is downloaded.

A cross-encoder reads query and text together, which tells better than two vectors, and takes as long for each text as embedding
it. torch and sentence-transformers, some 10 seconds and 1 GB, are imported for the first query that is ranked anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from recant.errors import ConfigurationError

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

BATCH = 32
HINT = "set RECANT_RERANKER to the folder of a sentence-transformers cross-encoder"


class BadReranker(ConfigurationError):
    """There is no such cross-encoder, or it isn't one that gives a text one score."""


class Reranker:
    """One cross-encoder, loaded when it is first asked. Safe to share between threads, which take turns."""

    def __init__(self, folder: Path, *, device: str = "auto") -> None:
        self.folder = folder
        self._device = device
        self._model: CrossEncoder | None = None
        self._lock = Lock()

    def __call__(self, query: str, texts: Sequence[str]) -> list[float]:
        """From 0 to 1 for each text: the sigmoid of what the model says, whatever it was trained to end with.

        What is longer than the model reads is cut. Raises BadReranker.
        """
        from torch import nn

        with self._lock:
            model = self._model = self._model or self._load()
            pairs = [(query, text) for text in texts]
            scores = model.predict(pairs, batch_size=BATCH, show_progress_bar=False, activation_fn=nn.Sigmoid())
        return [float(score) for score in scores]

    def _load(self) -> CrossEncoder:
        if not (self.folder / "config.json").is_file():
            raise BadReranker(f"{self.folder} holds no cross-encoder: it has no config.json; {HINT}")
        from sentence_transformers import CrossEncoder

        from recant.embedding import hardware

        device = hardware.choose_device(self._device)
        try:
            model: CrossEncoder = CrossEncoder(str(self.folder), device=device, local_files_only=True)
        except Exception as error:
            raise BadReranker(f"{self.folder} can't be loaded as a cross-encoder: {error}; {HINT}") from error
        if model.num_labels != 1:
            raise BadReranker(f"{self.folder} gives {model.num_labels} numbers for a text where one is wanted; {HINT}")
        return model
