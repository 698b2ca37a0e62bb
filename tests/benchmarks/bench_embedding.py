"""How quickly chunks are embedded, against plain `SentenceTransformer.encode` in float32, and a query from a cold start.

The chunks are the READMEs of the installed distributions, cut at 100 to 1,100 characters. Each way runs in a process of
its own, as it would without the other, and they take turns; a ratio is the median over the turns, so that what else the
machine does falls on both.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import distributions
from typing import Any

import numpy as np

from recant.embedding import TokenCounter, open_embedder, resolve_model
from tests.benchmarks.measure import Measure, at_least, at_most, median

WAYS = ("plain", "auto", "float32")
COLD_QUERY = (
    "from recant.embedding import open_embedder, resolve_model;"
    "open_embedder(resolve_model(), purpose='query').embed(['how do I take back an ingest?'])"
)


def run(chunks: int = 300, turns: int = 5, seed: int = 7) -> list[Measure]:
    """Measures over `chunks` chunks, each way `turns` times."""
    texts = readme_chunks(chunks, seed)
    with ExitStack() as stack:
        workers = {way: stack.enter_context(worker(way, chunks, seed)) for way in WAYS}
        dtype = workers["auto"]("dtype")
        seconds = [{way: workers[way]("embed") for way in WAYS} for _ in range(turns)]
    limits = arithmetic_limit(texts, str(dtype))
    return [
        *limits,
        Measure("mean length of a chunk", float(np.mean(TokenCounter(resolve_model()).count_batch(texts))), "tokens"),
        *(Measure(f"embedding, {way}", chunks / median([turn[way] for turn in seconds]), "chunks/s") for way in WAYS),
        at_least(
            f"embedding, chosen by itself ({dtype}) : plain", ratio(seconds, "auto"), "times", target_for(str(dtype))
        ),
        at_least("embedding, float32 : plain", ratio(seconds, "float32"), "times", 1.0),
        at_least("least cosine to float32", least_cosine(texts[:100]), "", 0.999),
        at_most("a query embedded by a new process", median([cold_query() for _ in range(turns)]), "s", 1.5),
    ]


def arithmetic_limit(texts: list[str], dtype: str) -> list[Measure]:
    """One processor's rate of products, and how much of it embedding comes to; and what int8 would do to vectors."""
    import torch

    from recant.embedding.batch import BatchEmbedder

    torch.set_num_threads(1)
    embedder = BatchEmbedder(resolve_model(), dtype=dtype, device="cpu")
    tokens = [len(ids) for ids in embedder._tokenize(texts)]
    needed = sum(flop_per_token(length) * length for length in tokens)
    rate, spent = product_rate(dtype), min(processor_seconds(embedder.embed, texts) for _ in range(2))
    return [
        Measure(f"products of matrices on one processor, {dtype}", rate / 1e9, "GFLOP/s"),
        Measure("products of matrices on one processor, float32", product_rate("float32") / 1e9, "GFLOP/s"),
        Measure("embedding on one processor", sum(tokens) / spent, "tokens/s"),
        Measure("its arithmetic limit", sum(tokens) * rate / needed, "tokens/s"),
        Measure("embedding / arithmetic limit", needed / spent / rate, ""),
        *int8(texts[:40]),
    ]


def flop_per_token(length: int, layers: int = 6, hidden: int = 384, inner: int = 1536) -> float:
    """Of all-MiniLM-L6-v2, for a token of a text of `length` tokens; a multiplication and an addition are two."""
    return 2 * layers * (4 * hidden**2 + 2 * hidden * inner) + 4 * layers * length * hidden


def product_rate(dtype: str, rows: int = 2_048, times: int = 20) -> float:
    """FLOP a second of a linear layer as the model has them, the best of some."""
    import torch

    layer = torch.nn.Linear(384, 1536).to(getattr(torch, dtype))
    states = torch.randn(rows, 384).to(getattr(torch, dtype))
    with torch.inference_mode():
        layer(states)
        seconds = min(processor_seconds(lambda: [layer(states) for _ in range(10)]) for _ in range(times))
    return 10 * 2 * rows * 384 * 1536 / seconds


def int8(texts: list[str]) -> list[Measure]:
    """Dynamic quantisation of every linear layer: how far its vectors are from float32's, and its speed beside that."""
    import torch

    from recant.embedding.batch import BatchEmbedder

    embedder = BatchEmbedder(resolve_model(), dtype="float32", device="cpu")
    whole = embedder.embed(texts)
    usual = processor_seconds(embedder.embed, texts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        embedder._model[0] = torch.ao.quantization.quantize_dynamic(embedder._model[0], {torch.nn.Linear}, torch.qint8)
    least = float((embedder.embed(texts) * whole).sum(axis=1).min())
    return [
        Measure("int8, not used: least cosine to float32", least, ""),
        Measure("int8, not used: float32 : it", usual / processor_seconds(embedder.embed, texts), "times"),
    ]


def processor_seconds(call: Callable[..., Any], *given: Any) -> float:
    """Of the whole process."""
    started = time.process_time()
    call(*given)
    return time.process_time() - started


def target_for(dtype: str) -> float:
    """2.5 times where the processor has a half precision worth using; elsewhere not slower."""
    return 1.0 if dtype == "float32" else 2.5


def ratio(seconds: list[dict[str, Any]], way: str) -> float:
    """How many times as fast as plain."""
    return median([turn["plain"] / turn[way] for turn in seconds])


def least_cosine(texts: list[str]) -> float:
    """Of the vectors as stored by default to those of the lean path, which is float32."""
    from recant.embedding.lean import LeanEmbedder

    card = resolve_model()
    return float((open_embedder(card).embed(texts) * LeanEmbedder(card).embed(texts)).sum(axis=1).min())


def cold_query() -> float:
    """Seconds from starting Python to having the vector."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", COLD_QUERY], check=True)
    return time.perf_counter() - started


def readme_chunks(count: int, seed: int) -> list[str]:
    """`count` pieces of READMEs of mixed lengths, drawn from all of them."""
    draw = random.Random(seed)
    pieces: set[str] = set()
    for found in distributions():
        text = str(found.metadata.get_payload() or found.metadata.get("Description") or "")
        while text:
            size = draw.choice((100, 300, 600, 600, 600, 800, 1100))
            pieces.add(text[:size].strip())
            text = text[size:]
    return draw.sample(sorted(pieces), count)


@contextmanager
def worker(way: str, chunks: int, seed: int) -> Iterator[Callable[[str], Any]]:
    """A process that has loaded one way, to be asked for "dtype" or the seconds of one "embed"."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_embedding", way, str(chunks), str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answers = process.stdin, process.stdout

        def ask(question: str) -> Any:
            asked.write(question + "\n")
            asked.flush()
            return json.loads(answers.readline())

        ask("embed")  # warm
        yield ask
        asked.close()


def work(way: str, chunks: int, seed: int) -> None:
    """The worker's own side."""
    texts = readme_chunks(chunks, seed)
    embed, dtype = loaded(way)
    for line in sys.stdin:
        started = time.perf_counter()
        if line.strip() == "embed":
            embed(texts)
        print(json.dumps(time.perf_counter() - started if line.strip() == "embed" else dtype), flush=True)


def loaded(way: str) -> tuple[Callable[[list[str]], Any], str]:
    """What embeds in this way, on the processor, and in which precision."""
    card = resolve_model()
    if way == "plain":
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(card.path), device="cpu", local_files_only=True).encode, "float32"
    from recant.embedding.batch import BatchEmbedder

    embedder = BatchEmbedder(card, dtype=way, device="cpu")
    return embedder.embed, embedder.dtype


if __name__ == "__main__":
    if sys.argv[1:]:
        work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        for measure in run():
            print(json.dumps(measure.to_dict()))
