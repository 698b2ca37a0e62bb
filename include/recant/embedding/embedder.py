"""What every way of computing a vector offers, and the texts as the models are given them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from recant.embedding.model import ModelCard

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Purpose = Literal["query", "documents"]
"""Some models are trained with a prompt before a query and another before a document."""

Progress = Callable[[int, int], None]
"""Called with (texts done, texts in all); the last call of a run has both equal."""


class Embedder(Protocol):
    """Turns texts into vectors of one model."""

    @property
    def card(self) -> ModelCard:
        """The model that the vectors are of."""
        ...

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """Vectors of unit length, one row a text in the order given: shape (len(texts), card.dimensions).

        A text longer than `card.max_tokens` is cut there, as sentence-transformers does.
        """
        ...


def model_inputs(card: ModelCard, texts: Sequence[str], purpose: Purpose) -> list[str]:
    """The texts with the model's prompt for `purpose` before them, and as valid Unicode.

    A lone surrogate (undecodable bytes of a command line) can't be tokenised; it becomes a replacement character.
    """
    prompt = card.query_prompt if purpose == "query" else card.document_prompt
    return [prompt + _valid_unicode(text) for text in texts]


def _valid_unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text
