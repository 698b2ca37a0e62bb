"""Our own background programs: the resident embedder and the lineage relay."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

from recant.installation.dsn import dsn_for
from recant.installation.environment import fingerprint, process_environment
from recant.installation.home import Home
from recant.installation.process import Part, stop_parts
from recant.installation.progress import Progress
from recant.installation.secrets import replace_private
from recant.settings import Settings

RELAY = "lineage-relay"
EMBEDDER = "embedder"


def embedder_state(settings: Settings) -> Path:
    """The file in which the resident embedder says where it listens."""
    return Home(settings.home).run / "embedder.json"


def embedder_address(settings: Settings) -> str | None:
    """Where the embedder says that it listens; None while it isn't ready."""
    try:
        state = json.loads(embedder_state(settings).read_text("utf-8"))
        return f"http://{state['host']}:{state['port']}"
    except (FileNotFoundError, ValueError, KeyError):
        return None


def service_parts(settings: Settings) -> list[Part]:
    """The programs, running or not, wanted or not."""
    relay = ["recant.lineage.relay"]
    if settings.dsn is None:
        relay += ["--dsn-file", str(_dsn_file(settings))]
    embedder = ["recant.embedding.resident", "--state-file", str(embedder_state(settings))]
    home, environment = Home(settings.home), process_environment(settings)
    return [
        Part(name, [sys.executable, "-m", *arguments], environment, home.run, home.logs, fingerprint(settings))
        for name, arguments in {EMBEDDER: embedder, RELAY: relay}.items()
    ]


def start_services(settings: Settings, progress: Progress) -> list[Part]:
    """Have those running that these settings want: no embedder where RECANT_EMBEDDER is `local`.

    They get ready on their own; nobody waits for them here.
    """
    parts = service_parts(settings)
    wanted = [part for part in parts if part.name != EMBEDDER or settings.embedder != "local"]
    moved = _record_dsn(settings)
    stop_parts([part for part in parts if part not in wanted or part.is_outdated() or (moved and part.name == RELAY)])
    for part in wanted:
        if part.start():
            progress(f"Started the {part.name}")
    return wanted


def stop_services(settings: Settings) -> list[str]:
    """Stop them, and forget where the embedder was. Returns the names of those that ran."""
    stopped = stop_parts(service_parts(settings))
    embedder_state(settings).unlink(missing_ok=True)
    return stopped


def _dsn_file(settings: Settings) -> Path:
    return Home(settings.home).secrets / "recant_dsn"


def _record_dsn(settings: Settings) -> bool:
    """Write the embedded database's DSN for the relay. True when it is another one than before."""
    if settings.dsn is not None:
        return False
    path, text = _dsn_file(settings), dsn_for(settings) + "\n"
    with contextlib.suppress(FileNotFoundError):
        if path.read_text("utf-8") == text:
            return False
    replace_private(path, text)
    return True
