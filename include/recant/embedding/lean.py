"""Vectors of a few texts without torch: one query from a cold shell in a fraction of a second.

For BERT models with mean or first-token pooling (all-MiniLM and most of the small ones), in float32, equal to
sentence-transformers within 1e-5. A text's vector depends on the text alone, so a query has the same one in every
process of a machine. Others are refused with UnsupportedArchitecture, and the caller takes the batch embedder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recant.embedding import bert
from recant.embedding.blas import one_blas_thread
from recant.embedding.embedder import Progress, Purpose, model_inputs
from recant.embedding.model import ModelCard, modules, pooling_modes, read_json
from recant.embedding.tokens import load_tokenizer
from recant.errors import ConfigurationError

_ACTIVATIONS = {
    "gelu": bert.gelu,
    "gelu_new": bert.gelu_tanh,
    "gelu_pytorch_tanh": bert.gelu_tanh,
    "relu": bert.relu,
}
_TOKENIZER_FLAGS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


class UnsupportedArchitecture(ConfigurationError):
    """The model isn't one that the lean path computes; sentence-transformers may."""


class LeanEmbedder:
    """Computes vectors with numpy alone. May be shared by threads."""

    def __init__(self, card: ModelCard, *, purpose: Purpose = "query") -> None:
        """Raises UnsupportedArchitecture when the model isn't a BERT in float32 with mean or first-token pooling."""
        self.card = card
        self.purpose = purpose
        self._first_token_only = _pooling(card) == "cls"
        self._encoder = _load_encoder(card)
        self._tokenizer = load_tokenizer(card)
        self._tokenizer.enable_truncation(card.max_tokens)

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """Vectors of unit length, shape (len(texts), dimensions): some 10 ms for a short text, 130 ms for a longest one."""
        vectors = np.empty((len(texts), self.card.dimensions), np.float32)
        with one_blas_thread():
            for row, text in enumerate(model_inputs(self.card, texts, self.purpose)):
                vectors[row] = self._embed_one(text)
                if progress is not None:
                    progress(row + 1, len(texts))
        return vectors

    def _embed_one(self, text: str) -> NDArray[np.float32]:
        hidden = self._encoder.forward(np.array(self._tokenizer.encode(text).ids, np.int64))
        pooled = hidden[0] if self._first_token_only else hidden.mean(axis=0)
        pooled = pooled[: self.card.dimensions]
        return np.asarray(pooled / max(np.linalg.norm(pooled), np.float32(1e-12)), np.float32)


def _pooling(card: ModelCard) -> str:
    stages = modules(card.path)
    kinds = [kind for kind, _ in stages if kind != "Dropout"]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise UnsupportedArchitecture(f"{card.name} is made of {', '.join(kinds)}")
    if stages[0][1] != card.path:
        raise UnsupportedArchitecture(f"{card.name} keeps its transformer in a folder of its own")
    modes = pooling_modes(stages[1][1])
    if modes not in (["mean"], ["cls"]):
        raise UnsupportedArchitecture(f"{card.name} pools by {', '.join(modes)}")
    return modes[0]


def _load_encoder(card: ModelCard) -> bert.Encoder:
    config = read_json(card.path / "config.json")
    _check_config(card, config)
    _check_tokenizer(card)
    weights = _map_weights(card)
    prefix = "bert." if "bert.embeddings.word_embeddings.weight" in weights else ""
    encoder = bert.Encoder(
        weights=weights,
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        epsilon=config.get("layer_norm_eps", 1e-12),
        activation=_ACTIVATIONS[config["hidden_act"]],
        prefix=prefix,
    )
    needed = ("embeddings.word_embeddings", f"encoder.layer.{encoder.layers - 1}.output.dense")
    if any(f"{prefix}{name}.weight" not in weights for name in needed):
        raise UnsupportedArchitecture(f"the weights of {card.name} aren't a BERT's in float32")
    return encoder


def _check_config(card: ModelCard, config: dict[str, Any]) -> None:
    allowed: dict[str, tuple[Any, ...]] = {
        "model_type": ("bert",),
        "hidden_act": tuple(_ACTIVATIONS),
        "position_embedding_type": ("absolute", None),
        "is_decoder": (False, None),
    }
    for key, values in allowed.items():
        if config.get(key) not in values:
            raise UnsupportedArchitecture(f"{card.name} has {key} {config.get(key)!r} in its config.json")


def _check_tokenizer(card: ModelCard) -> None:
    """transformers lets tokenizer_config.json overrule tokenizer.json: refuse where the two differ."""
    config = read_json(card.path / "tokenizer_config.json")
    normalizer = read_json(card.path / "tokenizer.json").get("normalizer") or {}
    if config.get("truncation_side", "right") != "right":
        raise UnsupportedArchitecture(f"the tokeniser of {card.name} cuts texts on the left")
    for ours, theirs in _TOKENIZER_FLAGS.items():
        if normalizer.get("type") == "BertNormalizer" and ours in config and config[ours] != normalizer.get(theirs):
            raise UnsupportedArchitecture(f"the tokeniser files of {card.name} disagree about {ours}")


def _map_weights(card: ModelCard) -> dict[str, NDArray[Any]]:
    path = card.path / "model.safetensors"
    if not path.is_file():
        raise UnsupportedArchitecture(f"{card.name} has no model.safetensors")
    try:
        return bert.map_safetensors(path)
    except ValueError as error:
        raise UnsupportedArchitecture(f"{error}: copy the model there again") from error
