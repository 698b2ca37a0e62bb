"""The models that an installation knows: the one that new collections are made with, and further ones by their weights.

A collection's space names its model by the sha256 of the weights, so that a model is the same wherever it lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock

from recant.embedding.choice import open_embedder
from recant.embedding.embedder import Embedder, Purpose
from recant.embedding.model import ModelCard, resolve_model
from recant.embedding.tokens import TokenCounter
from recant.errors import ConfigurationError
from recant.settings import Settings


@dataclass(frozen=True)
class Models:
    """RECANT_MODEL and RECANT_MODELS, each opened once and loaded when it is first needed. Safe to share between threads."""

    settings: Settings
    _cards: dict[str | None, ModelCard] = field(default_factory=dict)
    _embedders: dict[tuple[str, Purpose], Embedder] = field(default_factory=dict)
    _counters: dict[str, TokenCounter] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def default(self) -> ModelCard:
        """What new collections are made with. Raises UnknownModel."""
        return self._card(self.settings.model)

    def named(self, name: str) -> ModelCard:
        """A model by the name or path that it is known by here, or any that is on this machine. Raises UnknownModel."""
        for known in (self.settings.model, *self.settings.models):
            if self._names(known, name):
                return self._card(known)
        return self._card(name)

    def known(self, digest: str) -> ModelCard | None:
        """The model with these weights, listed or named before; None where it isn't known here."""
        return next((card for card in (*self._listed(), *self._cards.values()) if card.digest == digest), None)

    def is_listed(self, card: ModelCard) -> bool:
        """Whether every process of the installation finds it: not one that was only named here, by its path."""
        return any(card.digest == listed.digest for listed in self._listed())

    def card(self, digest: str, name: str = "") -> ModelCard:
        """The same; `name` says in the error which one is missing. Raises ConfigurationError."""
        found = self.known(digest)
        if found is None:
            raise ConfigurationError(
                f"The vectors are of {name or 'a model'} (digest {digest[:12]}), which isn't {self.default.name}: set "
                "RECANT_MODEL to it, or name it among RECANT_MODELS.",
                model=name,
                model_digest=digest,
            )
        return found

    def embedder(self, card: ModelCard, purpose: Purpose) -> Embedder:
        """Of the default model through the resident process where there is one; that serves no other."""
        key = (card.digest, purpose)
        with self._lock:
            if key not in self._embedders:
                self._embedders[key] = open_embedder(
                    card,
                    purpose=purpose,
                    state_file=self.settings.home / "run" / "embedder.json",
                    dtype=self.settings.model_dtype,
                    device=self.settings.device,
                    mode=self.settings.embedder if card.digest == self.default.digest else "local",
                )
            return self._embedders[key]

    def tokens(self, card: ModelCard) -> TokenCounter:
        """Counts as the model does."""
        with self._lock:
            if card.digest not in self._counters:
                self._counters[card.digest] = TokenCounter(card)
            return self._counters[card.digest]

    def _listed(self) -> Iterator[ModelCard]:
        yield from (self._card(name) for name in (self.settings.model, *self.settings.models))

    def _names(self, known: str | None, name: str) -> bool:
        return name == known or name == self._card(known).name

    def _card(self, name: str | None) -> ModelCard:
        if name not in self._cards:
            self._cards[name] = resolve_model(name, cache_dir=self.settings.home / "run")
        return self._cards[name]
