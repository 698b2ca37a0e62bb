"""How long a text is to the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recant.embedding import ModelCard, TokenCounter, resolve_model
from recant.embedding.model import UnknownModel
from tests.unit.embedding.conftest import AWKWARD

COUNTER = TokenCounter(resolve_model())


def test_as_the_library(card: ModelCard, library: Any) -> None:
    """Counts are the library's own before it cuts, special tokens included."""
    expected = [len(ids) for ids in library.tokenizer(AWKWARD, truncation=False)["input_ids"]]
    counter = TokenCounter(card)
    assert counter.count_batch(AWKWARD) == expected == [counter.count(text) for text in AWKWARD]


def test_empty(card: ModelCard) -> None:
    """An empty text is as long as its special tokens."""
    counter = TokenCounter(card)
    assert counter.count("") == counter.special_tokens == 2


def test_no_texts(card: ModelCard) -> None:
    """No texts have no counts."""
    assert TokenCounter(card).count_batch([]) == []


def test_lone_surrogate(card: ModelCard) -> None:
    """Undecodable bytes from a command line count as a replacement character."""
    counter = TokenCounter(card)
    assert counter.count("caf\udce9") == counter.count("caf?")


def test_prompt(small_model: Callable[..., Path]) -> None:
    """A model's prompt for documents counts."""
    counter = TokenCounter(resolve_model(str(small_model(prompts={"document": "passage: "}))))
    assert counter.count("x") == COUNTER.count("passage: x")


def test_lower_casing(model_copy: Path, library: Any) -> None:
    """A model that lower-cases by its sentence-transformers configuration is counted so."""
    (model_copy / "sentence_bert_config.json").write_text('{"max_seq_length": 256, "do_lower_case": true}')
    assert TokenCounter(resolve_model(str(model_copy))).count("HELLO World") == COUNTER.count("hello world")


def test_no_tokenizer(model_copy: Path) -> None:
    """A model without tokenizer.json is refused with what to do."""
    (model_copy / "tokenizer.json").unlink()
    with pytest.raises(UnknownModel, match="load and save it"):
        TokenCounter(resolve_model(str(model_copy)))


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_longer_text_is_not_shorter(first: str, second: str) -> None:
    """Text after a blank adds tokens and takes none away."""
    assert COUNTER.count(first) <= COUNTER.count(f"{first} {second}")
