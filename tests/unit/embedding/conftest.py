"""The released weights, loaded once; and small models with untrained weights for the shapes that all-MiniLM hasn't."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from recant.embedding import ModelCard, resolve_model
from recant.embedding.batch import BatchEmbedder

AWKWARD = [
    "",
    "  \n\t ",
    "hello",
    "How do I take back what an agent has ingested?",
    "Naïve café: größer, Москва, 東京で会いましょう, مرحبا, 🙂👩‍👩‍👧",
    "control \x00\x01\x7f characters and a\u200bzero-width space",
    "[CLS] special [SEP] tokens [MASK] in the text [PAD] [UNK]",
    "word " * 2000,
    "日本語" * 400,
    "a" * 5000,
    "SELECT * FROM chunk WHERE id = $1; -- <b>&amp;</b>\n```python\nprint('x')\n```",
]


@pytest.fixture(scope="session")
def card() -> ModelCard:
    return resolve_model()


@pytest.fixture(scope="session")
def library(card: ModelCard) -> Any:
    """Plain sentence-transformers on the same weights, in float32."""
    import torch
    from sentence_transformers import SentenceTransformer

    # on a busy machine threads that wait for each other take many times longer than one
    torch.set_num_threads(1)
    return SentenceTransformer(str(card.path), device="cpu", local_files_only=True)


@pytest.fixture(scope="session")
def batch(card: ModelCard) -> BatchEmbedder:
    return BatchEmbedder(card, device="cpu")


@pytest.fixture(scope="session")
def batch_float32(card: ModelCard) -> BatchEmbedder:
    return BatchEmbedder(card, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def prose() -> list[str]:
    """Pieces of the READMEs that are installed here, of 20 to 1,500 characters."""
    found = sorted(distributions(), key=lambda one: one.metadata["Name"] or "")
    # the backport of importlib.metadata, which other tests may have imported, leaves no payload
    texts = (str(one.metadata.get("Description") or one.metadata.get_payload() or "") for one in found)
    whole = re.sub(r"\s*\n\s*", "\n", "\n".join(texts))
    pieces, start = [], 0
    while len(pieces) < 48:
        size = 20 + (len(pieces) * 389) % 1480
        pieces.append(whole[start : start + size])
        start += size
    return pieces


@pytest.fixture(scope="session")
def expected(library: Any, prose: list[str]) -> Any:
    """The library's vectors of AWKWARD and prose."""
    return library.encode(AWKWARD + prose)


@pytest.fixture
def model_copy(card: ModelCard, tmp_path: Path) -> Path:
    """A copy of the default model's folder that a test may spoil."""
    return shutil.copytree(card.path, tmp_path / "model")


@pytest.fixture(scope="session")
def small_model(card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a BERT of two layers with untrained weights, saved as sentence-transformers saves it today."""

    def build(
        *, pooling: str = "mean", activation: str = "gelu", dense: int = 0, prompts: dict[str, str] | None = None
    ) -> Path:
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Dense, Pooling, Transformer
        from transformers import BertConfig, BertModel

        torch.manual_seed(5)
        folder = tmp_path_factory.mktemp("small")
        config = BertConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            hidden_act=activation,
            max_position_embeddings=64,
            initializer_range=0.3,
        )
        BertModel(config).save_pretrained(folder / "bert")
        for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
            shutil.copy(card.path / name, folder / "bert" / name)
        stages = [Transformer(str(folder / "bert"), max_seq_length=48), Pooling(32, pooling_mode=pooling)]
        if dense:
            stages.append(Dense(32, dense))
        SentenceTransformer(modules=stages, prompts=prompts, device="cpu").save(str(folder / "saved"))
        return folder / "saved"

    return build
