"""BERT's forward pass in numpy, for one text at a time, over weights that stay on disk until they are used.

One text at a time, so that its vector depends on nothing but itself: not on what else is in the batch, nor on padding.
The arithmetic is that of "BERT: Pre-training of Deep Bidirectional Transformers" (Devlin et al., 2018, section 3) as
the transformers library computes it in float32. Knows nothing of tokenisers, pooling or folders.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Weights = Mapping[str, Array]

_DTYPES = {"F32": np.float32, "I64": np.int64}


@dataclass(frozen=True, slots=True)
class Encoder:
    """A BERT encoder; `prefix` stands before each weight's name ("bert." in some files)."""

    weights: Weights
    layers: int
    heads: int
    epsilon: float
    activation: Callable[[Array], Array]
    prefix: str = ""

    def forward(self, token_ids: NDArray[np.int64]) -> Array:
        """Last hidden states of one text: shape (tokens, hidden size)."""
        hidden = self._embeddings(token_ids)
        for layer in range(self.layers):
            name = f"encoder.layer.{layer}."
            attended = self._linear(name + "attention.output.dense", self._attention(name + "attention.self.", hidden))
            hidden = self._norm(name + "attention.output.LayerNorm", attended + hidden)
            inner = self.activation(self._linear(name + "intermediate.dense", hidden))
            hidden = self._norm(name + "output.LayerNorm", self._linear(name + "output.dense", inner) + hidden)
        return hidden

    def _embeddings(self, token_ids: NDArray[np.int64]) -> Array:
        words = self._weight("embeddings.word_embeddings.weight")[token_ids]
        positions = self._weight("embeddings.position_embeddings.weight")[: len(token_ids)]
        segment = self._weight("embeddings.token_type_embeddings.weight")[0]
        return self._norm("embeddings.LayerNorm", words + segment + positions)

    def _attention(self, name: str, hidden: Array) -> Array:
        query, key, value = (self._by_head(self._linear(name + part, hidden)) for part in ("query", "key", "value"))
        scores = query @ key.transpose(0, 2, 1) * np.float32(query.shape[-1] ** -0.5)
        return (_softmax(scores) @ value).transpose(1, 0, 2).reshape(hidden.shape)

    def _by_head(self, states: Array) -> Array:
        return states.reshape(len(states), self.heads, -1).transpose(1, 0, 2)

    def _linear(self, name: str, states: Array) -> Array:
        return states @ self._weight(name + ".weight").T + self._weight(name + ".bias")

    def _norm(self, name: str, states: Array) -> Array:
        centred = states - states.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(self.epsilon))
        normed: Array = centred / deviation * self._weight(name + ".weight") + self._weight(name + ".bias")
        return normed

    def _weight(self, name: str) -> Array:
        return self.weights[self.prefix + name]


def map_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file by name, mapped and not read. Raises ValueError when it is no such file.

    The format: eight bytes with the header's length, the header in JSON, the data
    (https://huggingface.co/docs/safetensors). Tensors of other types than float32 and int64 are left out.
    """
    with path.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        if not 2 <= header_bytes <= path.stat().st_size - 8:
            raise ValueError(f"{path} is not a safetensors file")
        header = json.loads(stream.read(header_bytes))
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + header_bytes)
    header.pop("__metadata__", None)
    return {name: _view(data, entry) for name, entry in header.items() if entry["dtype"] in _DTYPES}


def _view(data: NDArray[np.uint8], entry: dict[str, Any]) -> NDArray[Any]:
    start, end = entry["data_offsets"]
    return np.asarray(data[start:end]).view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _softmax(scores: Array) -> Array:
    exponents = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: Array = exponents / exponents.sum(axis=-1, keepdims=True)
    return shares


def gelu(x: Array) -> Array:
    """x Φ(x), Φ the normal distribution (Hendrycks and Gimpel, 2016), with the exact error function."""
    return x * np.float32(0.5) * (np.float32(1) + erf(x * np.float32(2**-0.5)))


def gelu_tanh(x: Array) -> Array:
    """The same paper's approximation by the hyperbolic tangent ("gelu_new", "gelu_pytorch_tanh")."""
    inner = (x + np.float32(0.044715) * x * x * x) * np.float32(math.sqrt(2 / math.pi))
    return np.asarray(x * np.float32(0.5) * (np.float32(1) + np.tanh(inner)), np.float32)


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, np.float32(0))


def erf(x: Array) -> Array:
    """The error function in float32, within 5e-7: the rational function that Eigen and XLA use, on [-4, 4]."""
    x = np.clip(x, np.float32(-4), np.float32(4))
    square = x * x
    return x * _polynomial(_ERF_NUMERATOR, square) / _polynomial(_ERF_DENOMINATOR, square)


_ERF_NUMERATOR = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_DENOMINATOR = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    result = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        result *= x
        result += np.float32(coefficient)
    return result
