"""Vectors of many texts, held against plain sentence-transformers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recant.embedding import ModelCard, resolve_model
from recant.embedding import batch as batch_module
from recant.embedding.batch import TOKENS_PER_BATCH, BatchEmbedder, token_batches
from recant.embedding.hardware import available_processors, choose_device, parallel_batches, reduced_dtypes
from recant.embedding.model import UnknownModel, WeightsChanged
from recant.errors import ConfigurationError
from tests.unit.embedding.conftest import AWKWARD


def test_float32_equals_the_library(batch_float32: BatchEmbedder, expected: Any, prose: list[str]) -> None:
    """In float32 every component is within 1e-5 of the library's, in the order of the texts."""
    assert np.abs(batch_float32.embed(AWKWARD + prose) - expected).max() < 1e-5


def test_chosen_precision_is_close(batch: BatchEmbedder, expected: Any, prose: list[str]) -> None:
    """In the precision that the self-check chose every cosine is above 0.999."""
    assert (batch.embed(AWKWARD + prose) * expected).sum(axis=1).min() > 0.999


def test_precision_is_one_that_was_tried(batch: BatchEmbedder) -> None:
    """The self-check leaves float32 or the processor's half precision, and the transformer is in it."""
    assert batch.dtype in ("float32", *reduced_dtypes("cpu"))
    assert next(batch._model[0].parameters()).dtype == getattr(torch, batch.dtype)


@pytest.mark.parametrize(("least_cosine", "least_speedup"), [(1.01, 0.0), (0.0, 1e9)])
def test_half_precision_must_pass(
    card: ModelCard, monkeypatch: pytest.MonkeyPatch, expected: Any, least_cosine: float, least_speedup: float
) -> None:
    """Half precision that isn't exact enough, or not quicker, is dropped for unharmed float32."""
    monkeypatch.setattr(batch_module, "MIN_COSINE", least_cosine)
    monkeypatch.setattr(batch_module, "MIN_SPEEDUP", least_speedup)
    embedder = BatchEmbedder(card, device="cpu")
    assert embedder.dtype == "float32"
    assert np.abs(embedder.embed(AWKWARD) - expected[: len(AWKWARD)]).max() < 1e-5


def test_asked_for_precision(card: ModelCard) -> None:
    """A precision asked for by name is taken without a trial."""
    embedder = BatchEmbedder(card, device="cpu", dtype="bfloat16")
    assert embedder.dtype == "bfloat16"
    assert np.allclose(np.linalg.norm(embedder.embed(["x", "y z"]), axis=1), 1, atol=1e-6)


def test_form(batch: BatchEmbedder) -> None:
    """Rows are float32 of unit length; no texts give no rows and no progress."""
    vectors = batch.embed(["x", ""])
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert batch.embed([], progress=lambda *_: pytest.fail("nothing was done")).shape == (0, 384)


def test_equal_texts_are_computed_once(batch: BatchEmbedder) -> None:
    """A text that comes again gets the same vector, and counts in the progress."""
    seen: list[tuple[int, int]] = []
    vectors = batch.embed(["same", "other", "same"] * 50, progress=lambda done, total: seen.append((done, total)))
    assert len({row.tobytes() for row in vectors}) == 2
    assert seen[-1] == (150, 150)
    assert len(seen) <= 2


def test_progress_grows(batch: BatchEmbedder, prose: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is told in growing steps up to all."""
    monkeypatch.setattr(batch_module.hardware, "parallel_batches", lambda device: 1)  # two may end in the same moment
    seen: list[int] = []
    batch.embed(prose, progress=lambda done, total: seen.append(done))
    assert seen == sorted(set(seen))
    assert len(seen) > 1
    assert seen[-1] == len(prose)


def test_interruption(batch: BatchEmbedder, prose: list[str]) -> None:
    """Ctrl-C inside a run ends it: no thread goes on, and the next run is whole."""
    threads, setting = threading.active_count(), torch.get_num_threads()

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch.embed(prose, progress=interrupt)
    assert threading.active_count() == threads
    assert torch.get_num_threads() == setting
    assert batch.embed(prose).shape == (len(prose), 384)


def test_prompts(small_model: Callable[..., Path]) -> None:
    """Documents and queries get the model's prompts, as encode_document and encode_query give them."""
    from sentence_transformers import SentenceTransformer

    folder = small_model(prompts={"query": "q: ", "document": "d: "})
    ours = BatchEmbedder(resolve_model(str(folder)), device="cpu", dtype="float32")
    theirs = SentenceTransformer(str(folder), device="cpu")
    assert np.abs(ours.embed(["x"]) - theirs.encode_document(["x"], normalize_embeddings=True)).max() < 1e-5
    query = theirs.encode_query(["x"], normalize_embeddings=True)
    assert np.abs(ours.embed(["x"], purpose="query") - query).max() < 1e-5


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_later_stages(small_model: Callable[..., Path], dtype: str) -> None:
    """A model with a dense layer is computed with it, in half precision too, and normalised."""
    from sentence_transformers import SentenceTransformer

    folder = small_model(dense=16)
    theirs = SentenceTransformer(str(folder), device="cpu").encode(AWKWARD, normalize_embeddings=True)
    ours = BatchEmbedder(resolve_model(str(folder)), device="cpu", dtype=dtype).embed(AWKWARD)
    assert ours.shape == (len(AWKWARD), 16)
    assert (ours * theirs).sum(axis=1).min() > (0.99999 if dtype == "float32" else 0.98)


def test_changed_weights(model_copy: Path) -> None:
    """Vectors are never computed with weights other than the card's."""
    card = resolve_model(str(model_copy))
    with (model_copy / "model.safetensors").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(WeightsChanged):
        BatchEmbedder(card, device="cpu")


def test_changed_configuration(model_copy: Path) -> None:
    """A model that no longer is what its card says is refused."""
    card = resolve_model(str(model_copy))
    (model_copy / "sentence_bert_config.json").write_text('{"max_seq_length": 100}')
    with pytest.raises(UnknownModel, match="100"):
        BatchEmbedder(card, device="cpu", dtype="float32")


def test_broken_model(model_copy: Path) -> None:
    """A model that the library can't load is refused with its reason."""
    (model_copy / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    (model_copy / "config.json").write_text('{"hidden_size": 384, "model_type": "no such"}')
    with pytest.raises(UnknownModel, match="can't load"):
        BatchEmbedder(resolve_model(str(model_copy)), device="cpu")


@pytest.mark.parametrize("options", [{"device": "no-such"}, {"device": "cpu", "dtype": "float8"}])
def test_impossible_options(card: ModelCard, options: dict[str, str]) -> None:
    """A device or precision that can't be had is refused by name."""
    with pytest.raises(ConfigurationError, match="no-such|float8"):
        BatchEmbedder(card, **options)


def test_device_is_one_that_works() -> None:
    """The device picked by itself is one that torch computes on."""
    assert torch.ones(2, device=choose_device("auto")).sum().item() == 2


@pytest.mark.parametrize(("content", "most"), [("100000 100000\n", 1), ("max 100000\n", 10**6), ("nonsense", 10**6)])
def test_container_quota(tmp_path: Path, content: str, most: int) -> None:
    """A container's quota of processors is kept; without one it is those of the process's affinity."""
    (tmp_path / "cpu.max").write_text(content)
    assert 1 <= available_processors(tmp_path / "cpu.max") <= most


def test_parallel_batches() -> None:
    """A GPU gets one batch at a time, processors one each."""
    assert parallel_batches("cuda") == 1
    assert 1 <= parallel_batches("cpu") <= available_processors()


def test_a_gpu_s_batches_and_formats(batch_float32: BatchEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large batches whatever its number, float16 before bfloat16; a few texts make one batch, for there is one worker."""
    assert (reduced_dtypes("cuda"), reduced_dtypes("cuda:1"), reduced_dtypes("cpu")) == (
        ("float16", "bfloat16"),
        ("float16", "bfloat16"),
        ("bfloat16",),
    )
    monkeypatch.setattr(batch_float32, "device", "cuda:1")
    assert batch_float32._tokens_per_batch(10**6, parallel_batches("cuda:1")) == TOKENS_PER_BATCH["cuda"] == 32_768
    assert batch_float32._tokens_per_batch(5_000, 1) == 5_000
    monkeypatch.setattr(batch_float32, "device", "xpu")
    assert batch_float32._tokens_per_batch(10**6, 2) == TOKENS_PER_BATCH["cpu"]


@given(st.lists(st.integers(0, 600), max_size=200), st.integers(1, 5000))
def test_batches(lengths: list[int], limit: int) -> None:
    """Batches hold every text once, longest first, within the padded size unless there is one text only."""
    batches = [batch.tolist() for batch in token_batches(lengths, limit)]
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    widths = [max(lengths[number] for number in batch) for batch in batches]
    assert widths == sorted(widths, reverse=True)
    assert all(len(batch) * width <= limit or len(batch) == 1 for batch, width in zip(batches, widths, strict=True))
