"""A Chromium without a window, driven over its own protocol; what it asks the network for is written down."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_SECONDS = 60
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-port=0",
    "--window-size=1200,800",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


def found() -> str | None:
    """The program, where there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """One tab, and every address that it asked for."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._numbers = socket, count(1)
        self.requested: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=1200, height=800, deviceScaleFactor=1, mobile=False)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command; what happens meanwhile is kept."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(PATIENCE_SECONDS))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def open(self, page: Path) -> None:
        """Until it has loaded."""
        self.call("Page.navigate", url=page.as_uri())
        while True:
            message = json.loads(self._socket.recv(PATIENCE_SECONDS))
            self._note(message)
            if message.get("method") == "Page.loadEventFired":
                return

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def click(self, selector: str) -> None:
        """With the mouse, in the middle of what the selector finds."""
        x, y = self.ask(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])(document.querySelector({json.dumps(selector)})"
            ".getBoundingClientRect())"
        )
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """One event of the mouse, its left button held."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1, **more)

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requested.append(parameters["request"]["url"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])


@contextmanager
def browsing(program: str) -> Iterator[Tab]:
    """A tab of a browser of its own, gone afterwards."""
    from websockets.sync.client import connect

    folder = Path(tempfile.mkdtemp(prefix="recant-chromium-"))
    command = [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    with open(os.devnull, "wb") as nowhere, subprocess.Popen(command, stdout=nowhere, stderr=nowhere) as process:
        try:
            port = _port(folder / "DevToolsActivePort", process)
            pages = httpx.get(f"http://127.0.0.1:{port}/json", trust_env=False, timeout=PATIENCE_SECONDS).json()
            address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
            with connect(address, max_size=None, proxy=None, open_timeout=PATIENCE_SECONDS) as socket:
                yield Tab(socket)
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)
            shutil.rmtree(folder, ignore_errors=True)


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    """Chromium writes it down once it listens."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (file.exists() and file.read_text("utf-8").strip()):
        assert process.poll() is None, "Chromium ended"
        assert time.monotonic() < end, "Chromium didn't come up"
        time.sleep(0.05)
    return int(file.read_text("utf-8").splitlines()[0])
