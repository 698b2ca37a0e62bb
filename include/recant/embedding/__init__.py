"""Models that turn texts into unit vectors.

Offers `resolve_model` (which model, at no cost), `TokenCounter` (how long a text is to it) and `open_embedder` (the way
to compute a vector that suits the occasion: numpy alone for a few texts, a resident process, or sentence-transformers
for batches). Importing this package imports neither numpy nor torch. What is kept out: tables, collections, and which
texts have vectors already.
"""

from __future__ import annotations

from recant.embedding.choice import Mode, open_embedder
from recant.embedding.embedder import Embedder, Progress, Purpose
from recant.embedding.model import DEFAULT_MODEL, ModelCard, resolve_model
from recant.embedding.models import Models
from recant.embedding.tokens import TokenCounter

__all__ = [
    "DEFAULT_MODEL",
    "Embedder",
    "Mode",
    "ModelCard",
    "Models",
    "Progress",
    "Purpose",
    "TokenCounter",
    "open_embedder",
    "resolve_model",
]
