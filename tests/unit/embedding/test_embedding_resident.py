"""The resident embedder: a real server on a real socket, and its callers."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recant.embedding import ModelCard, resolve_model
from recant.embedding.client import ResidentEmbedder
from recant.embedding.lean import LeanEmbedder
from recant.embedding.resident import AlreadyRunning, ResidentServer, main, running
from recant.embedding.resident_state import (
    DIGEST_HEADER,
    MAX_BODY_BYTES,
    ResidentState,
    WrongModel,
    read_state,
    remove_state,
    write_state,
)
from recant.errors import ConfigurationError, EmbedderUnreachable, UsageError
from tests.unit.embedding.conftest import AWKWARD


@pytest.fixture(scope="module")
def state_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resident") / "run" / "embedder.json"


@pytest.fixture(scope="module")
def server(card: ModelCard, state_file: Path) -> Iterator[ResidentServer]:
    with running(card, state_file=state_file, device="cpu") as found:
        yield found


@contextmanager
def process(state_file: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The server as a process of its own, until the block ends."""
    command = [sys.executable, "-m", "recant.embedding.resident", "--state-file", str(state_file), *options]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as started:
        try:
            deadline = time.monotonic() + 60
            while not state_file.exists() and started.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            yield started
        finally:
            started.kill()


def post(server: ResidentServer, body: bytes, path: str = "/embed", **headers: str) -> tuple[int, Any]:
    """A request as anybody could send it; headers with _ for -, an empty one left out."""
    given = {"Authorization": f"Bearer {server.state.token}"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = HTTPConnection(server.state.host, server.state.port, timeout=60)
    try:
        connection.request("POST", path, body, {name: value for name, value in given.items() if value})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_state_file_is_private(server: ResidentServer, state_file: Path) -> None:
    """Only the owner can read the state file, and the token isn't shown with the state."""
    assert stat.S_IMODE(state_file.stat().st_mode) == 0o600
    assert read_state(state_file) == server.state
    assert server.state.token not in repr(server.state)


def test_health_has_no_secrets(server: ResidentServer) -> None:
    """Anybody may ask for the health; it names the model and its state and gives no token."""
    connection = HTTPConnection(server.state.host, server.state.port)
    connection.request("GET", "/health")
    answer = connection.getresponse().read()
    connection.close()
    health = json.loads(answer)
    assert health["digest"] == server.state.digest
    assert health["state"] in ("waiting", "loading", "ready")
    assert "proof" not in health
    assert server.state.token.encode() not in answer


def test_documents(server: ResidentServer, state_file: Path, card: ModelCard, expected: Any, prose: list[str]) -> None:
    """Documents get the model's vectors in their order; then the server is ready and says in which precision."""
    client = ResidentEmbedder(state_file, card)
    vectors = client.embed(AWKWARD + prose)
    assert vectors.dtype == np.float32
    assert (vectors * expected).sum(axis=1).min() > 0.999
    health = client.health()
    assert (health["state"], health["device"]) == ("ready", "cpu")
    assert health["dtype"] in ("float32", "bfloat16")


def test_queries(server: ResidentServer, state_file: Path, card: ModelCard) -> None:
    """A query gets the same vector to the bit with the resident embedder as without."""
    resident = ResidentEmbedder(state_file, card, purpose="query")
    assert resident.embed(AWKWARD).tobytes() == LeanEmbedder(card).embed(AWKWARD).tobytes()


def test_many_texts(server: ResidentServer, state_file: Path, card: ModelCard) -> None:
    """Any number of texts is sent in batches, with progress after each."""
    texts = [f"text {number}" for number in range(600)]
    seen: list[tuple[int, int]] = []
    vectors = ResidentEmbedder(state_file, card).embed(texts, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(256, 600), (512, 600), (600, 600)]
    assert (vectors[[0, 300, 599]] * LeanEmbedder(card).embed(["text 0", "text 300", "text 599"])).sum(
        axis=1
    ).min() > 0.999
    assert ResidentEmbedder(state_file, card).embed([]).shape == (0, 384)


def test_long_texts_go_in_batches_by_size(server: ResidentServer, state_file: Path, card: ModelCard) -> None:
    """Long texts go few at a time, so that no request is too large."""
    seen: list[int] = []
    texts = ["long " * 120_000] * 4
    vectors = ResidentEmbedder(state_file, card).embed(texts, progress=lambda done, total: seen.append(done))
    assert seen == [1, 2, 3, 4]
    assert (vectors @ LeanEmbedder(card).embed([texts[0]])[0]).min() > 0.999


def test_too_long_text(server: ResidentServer, state_file: Path, card: ModelCard) -> None:
    """A text that no request can hold is refused with what to do, before it is sent."""
    with pytest.raises(UsageError, match="into chunks"):
        ResidentEmbedder(state_file, card).embed(["x" * MAX_BODY_BYTES])


def test_concurrent_callers(server: ResidentServer, state_file: Path, card: ModelCard, prose: list[str]) -> None:
    """Callers at the same time each get their own texts' vectors."""
    expected = LeanEmbedder(card).embed(prose[:16])

    def call(number: int) -> float:
        purpose = "query" if number % 2 else "documents"
        own = slice(number * 2, number * 2 + 2)
        vectors = ResidentEmbedder(state_file, card, purpose=purpose).embed(prose[own])
        return float((vectors * expected[own]).sum(axis=1).min())

    with ThreadPoolExecutor(8) as pool:
        assert min(pool.map(call, range(8))) > 0.999


def test_wrong_token(server: ResidentServer) -> None:
    """Without the token, or with another, nothing is embedded."""
    body = json.dumps({"texts": ["x"]}).encode()
    for given in ("", "Bearer wrong", server.state.token, f"Bearer {server.state.token}x", "Bearer \xe9"):
        status, answer = post(server, body, Authorization=given)
        assert (status, "token" in json.loads(answer)["error"]) == (401, True)


def test_stale_token(server: ResidentServer, card: ModelCard, tmp_path: Path) -> None:
    """A caller with an old state file can't tell the server from a stranger, and sends it nothing."""
    write_state(tmp_path / "state.json", replace(server.state, token="old"))
    with pytest.raises(EmbedderUnreachable, match="another program answers"):
        ResidentEmbedder(tmp_path / "state.json", card).embed(["x"])


def test_wrong_model(server: ResidentServer, state_file: Path, card: ModelCard) -> None:
    """A caller that wants another model's vectors is refused on both sides, naming both digests."""
    with pytest.raises(WrongModel) as refused:
        ResidentEmbedder(state_file, replace(card, digest="0" * 64)).embed(["x"])
    assert refused.value.details == {"expected": "0" * 64, "actual": card.digest}
    assert post(server, b'{"texts": ["x"]}', **{DIGEST_HEADER: "0" * 64})[0] == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'["x"]', 400),
        (b'{"texts": "x"}', 400),
        (b'{"texts": [1]}', 400),
        (b'{"texts": ["x"], "purpose": "fun"}', 400),
        (json.dumps({"texts": ["x"] * 513}).encode(), 413),
    ],
)
def test_bad_bodies(server: ResidentServer, body: bytes, status: int) -> None:
    """A body that can't be understood is refused with a reason, and the server goes on."""
    found, answer = post(server, body)
    assert (found, bool(json.loads(answer)["error"])) == (status, True)
    assert len(post(server, b'{"texts": ["x"], "purpose": "query"}')[1]) == 384 * 4


def test_bad_lengths(server: ResidentServer) -> None:
    """A body of unknown or unbounded length isn't read."""
    assert post(server, b"", Content_Length=str(MAX_BODY_BYTES + 1))[0] == 413
    assert post(server, b"", Content_Length="-1")[0] == 411
    assert post(server, b"", Content_Length="\u00b2")[0] == 411


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/", 404), ("PUT", "/embed", 501)])
def test_other_routes(server: ResidentServer, method: str, path: str, status: int) -> None:
    """There is nothing but the two routes."""
    connection = HTTPConnection(server.state.host, server.state.port)
    connection.request(method, path)
    assert connection.getresponse().status == status
    connection.close()


def test_caller_that_hangs_up(server: ResidentServer, state_file: Path, card: ModelCard) -> None:
    """A caller that goes away in the middle harms nobody."""
    for head in (b"POST /embed HTTP/1.1\r\n", b"\r\n", b"\x00\xff\r\n\r\n"):
        with socket.create_connection((server.state.host, server.state.port)) as caller:
            caller.sendall(head)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert ResidentEmbedder(state_file, card, purpose="query").embed(["x"]).shape == (1, 384)


def test_one_server_a_state_file(server: ResidentServer, state_file: Path, card: ModelCard) -> None:
    """A second server under the same state file is refused, from the command line with exit code 3."""
    with pytest.raises(AlreadyRunning, match="runs already"), running(card, state_file=state_file):
        pytest.fail("it started")
    assert main(["--state-file", str(state_file)]) == 3
    assert read_state(state_file) == server.state


@pytest.mark.parametrize("host", ["192.0.2.1", "localhost", "::"])
def test_loopback_only(card: ModelCard, tmp_path: Path, host: str) -> None:
    """It listens on a loopback address, given as a number, and nowhere else."""
    with pytest.raises(ConfigurationError, match="loopback"), running(card, state_file=tmp_path / "s", host=host):
        pytest.fail("it started")
    assert not (tmp_path / "s").exists()


def test_port_in_use(server: ResidentServer, card: ModelCard, tmp_path: Path) -> None:
    """A port that is taken is refused by its number."""
    taken = server.state.port
    with pytest.raises(ConfigurationError, match=str(taken)), running(card, state_file=tmp_path / "s", port=taken):
        pytest.fail("it started")


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
def test_ipv6(card: ModelCard, tmp_path: Path) -> None:
    """The other loopback address serves as well."""
    with running(card, state_file=tmp_path / "s", host="::1", preload=False) as found:
        assert found.state.address.startswith("http://[::1]:")
        assert ResidentEmbedder(tmp_path / "s", card, purpose="query").embed(["x"]).shape == (1, 384)


def test_model_that_does_not_load(model_copy: Path, tmp_path: Path) -> None:
    """With weights that aren't the card's documents are refused with the reason, and the health says so."""
    card = replace(resolve_model(str(model_copy)), digest="0" * 64)
    with running(card, state_file=tmp_path / "s", device="cpu") as found:
        client = ResidentEmbedder(tmp_path / "s", card)
        with pytest.raises(EmbedderUnreachable, match="500: WeightsChanged"):
            client.embed(["x"])
        assert client.health()["state"] == "failed"
        assert "hash to" in found.model.health()["reason"]


def test_no_state_file(card: ModelCard, tmp_path: Path) -> None:
    """Without a state file nobody is asked; the message says what starts a server."""
    with pytest.raises(EmbedderUnreachable, match="recant up"):
        ResidentEmbedder(tmp_path / "none", card).embed(["x"])


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": "127.0.0.1"}', '"x"'])
def test_damaged_state_file(card: ModelCard, tmp_path: Path, content: str) -> None:
    """A state file that can't be understood is as good as none."""
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(EmbedderUnreachable, match="can't read"):
        ResidentEmbedder(tmp_path / "state.json", card).embed(["x"])


def test_state_of_a_later_server_stays(server: ResidentServer, state_file: Path) -> None:
    """A server that ends removes its own state only."""
    remove_state(state_file, replace(server.state, token="of an earlier one"))
    assert read_state(state_file) == server.state


def test_unwritable_state_file(server: ResidentServer, tmp_path: Path) -> None:
    """When the state can't be put in place nothing is left beside it."""
    (tmp_path / "state").mkdir()
    with pytest.raises(OSError, match="state"):
        write_state(tmp_path / "state", server.state)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


@contextmanager
def impostor(state: ResidentState, *, knows_the_token: bool) -> Iterator[tuple[ResidentState, list[bytes]]]:
    """Another program at the port of a state file; gives back that state, and whatever was sent to it."""
    received: list[bytes] = []

    class Request(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            proof = state.proof(self.headers["X-Recant-Challenge"]) if knows_the_token else "0" * 64
            self.answer(json.dumps({"digest": state.digest, "proof": proof}).encode())

        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(b"\0" * 10)

        def answer(self, body: bytes) -> None:
            received.append(str(self.headers).encode())
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Request) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield replace(state, port=listening.server_address[1]), received
        listening.shutdown()


def test_impostor(card: ModelCard, tmp_path: Path) -> None:
    """A program that took over the port of a killed server gets neither token nor text, and isn't believed."""
    state = ResidentState("127.0.0.1", 1, 1, card.name, card.digest, "the secret token")
    with impostor(state, knows_the_token=False) as (found, received):
        write_state(tmp_path / "s", found)
        with pytest.raises(EmbedderUnreachable, match="another program answers"):
            ResidentEmbedder(tmp_path / "s", card).embed(["confidential"])
    assert received
    assert not any(b"secret" in sent or b"confidential" in sent for sent in received)


def test_broken_answer(card: ModelCard, tmp_path: Path) -> None:
    """An answer that isn't whole rows is no vector."""
    state = ResidentState("127.0.0.1", 1, 1, card.name, card.digest, "token")
    with impostor(state, knows_the_token=True) as (found, _):
        write_state(tmp_path / "s", found)
        with pytest.raises(EmbedderUnreachable, match="10 bytes"):
            ResidentEmbedder(tmp_path / "s", card).embed(["x"])


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", b""])
def test_other_protocols(card: ModelCard, tmp_path: Path, answer: bytes) -> None:
    """A port where something else listens counts as nobody there."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        state = ResidentState("127.0.0.1", listening.getsockname()[1], 1, card.name, card.digest, "token")
        write_state(tmp_path / "s", state)

        def accept() -> None:
            caller, _ = listening.accept()
            with caller:
                caller.recv(65536)
                caller.sendall(answer)

        threading.Thread(target=accept, daemon=True).start()
        with pytest.raises(EmbedderUnreachable, match="answer"):
            ResidentEmbedder(tmp_path / "s", card).embed(["x"])


def test_terminated_process(card: ModelCard, tmp_path: Path) -> None:
    """The process serves until SIGTERM, then ends at once with 0 and takes its state file along, loading or not."""
    with process(tmp_path / "s", "--device", "cpu") as started:
        assert read_state(tmp_path / "s").pid == started.pid
        assert ResidentEmbedder(tmp_path / "s", card, purpose="query").embed(["x"]).shape == (1, 384)
        started.send_signal(signal.SIGTERM)
        assert started.wait(20) == 0
    assert not (tmp_path / "s").exists()


def test_killed_process(card: ModelCard, tmp_path: Path) -> None:
    """After a SIGKILL the state file stays, callers are told to start again, and the next server takes over."""
    with process(tmp_path / "s", "--lazy") as started:
        client = ResidentEmbedder(tmp_path / "s", card, purpose="query")
        expected = client.embed(["x"])
        os.kill(started.pid, signal.SIGKILL)
        started.wait(20)
    with pytest.raises(EmbedderUnreachable, match="recant up"):
        client.embed(["x"])
    with running(card, state_file=tmp_path / "s", preload=False):
        assert (client.embed(["x"]) == expected).all()


def test_bad_model_from_the_command_line(tmp_path: Path) -> None:
    """A model that isn't there ends the process with exit code 3 before it listens."""
    assert main(["--state-file", str(tmp_path / "s"), "--model", str(tmp_path)]) == 3
    assert not (tmp_path / "s").exists()


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The model is the settings' unless named; bad settings end it with 2."""
    monkeypatch.setenv("RECANT_MODEL", str(tmp_path))
    assert main(["--state-file", str(tmp_path / "s")]) == 3
    monkeypatch.setenv("RECANT_MODEL_DTYPE", "float99")
    with pytest.raises(SystemExit, match="2"):
        main(["--state-file", str(tmp_path / "s")])
