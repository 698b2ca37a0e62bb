"""Vectors without torch, held against sentence-transformers in float32."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recant.embedding import ModelCard, resolve_model
from recant.embedding.bert import erf, map_safetensors
from recant.embedding.lean import LeanEmbedder, UnsupportedArchitecture
from tests.unit.embedding.conftest import AWKWARD


def edit(path: Path, **changes: Any) -> None:
    """Change entries of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_equals_the_library(card: ModelCard, expected: Any, prose: list[str]) -> None:
    """Every component is within 1e-5 of the library's and every cosine above 0.99999, however odd the text."""
    ours = LeanEmbedder(card).embed(AWKWARD + prose)
    assert np.abs(ours - expected).max() < 1e-5
    assert (ours * expected).sum(axis=1).min() > 0.99999


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_other_models(small_model: Callable[..., Path], pooling: str, activation: str) -> None:
    """Other BERTs are computed as the library does: either pooling, each activation, cut at their own length."""
    from sentence_transformers import SentenceTransformer

    folder = small_model(pooling=pooling, activation=activation)
    theirs = SentenceTransformer(str(folder), device="cpu").encode(AWKWARD, normalize_embeddings=True)
    assert np.abs(LeanEmbedder(resolve_model(str(folder))).embed(AWKWARD) - theirs).max() < 1e-5


def test_form(card: ModelCard) -> None:
    """Rows are float32 of unit length in the order given; no texts give no rows."""
    lean = LeanEmbedder(card)
    vectors = lean.embed(["one", "two", "one"])
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors[0] == vectors[2]).all()
    assert (vectors[0] != vectors[1]).any()
    assert lean.embed([]).shape == (0, 384)


def test_a_text_stands_for_itself(card: ModelCard) -> None:
    """A vector is the same to the bit alone, among others, and in eight threads at once."""
    lean = LeanEmbedder(card)
    expected = [lean.embed([text]).tobytes() for text in AWKWARD]
    assert [row.tobytes() for row in lean.embed(AWKWARD)] == expected
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: lean.embed([text]).tobytes(), AWKWARD * 2)) == expected * 2


def test_the_same_in_another_process(card: ModelCard) -> None:
    """A query has the same vector to the bit in every process of this machine; torch is not imported for it."""
    program = (
        "import sys; from recant.embedding import open_embedder, resolve_model;"
        "print(open_embedder(resolve_model(), purpose='query').embed(['how to undo?']).tobytes().hex(),"
        "'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [LeanEmbedder(card).embed(["how to undo?"]).tobytes().hex(), "False"]


def test_progress(card: ModelCard) -> None:
    """Progress is told after each text."""
    seen: list[tuple[int, int]] = []
    LeanEmbedder(card).embed(["a", "b"], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_prompts(small_model: Callable[..., Path]) -> None:
    """Queries and documents get the model's prompts."""
    plain = LeanEmbedder(resolve_model(str(small_model())))
    card = resolve_model(str(small_model(prompts={"query": "q: ", "document": "d: "})))
    assert (LeanEmbedder(card, purpose="query").embed(["x"]) == plain.embed(["q: x"])).all()
    assert (LeanEmbedder(card, purpose="documents").embed(["x"]) == plain.embed(["d: x"])).all()


def test_lone_surrogate(card: ModelCard) -> None:
    """Undecodable bytes from a command line don't break a query."""
    lean = LeanEmbedder(card)
    assert (lean.embed(["caf\udce9"]) == lean.embed(["caf?"])).all()


def test_shorter_vectors(card: ModelCard) -> None:
    """A model cut to fewer dimensions gives unit vectors of these."""
    whole = LeanEmbedder(card).embed(["x"])[:, :100]
    short = LeanEmbedder(replace(card, dimensions=100)).embed(["x"])
    assert np.allclose(short, whole / np.linalg.norm(whole), atol=1e-6)


def test_dense_is_refused(small_model: Callable[..., Path]) -> None:
    """A model with another stage is left to sentence-transformers."""
    with pytest.raises(UnsupportedArchitecture, match="Dense"):
        LeanEmbedder(resolve_model(str(small_model(dense=16))))


def test_pooling_is_refused(small_model: Callable[..., Path]) -> None:
    """Another pooling is left to sentence-transformers."""
    with pytest.raises(UnsupportedArchitecture, match="max"):
        LeanEmbedder(resolve_model(str(small_model(pooling="max"))))


@pytest.mark.parametrize(
    ("file", "changes", "reason"),
    [
        ("config.json", {"model_type": "mpnet"}, "mpnet"),
        ("config.json", {"hidden_act": "silu"}, "silu"),
        ("config.json", {"position_embedding_type": "relative_key"}, "relative_key"),
        ("config.json", {"num_hidden_layers": 7}, "aren't a BERT's"),
        ("tokenizer_config.json", {"do_lower_case": False}, "do_lower_case"),
        ("tokenizer_config.json", {"truncation_side": "left"}, "on the left"),
    ],
)
def test_other_architectures_are_refused(model_copy: Path, file: str, changes: dict[str, Any], reason: str) -> None:
    """What the lean path would compute differently is refused, saying what it is."""
    edit(model_copy / file, **changes)
    with pytest.raises(UnsupportedArchitecture, match=reason):
        LeanEmbedder(resolve_model(str(model_copy)))


def test_transformer_in_a_folder_is_refused(model_copy: Path) -> None:
    """A transformer in a folder of its own is left to sentence-transformers."""
    stages = json.loads((model_copy / "modules.json").read_text())
    stages[0]["path"] = "0_Transformer"
    (model_copy / "modules.json").write_text(json.dumps(stages))
    (model_copy / "0_Transformer").mkdir()
    for file in [file for file in model_copy.iterdir() if file.is_file() and file.name != "modules.json"]:
        file.rename(model_copy / "0_Transformer" / file.name)
    with pytest.raises(UnsupportedArchitecture, match="folder of its own"):
        LeanEmbedder(resolve_model(str(model_copy)))


def test_other_weights_are_refused(card: ModelCard, model_copy: Path) -> None:
    """Weights in torch's older format, or cut off, are refused."""
    found = resolve_model(str(model_copy))
    (model_copy / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(UnsupportedArchitecture, match="not a safetensors file"):
        LeanEmbedder(found)
    (model_copy / "model.safetensors").rename(model_copy / "pytorch_model.bin")
    with pytest.raises(UnsupportedArchitecture, match=r"no model\.safetensors"):
        LeanEmbedder(found)


def test_error_function() -> None:
    """erf is within 5e-7 of the exact one everywhere."""
    points = np.concatenate([np.linspace(-6, 6, 20001), [-100, 100, 1e-30]]).astype(np.float32)
    assert np.abs(erf(points) - [math.erf(point) for point in points]).max() < 5e-7


def test_safetensors_as_the_library_reads_them(card: ModelCard) -> None:
    """Mapped tensors are those that the safetensors library reads."""
    from safetensors.numpy import load_file

    ours, theirs = map_safetensors(card.path / "model.safetensors"), load_file(card.path / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_threads_are_given_back(card: ModelCard) -> None:
    """While texts are embedded numpy computes on one thread; afterwards on as many as before, errors or not."""
    before = blas_threads()

    def fail(done: int, total: int) -> None:
        assert blas_threads() == [1] * len(before)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LeanEmbedder(card).embed(["x"], progress=fail)
    assert blas_threads() == before
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: LeanEmbedder(card).embed([f"text {number}"]), range(16)))
    assert blas_threads() == before


def blas_threads() -> list[int]:
    """Threads of each BLAS in this process."""
    from threadpoolctl import threadpool_info

    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]
