"""Which way is taken for which texts, seen from what is loaded afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from recant.embedding import ModelCard, open_embedder, resolve_model
from recant.embedding.lean import LeanEmbedder
from recant.embedding.resident import running
from recant.errors import ConfigurationError, EmbedderUnreachable

TEXTS = [f"text {number}" for number in range(12)]


def loaded_modules(statement: str) -> list[str]:
    """Which of the two heavy libraries a fresh process has imported after `statement`."""
    program = (
        "import sys; from recant.embedding import open_embedder, resolve_model; card = resolve_model();"
        f"{statement}; print(*[name for name in ('torch', 'sentence_transformers') if name in sys.modules])"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(
    "statement",
    [
        "open_embedder(card, purpose='query').embed(['x'] * 20)",
        "open_embedder(card).embed(['x'] * 8)",
        "open_embedder(card)",
    ],
)
def test_without_torch(statement: str) -> None:
    """Queries and a handful of documents are embedded without torch, and opening loads nothing."""
    assert loaded_modules(statement) == []


def test_many_documents_here(card: ModelCard) -> None:
    """More documents are embedded in this process where there is no resident embedder."""
    vectors = open_embedder(card, device="cpu", dtype="float32").embed(TEXTS)
    assert (vectors * LeanEmbedder(card).embed(TEXTS)).sum(axis=1).min() > 0.99999


def test_many_documents_there(card: ModelCard, tmp_path: Path) -> None:
    """More documents go to the resident embedder where there is one: it loads the model, this process needn't."""
    with running(card, state_file=tmp_path / "s", device="cpu", preload=False) as server:
        vectors = open_embedder(card, state_file=tmp_path / "s", device="no-such").embed(TEXTS)
        assert server.model.health()["state"] == "ready"
    assert (vectors * LeanEmbedder(card).embed(TEXTS)).sum(axis=1).min() > 0.999


def test_local(card: ModelCard, tmp_path: Path) -> None:
    """Mode "local" leaves a resident embedder alone."""
    with running(card, state_file=tmp_path / "s", preload=False) as server:
        open_embedder(card, state_file=tmp_path / "s", mode="local", device="cpu", dtype="float32").embed(TEXTS)
        assert server.model.health()["state"] == "waiting"


def test_resident(card: ModelCard, tmp_path: Path) -> None:
    """Mode "resident" asks the resident embedder for everything, and fails without it."""
    embedder = open_embedder(card, purpose="query", state_file=tmp_path / "s", mode="resident")
    with running(card, state_file=tmp_path / "s", preload=False):
        assert (embedder.embed(["x"]) == LeanEmbedder(card).embed(["x"])).all()
    with pytest.raises(EmbedderUnreachable):
        embedder.embed(["x"])


def test_resident_needs_a_state_file(card: ModelCard) -> None:
    """Mode "resident" without a state file is refused at once."""
    with pytest.raises(ConfigurationError, match="state file"):
        open_embedder(card, mode="resident")


def test_replacement(card: ModelCard, tmp_path: Path) -> None:
    """A resident embedder of another model, or one that has gone, is replaced by this process."""
    embedder = open_embedder(card, state_file=tmp_path / "s", device="cpu", dtype="float32")
    with running(replace(card, digest="0" * 64), state_file=tmp_path / "s", preload=False) as server:
        assert embedder.embed(TEXTS).shape == (12, 384)
        assert server.model.health()["state"] == "waiting"
    assert embedder.embed(TEXTS).shape == (12, 384)


def test_queries_of_other_models(small_model: Callable[..., Path]) -> None:
    """A query of a model that has no lean path is embedded by sentence-transformers, with its prompt."""
    card = resolve_model(str(small_model(dense=16, prompts={"query": "q: "})))
    query = open_embedder(card, purpose="query", device="cpu", dtype="float32")
    documents = open_embedder(card, purpose="documents", device="cpu", dtype="float32")
    assert query.embed(["x"]).shape == (1, 16)
    assert abs(query.embed(["x"]) - documents.embed(["q: x"])).max() < 1e-6
