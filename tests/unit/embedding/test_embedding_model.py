"""Which model is meant, and what is known of it before it is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from recant.embedding import DEFAULT_MODEL, ModelCard, resolve_model
from recant.embedding.digest import CACHE_FILE
from recant.embedding.model import DEFAULT_DIGEST, UnknownModel, WeightsChanged, verify_weights


def spoil(weights: Path) -> None:
    """Change one byte and keep size and time of change of content."""
    before = weights.stat()
    with weights.open("r+b") as stream:
        stream.seek(50_000_000)
        byte = stream.read(1)
        stream.seek(50_000_000)
        stream.write(bytes([byte[0] ^ 1]))
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_default(card: ModelCard) -> None:
    """Without a name it is all-MiniLM-L6-v2 with the released weights, 384 dimensions and 256 tokens."""
    assert (card.name, card.digest, card.dimensions, card.max_tokens) == (DEFAULT_MODEL, DEFAULT_DIGEST, 384, 256)


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", DEFAULT_MODEL])
def test_default_by_name(card: ModelCard, name: str) -> None:
    """The default model's names mean the packaged weights too."""
    assert resolve_model(name) == card


def test_path(card: ModelCard, model_copy: Path) -> None:
    """A folder is taken as it is, and the same weights have the same digest."""
    found = resolve_model(str(model_copy))
    assert (found.digest, found.path, found.name) == (card.digest, model_copy, "model")


def test_no_heavy_import() -> None:
    """Resolving a model imports neither numpy nor torch."""
    program = (
        "import sys, recant.embedding as e; e.resolve_model();"
        "print([n for n in ('numpy', 'torch', 'transformers', 'sentence_transformers') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_unknown_name() -> None:
    """A model that isn't here is refused with what to do; nothing is downloaded."""
    with pytest.raises(UnknownModel, match="downloads no model"):
        resolve_model("no-such-organisation/no-such-model")


def test_impossible_name() -> None:
    """A name that no model can have is refused alike."""
    with pytest.raises(UnknownModel, match="no model"):
        resolve_model("../../nowhere/at all")


def test_hugging_face_cache(small_model: Callable[..., Path], tmp_path: Path) -> None:
    """A name is found in the Hugging Face cache, by its short form under sentence-transformers too."""
    snapshot = tmp_path / "models--sentence-transformers--tiny" / "snapshots" / ("a" * 40)
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(small_model(), target_is_directory=True)
    refs = tmp_path / "models--sentence-transformers--tiny" / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)
    program = "from recant.embedding import resolve_model as r; print(r('tiny').name, r('tiny').dimensions)"
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert found.stdout.split() == ["sentence-transformers/tiny", "32"]


def test_folder_without_modules(tmp_path: Path) -> None:
    """A folder that isn't a sentence-transformers model is refused."""
    with pytest.raises(UnknownModel, match=r"modules\.json"):
        resolve_model(str(tmp_path))


def test_no_weights(model_copy: Path) -> None:
    """A folder without weights is refused."""
    (model_copy / "model.safetensors").unlink()
    with pytest.raises(UnknownModel, match="holds no weights"):
        resolve_model(str(model_copy))


def test_damaged_configuration(model_copy: Path) -> None:
    """A damaged configuration is refused by its path."""
    (model_copy / "config.json").write_text("{")
    with pytest.raises(UnknownModel, match=r"config\.json"):
        resolve_model(str(model_copy))


def test_unsupported_stage(model_copy: Path) -> None:
    """A model with a stage that isn't known is refused rather than described wrongly."""
    stages = json.loads((model_copy / "modules.json").read_text())
    stages[1]["type"] = "sentence_transformers.models.LSTM"
    (model_copy / "modules.json").write_text(json.dumps(stages))
    with pytest.raises(UnknownModel, match="LSTM"):
        resolve_model(str(model_copy))


def test_prompt_outside_the_vector(model_copy: Path) -> None:
    """A model that leaves its prompt out of the pooling is refused."""
    pooling = {"embedding_dimension": 384, "pooling_mode": "mean", "include_prompt": False}
    (model_copy / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (model_copy / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "q: "}}))
    with pytest.raises(UnknownModel, match="Instructor"):
        resolve_model(str(model_copy))


def test_no_length(model_copy: Path) -> None:
    """A model that doesn't say how long a text may be is refused."""
    (model_copy / "sentence_bert_config.json").unlink()
    (model_copy / "tokenizer_config.json").write_text("{}")
    config = json.loads((model_copy / "config.json").read_text())
    del config["max_position_embeddings"]
    (model_copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnknownModel, match="how long a text"):
        resolve_model(str(model_copy))


def test_no_dimensions(model_copy: Path) -> None:
    """A model that doesn't say how long its vectors are is refused."""
    (model_copy / "config.json").write_text("{}")
    with pytest.raises(UnknownModel, match="how long its vectors"):
        resolve_model(str(model_copy))


def test_several_weight_files(small_model: Callable[..., Path]) -> None:
    """With weights in two stages the digest speaks of both, and dimensions are the last stage's."""
    folder = small_model(dense=16)
    first = resolve_model(str(folder))
    assert first.dimensions == 16
    weights = folder / "2_Dense" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert resolve_model(str(folder)).digest != first.digest


def test_remembered_digest(card: ModelCard, tmp_path: Path) -> None:
    """A digest in the cache folder is used as long as the files are as they were."""
    assert resolve_model(cache_dir=tmp_path) == card
    remembered = json.loads((tmp_path / CACHE_FILE).read_text())
    (tmp_path / CACHE_FILE).write_text(json.dumps(dict.fromkeys(remembered, "0" * 64)))
    with pytest.raises(WeightsChanged):
        resolve_model(cache_dir=tmp_path)


def test_changed_weights_are_read_again(model_copy: Path, tmp_path: Path) -> None:
    """Weights changed in place are noticed although size and time of change are put back."""
    first = resolve_model(str(model_copy), cache_dir=tmp_path)
    spoil(model_copy / "model.safetensors")
    assert resolve_model(str(model_copy), cache_dir=tmp_path).digest != first.digest


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 5}'])
def test_damaged_cache(card: ModelCard, tmp_path: Path, content: str) -> None:
    """A damaged cache is written anew."""
    (tmp_path / CACHE_FILE).write_text(content)
    assert resolve_model(cache_dir=tmp_path) == card
    assert list(json.loads((tmp_path / CACHE_FILE).read_text()).values()) == [DEFAULT_DIGEST]


def test_unwritable_cache(card: ModelCard, tmp_path: Path) -> None:
    """A cache folder that can't be made does no harm."""
    (tmp_path / "file").write_text("")
    assert resolve_model(cache_dir=tmp_path / "file") == card


def test_verify(model_copy: Path) -> None:
    """Whoever writes vectors reads the weights: one changed byte is refused, naming both digests."""
    found = resolve_model(str(model_copy))
    verify_weights(found)
    spoil(model_copy / "model.safetensors")
    with pytest.raises(WeightsChanged) as refused:
        verify_weights(found)
    assert refused.value.details["expected"] == found.digest != refused.value.details["actual"]
