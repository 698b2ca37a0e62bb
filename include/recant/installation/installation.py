"""The whole installation: brought up, taken down, looked at. Every step may be repeated, and interrupted anywhere."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recant.errors import OutOfSpace
from recant.installation import airflow as airflow_parts
from recant.installation import airflow_configuration, marquez
from recant.installation.airflow_api import AirflowApi
from recant.installation.databases import prepare_knowledge
from recant.installation.dsn import dsn_for, embedded_postgres
from recant.installation.home import Home
from recant.installation.ports import LOOPBACK
from recant.installation.postgres import EmbeddedPostgres
from recant.installation.process import end, stop_parts, strays
from recant.installation.progress import Progress, silent
from recant.installation.services import EMBEDDER, embedder_address, service_parts, start_services, stop_services
from recant.lineage.naming import marquez_place
from recant.settings import Settings
from recant.store import migrate

MIN_FREE_BYTES = 300 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Installation:
    """Where a running installation is."""

    home: Path
    dsn: str = field(repr=False)
    """Of the application's role; holds its password."""
    postgres_address: str | None
    """`127.0.0.1:5432`; None when neither the knowledge nor Airflow is on the embedded server."""
    airflow_url: str | None
    """None when Airflow was not asked for."""
    airflow_user: str | None
    airflow_passwords_file: Path | None
    """JSON object of user names and passwords, readable by the owner."""
    marquez_url: str | None = None
    """Where lineage goes besides the file; None: nowhere, events wait for a Marquez to be attached."""
    migrations: tuple[str, ...] = ()
    """SQL files that this start applied."""

    @property
    def airflow_password(self) -> str | None:
        """Of `airflow_user`."""
        return airflow_configuration.admin_password(Home(self.home)) if self.airflow_user else None


def up(settings: Settings, *, airflow: bool = True, progress: Progress = silent) -> Installation:
    """Have everything running; what runs already stays. A first start takes about half a minute with Airflow.

    Raises PartFailed, DatabaseUnreachable, ConfigurationError, OutOfSpace, or Refused while another start is at work.
    """
    home = Home(settings.home)
    _require_space(home.root)
    home.prepare()
    with home.lock():
        jar = marquez.jar_of(settings, progress)
        postgres = _start_postgres(settings, progress) if airflow or settings.dsn is None or jar else None
        migrations = _migrate(settings, postgres, progress)
        if jar and postgres:
            settings = marquez.start(settings, jar, postgres, progress)
        else:
            marquez.stop(settings)
        services = start_services(settings, progress)
        server = airflow_parts.start(settings, postgres, progress) if airflow and postgres else None
        for part in services:
            part.require_alive()
        if jar:
            marquez.wait_until_healthy(settings)
    return _describe(settings, postgres, server, migrations)


def down(settings: Settings, *, progress: Progress = silent) -> list[str]:
    """Stop everything that was started, in reverse order, data kept. Returns what was stopped."""
    home = Home(settings.home)
    if not home.root.exists():
        return []
    with home.lock(timeout_seconds=60):
        stopped = stop_parts(airflow_parts.parts(settings))
        stopped += stop_services(settings)
        stopped += marquez.stop(settings)
        left = strays(home.root)
        end(left, timeout_seconds=5)
        postgres = embedded_postgres(settings)
        if postgres.pid is not None:
            postgres.stop()
            stopped.append("postgres")
    for name in stopped:
        progress(f"Stopped {name}")
    return stopped


def status(settings: Settings) -> dict[str, dict[str, Any]]:
    """Each part by name: `running`, `pid`, `address`, `uptime_seconds` (these three may be None) and `log`."""
    postgres = embedded_postgres(settings)
    address = f"{LOOPBACK}:{postgres.port}" if postgres.is_running() else None
    found = {"postgres": _state(postgres.pid, postgres.started_at, address, postgres.log_file)}
    server = airflow_parts.api(settings)
    addresses = {EMBEDDER: embedder_address(settings), airflow_parts.API_SERVER: server.url if server else None}
    addresses[marquez.MARQUEZ] = marquez.address(settings)
    for part in [*service_parts(settings), *marquez.parts(settings), *airflow_parts.parts(settings)]:
        if process := part.process():
            state = _state(process.pid, process.create_time(), addresses.get(part.name), part.log_file)
        else:
            state = _state(None, None, None, part.log_file)
        found[part.name] = state
    return found


def _state(pid: int | None, started_at: float | None, address: str | None, log_file: Path) -> dict[str, Any]:
    uptime = None if started_at is None else max(0.0, round(time.time() - started_at, 1))
    return {
        "running": pid is not None,
        "pid": pid,
        "address": address,
        "uptime_seconds": uptime,
        "log": str(log_file),
    }


def _require_space(folder: Path) -> None:
    existing = next(path for path in [folder, *folder.parents] if path.exists())
    free = shutil.disk_usage(existing).free
    if free < MIN_FREE_BYTES:
        raise OutOfSpace(
            f"Only {free // 1024**2} MB are free at {existing}; at least {MIN_FREE_BYTES // 1024**2} MB are needed: "
            "make room, or name another place with RECANT_HOME"
        )


def _start_postgres(settings: Settings, progress: Progress) -> EmbeddedPostgres:
    postgres = embedded_postgres(settings)
    ran = postgres.is_running()
    postgres.start()
    if not ran:
        progress(f"PostgreSQL listens on {LOOPBACK}:{postgres.port}")
    return postgres


def _migrate(settings: Settings, postgres: EmbeddedPostgres | None, progress: Progress) -> list[str]:
    if settings.dsn is not None or postgres is None:
        applied = migrate(dsn_for(settings, "admin"), settings.init_scripts)
    else:
        applied = prepare_knowledge(postgres, settings.init_scripts)
    if applied:
        progress(f"Applied {len(applied)} migrations")
    return applied


def _describe(
    settings: Settings, postgres: EmbeddedPostgres | None, server: AirflowApi | None, migrations: list[str]
) -> Installation:
    return Installation(
        home=settings.home,
        dsn=dsn_for(settings),
        postgres_address=f"{LOOPBACK}:{postgres.port}" if postgres else None,
        airflow_url=server.url if server else None,
        airflow_user=server.user if server else None,
        airflow_passwords_file=airflow_configuration.passwords_file(Home(settings.home)) if server else None,
        marquez_url=marquez_place(settings.marquez_url) if settings.marquez_url else None,
        migrations=tuple(migrations),
    )
