"""Vectors of many texts, as quickly as the machine can: sentence-transformers' stages under batches of our own.

Equal texts are computed once; batches are cut by tokens from texts sorted by length, so that little of them is padding;
the transformer runs in half precision where a self-check at loading finds that exact enough and quicker. Pooling and
what follows stay in float32. On a processor each thread computes batches of its own: threads that share a batch wait for
each other after every step, and with another program on one of two cores that cost up to ten times the time. Imports
torch and sentence-transformers: some 10 seconds and 1 GB, so only where a batch is embedded.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recant.embedding import hardware
from recant.embedding.embedder import Progress, Purpose, model_inputs
from recant.embedding.model import ModelCard, UnknownModel, verify_weights

logger = logging.getLogger(__name__)

MIN_COSINE = 0.999
"""Half precision is refused when a vector of the self-check is farther than this from its float32 one."""
MIN_SPEEDUP = 1.2
"""... or when it isn't quicker by this factor."""
TOKENS_PER_BATCH = {"cpu": 2048, "cuda": 32768, "mps": 8192}
"""On a processor: 1,024 tokens a batch took some 13% more of its time, 4,096 no less (all-MiniLM-L6-v2, bfloat16).
Those of GPUs are not measured."""
_LEAST_TOKENS_PER_BATCH = 256
_TEXTS_PER_TOKENISATION = 1024
_TRIALS = 2

TokenIds = NDArray[np.int64]


class BatchEmbedder:
    """Computes vectors with sentence-transformers. One at a time: threads must take turns."""

    def __init__(
        self, card: ModelCard, *, dtype: str = "auto", device: str = "auto", purpose: Purpose = "documents"
    ) -> None:
        """Load and check the model.

        `dtype` is auto, float32, bfloat16 or float16; `device` is auto or torch's name of one. Raises WeightsChanged
        when the weights don't hash to the card's digest, ConfigurationError when device or dtype can't be had.
        """
        self.card = card
        self.purpose = purpose
        self.device = hardware.choose_device(device)
        verify_weights(card)
        self._model = _load(card, self.device)
        self.dtype = self._settle_dtype() if dtype == "auto" else self._convert(dtype)
        logger.info("%s on %s in %s", card.name, self.device, self.dtype)

    def embed(
        self, texts: Sequence[str], *, progress: Progress | None = None, purpose: Purpose | None = None
    ) -> NDArray[np.float32]:
        """Vectors of unit length, shape (len(texts), dimensions); `purpose` other than the embedder's for once."""
        inputs = model_inputs(self.card, texts, purpose or self.purpose)
        distinct = {text: number for number, text in enumerate(dict.fromkeys(inputs))}
        numbers = np.array([distinct[text] for text in inputs], np.int64)
        wanted = np.bincount(numbers, minlength=len(distinct))
        vectors = np.empty((len(distinct), self.card.dimensions), np.float32)
        done = 0
        for batch, rows in self._computed(self._tokenize(list(distinct))):
            vectors[batch] = rows
            done += int(wanted[batch].sum())
            if progress is not None:
                progress(done, len(inputs))
        return vectors[numbers]

    def _computed(self, tokens: list[TokenIds]) -> Iterator[tuple[TokenIds, NDArray[np.float32]]]:
        """Batches as they are done: (positions, their vectors). Leaving early stops after the batches begun."""
        threads = torch.get_num_threads()
        workers = hardware.parallel_batches(self.device)
        lengths = [len(ids) for ids in tokens]
        pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(max(1, threads // workers),))
        try:
            batches = token_batches(lengths, self._tokens_per_batch(sum(lengths), workers))
            running = {pool.submit(self._forward, [tokens[n] for n in batch]): batch for batch in batches}
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)
            # a part of what the workers set holds for the whole process (MKL)
            torch.set_num_threads(threads)

    def _tokens_per_batch(self, tokens: int, workers: int) -> int:
        """Less than the usual for a few texts, so that every worker has some of them."""
        usual = TOKENS_PER_BATCH.get(self.device.partition(":")[0], TOKENS_PER_BATCH["cpu"])
        return min(usual, max(_LEAST_TOKENS_PER_BATCH, -(-tokens // workers)))

    def _tokenize(self, texts: list[str]) -> list[TokenIds]:
        found: list[TokenIds] = []
        for start in range(0, len(texts), _TEXTS_PER_TOKENISATION):
            encoded = self._model.tokenizer(
                texts[start : start + _TEXTS_PER_TOKENISATION], truncation=True, return_attention_mask=False
            )
            found += [np.array(ids, np.int64) for ids in encoded["input_ids"]]
        return found

    @torch.inference_mode()
    def _forward(self, rows: Sequence[TokenIds]) -> NDArray[np.float32]:
        """One batch through all stages, normalised; the stages after the first are given float32."""
        features: dict[str, Any] = self._padded(rows)
        for stage in self._model:
            features = {name: _single(value) for name, value in stage(features).items()}
        vectors = features["sentence_embedding"][:, : self.card.dimensions]
        normalized: NDArray[np.float32] = torch.nn.functional.normalize(vectors, dim=1).cpu().numpy()
        return normalized

    def _padded(self, rows: Sequence[TokenIds]) -> dict[str, Any]:
        tokenizer, width = self._model.tokenizer, max(len(row) for row in rows)
        ids = np.full((len(rows), width), tokenizer.pad_token_id, np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        for number, row in enumerate(rows):
            place = slice(width - len(row), width) if tokenizer.padding_side == "left" else slice(len(row))
            ids[number, place], mask[number, place] = row, 1
        return {
            "input_ids": torch.from_numpy(ids).to(self.device),
            "attention_mask": torch.from_numpy(mask).to(self.device),
            "modality": "text",
        }

    def _convert(self, dtype: str) -> str:
        self._model[0].to(hardware.dtype_named(dtype))
        return dtype

    def _settle_dtype(self) -> str:
        """The quickest format that is exact enough, by trial on texts of 128 tokens; the model is left in it."""
        rows = self._tokenize([f"{number} {_TRIAL_TEXT}" for number in range(8)])
        full = self._model[0].float()
        for dtype in hardware.reduced_dtypes(self.device):
            half = copy.deepcopy(full).to(hardware.dtype_named(dtype))
            cosine, speedup = self._compare(rows, full, half)
            logger.debug("self-check of %s: cosine %.5f, %.2f times float32", dtype, cosine, speedup)
            if cosine >= MIN_COSINE and speedup >= MIN_SPEEDUP:
                self._model[0] = half
                return dtype
        self._model[0] = full
        return "float32"

    def _compare(self, rows: Sequence[TokenIds], full: Any, half: Any) -> tuple[float, float]:
        """Least cosine between the two transformers' vectors (0 for one that isn't finite), and `half`'s speed-up."""
        seconds: dict[str, list[float]] = {"full": [], "half": []}
        vectors: dict[str, NDArray[np.float32]] = {}
        for _ in range(1 + _TRIALS):
            for name, transformer in (("full", full), ("half", half)):
                self._model[0] = transformer
                vectors[name], spent = self._timed_forward(rows)
                seconds[name].append(spent)
        cosines = np.nan_to_num((vectors["full"] * vectors["half"]).sum(axis=1), nan=0.0)
        return float(cosines.min()), min(seconds["full"][1:]) / min(seconds["half"][1:])

    def _timed_forward(self, rows: Sequence[TokenIds]) -> tuple[NDArray[np.float32], float]:
        """Vectors, and the seconds they took; on a processor this thread's own, whatever else the machine does."""
        clock = time.thread_time if self.device == "cpu" else time.perf_counter
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            started = clock()
            return self._forward(rows), clock() - started
        finally:
            torch.set_num_threads(threads)


def token_batches(lengths: Sequence[int], tokens_per_batch: int) -> Iterator[NDArray[np.int64]]:
    """Positions of texts to be computed together, longest texts first.

    A batch's padded size (its texts times its longest one) is at most `tokens_per_batch`, unless it is a single text.
    """
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    start = 0
    while start < len(order):
        count = max(1, tokens_per_batch // max(1, lengths[order[start]]))
        yield order[start : start + count]
        start += count


def _load(card: ModelCard, device: str) -> Any:
    from sentence_transformers import SentenceTransformer

    try:
        with _no_loading_bar():
            model = SentenceTransformer(str(card.path), device=device, local_files_only=True).eval()
    except (OSError, ValueError, ImportError) as error:
        raise UnknownModel(f"sentence-transformers can't load {card.path}: {error}") from error
    found = (model.get_embedding_dimension(), model.max_seq_length)
    if found != (card.dimensions, card.max_tokens):
        raise UnknownModel(f"{card.path}: dimensions and longest text are {found}, not as its files say")
    return model


@contextmanager
def _no_loading_bar() -> Iterator[None]:
    from transformers.utils import logging as library_logging

    shown = library_logging.is_progress_bar_enabled()
    library_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            library_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _single(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


_TRIAL_TEXT = (
    "A knowledge base keeps documents, cuts them into chunks and stores a vector for each of them. "
    "`SELECT id FROM chunk WHERE position <= 42 ORDER BY embedding <=> $1 LIMIT 10;` finds the nearest. "
    "When an agent wrote something false, its operation is withdrawn, and what was seen before is seen again: "
    "Größe, naïveté, Москва, 東京, 3.14159, https://example.org/a?b=c#d. "
) * 2
