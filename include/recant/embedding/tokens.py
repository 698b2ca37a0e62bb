"""How long a text is to the embedding model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recant.embedding.embedder import model_inputs
from recant.embedding.model import ModelCard, UnknownModel, read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class TokenCounter:
    """Counts what the model would be given for a document, uncut: prompt and special tokens ([CLS], [SEP]) included.

    So a text fits if and only if its count is at most `card.max_tokens`; an empty text counts `special_tokens`.
    """

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self._tokenizer = load_tokenizer(card)
        self.special_tokens = self._tokenizer.num_special_tokens_to_add(is_pair=False)

    def count(self, text: str) -> int:
        """Tokens of one text."""
        return len(self._tokenizer.encode(model_inputs(self.card, [text], "documents")[0]).ids)

    def count_batch(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, on all processors."""
        return [
            len(found.ids) for found in self._tokenizer.encode_batch_fast(model_inputs(self.card, texts, "documents"))
        ]


def load_tokenizer(card: ModelCard) -> Tokenizer:
    """The model's own tokeniser, cutting and padding nothing. Raises UnknownModel when it has no tokenizer.json."""
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Lowercase, Sequence

    path = card.path / "tokenizer.json"
    if not path.is_file():
        raise UnknownModel(f"{card.path} has no tokenizer.json: load and save it once with sentence-transformers")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if read_json(card.path / "sentence_bert_config.json").get("do_lower_case"):
        kept = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
        tokenizer.normalizer = Sequence([Lowercase(), *kept])
    return tokenizer
