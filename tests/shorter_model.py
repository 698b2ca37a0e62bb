"""Real models besides all-MiniLM-L6-v2, made of it: fewer of its layers, and shorter vectors."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from safetensors.numpy import load_file, save_file

from recant.embedding import resolve_model


def shorter_model(folder: Path, *, dimensions: int, layers: int = 6) -> Path:
    """A sentence-transformers folder under `folder`: the first `layers` of six, the first so many numbers of 384."""
    card = resolve_model()
    place = folder / f"minilm-{layers}-{dimensions}"
    place.mkdir(parents=True)
    for found in card.path.iterdir():
        if found.is_dir():
            shutil.copytree(found, place / found.name)
        elif found.name != "model.safetensors":
            shutil.copy(found, place)
    weights = load_file(card.path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if _layer(name) < layers}
    save_file(
        kept,
        place / "model.safetensors",
        metadata={"format": "pt", "layers": str(layers), "dimensions": str(dimensions)},
    )
    _change(place / "config.json", num_hidden_layers=layers)
    _change(place / "config_sentence_transformers.json", truncate_dim=dimensions)
    return place


def _layer(name: str) -> int:
    found = re.search(r"encoder\.layer\.(\d+)\.", name)
    return int(found[1]) if found else -1


def _change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
