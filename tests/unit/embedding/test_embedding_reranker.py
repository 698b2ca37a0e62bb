"""A real cross-encoder, small and of seeded weights, made from the files of the embedding model."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from recant.embedding import resolve_model
from recant.embedding.reranker import BadReranker, Reranker

QUERY = "who approves a rollback?"
TEXTS = ["A person approves it.", "Figs grow on trees.", "word " * 2_000]


def made(folder: Path, labels: int = 1) -> Path:
    """One layer of 32 numbers, saved as sentence-transformers saves its own."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(7)
    model = folder / f"plain{labels}"
    config = BertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, num_labels=labels,
        initializer_range=1.0,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(model)
    AutoTokenizer.from_pretrained(resolve_model(None).path).save_pretrained(model)
    CrossEncoder(str(model), local_files_only=True, device="cpu").save_pretrained(str(folder / f"saved{labels}"))
    return folder / f"saved{labels}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("reranker"))


def test_scores_are_those_of_the_model(folder: Path) -> None:
    """From 0 to 1, each as if it were asked alone; what is too long is cut; threads take turns."""
    from sentence_transformers import CrossEncoder
    from torch import nn

    reranker = Reranker(folder, device="cpu")
    scores = reranker(QUERY, TEXTS)
    direct = CrossEncoder(str(folder), local_files_only=True, device="cpu")
    expected = direct.predict([(QUERY, text) for text in TEXTS], activation_fn=nn.Sigmoid())
    assert scores == pytest.approx(expected.tolist(), abs=1e-5)
    assert len(set(scores)) == 3
    assert all(0 <= score <= 1 for score in scores)
    assert reranker(QUERY, TEXTS[1:2]) == pytest.approx(scores[1:2], abs=1e-5)
    assert reranker(QUERY, []) == []
    found: list[list[float]] = []
    threads = [threading.Thread(target=lambda: found.append(reranker(QUERY, TEXTS))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [pytest.approx(scores, abs=1e-5)] * 4


def test_what_is_no_reranker_is_refused(folder: Path, tmp_path: Path) -> None:
    """With what is wrong and what to do: not there, damaged, or made to tell classes apart."""
    with pytest.raises(BadReranker, match="config.json"):
        Reranker(tmp_path / "nowhere")(QUERY, TEXTS)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_text(json.dumps({"model_type": "bert"}), "utf-8")
    with pytest.raises(BadReranker, match="can't be loaded"):
        Reranker(damaged, device="cpu")(QUERY, TEXTS)
    with pytest.raises(BadReranker, match="3 numbers"):
        Reranker(made(tmp_path, labels=3), device="cpu")(QUERY, TEXTS)
