"""Airflow 3.3 on one machine: the four components that `airflow standalone` starts, each a process of its own.

They are started one by one because `standalone` also brings up two log servers that listen on every interface of the
machine; on one machine the API server reads the log files itself.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime
from importlib.metadata import version
from urllib.parse import quote

from recant.installation import airflow_configuration
from recant.installation.airflow_api import COMPONENTS, AirflowApi, AirflowUnreachable
from recant.installation.databases import (
    METADATA,
    METADATA_ROLE,
    metadata_version,
    prepare_metadata,
    record_metadata_version,
)
from recant.installation.environment import fingerprint, process_environment
from recant.installation.home import Home
from recant.installation.ports import LOOPBACK, free_port
from recant.installation.postgres import EmbeddedPostgres
from recant.installation.process import Part, PartFailed, stop_parts
from recant.installation.progress import Progress
from recant.installation.secrets import replace_private
from recant.settings import Settings

DEFAULT_PORT = 8080
API_SERVER = "airflow-api-server"
ARGUMENTS = {
    API_SERVER: ("api-server",),
    "airflow-scheduler": ("scheduler", "--skip-serve-logs"),
    "airflow-dag-processor": ("dag-processor",),
    "airflow-triggerer": ("triggerer", "--skip-serve-logs"),
}
MIGRATE_SECONDS = 600


def parts(settings: Settings) -> list[Part]:
    """Airflow's programs, running or not."""
    home = Home(settings.home)
    environment = process_environment(settings) | {"AIRFLOW_HOME": str(home.airflow)}
    return [
        Part(
            name, [sys.executable, "-m", "airflow", *arguments], environment, home.run, home.logs, fingerprint(settings)
        )
        for name, arguments in ARGUMENTS.items()
    ]


def api(settings: Settings) -> AirflowApi | None:
    """The API server as `admin`; None when Airflow was never started here."""
    home = Home(settings.home)
    port = airflow_configuration.configured_port(home)
    if port is None:
        return None
    return AirflowApi(
        f"http://{LOOPBACK}:{port}", airflow_configuration.USER, airflow_configuration.admin_password(home)
    )


def start(
    settings: Settings, postgres: EmbeddedPostgres, progress: Progress, *, timeout_seconds: float = 300
) -> AirflowApi:
    """Have Airflow running and every component healthy. Raises PartFailed with the end of the log that says why."""
    prepare_metadata(postgres)
    components = parts(settings)
    _configure(settings, postgres, components, progress)
    _migrate_metadata(settings, postgres, components, progress)
    server = api(settings)
    assert server is not None
    began = time.time()
    started = [part.name for part in components if part.start()]
    if started:
        progress(f"Airflow starts at {server.url}")
    _wait_until_healthy(server, components, started, began, timeout_seconds)
    return server


def _configure(settings: Settings, postgres: EmbeddedPostgres, components: list[Part], progress: Progress) -> None:
    """Write airflow.cfg; stop components that run with another one."""
    home = Home(settings.home)
    airflow_configuration.admin_password(home)
    path = home.airflow / airflow_configuration.FILE_NAME
    connection = _metadata_url(postgres)
    if any(part.process() for part in components) and not any(part.is_outdated() for part in components):
        port = airflow_configuration.configured_port(home)
        wanted = airflow_configuration.render(settings, sql_alchemy_conn=connection, port=port or DEFAULT_PORT)
        if path.exists() and path.read_text("utf-8") == wanted:
            return
    stop_parts(components)
    port = _choose_port(settings, progress)
    replace_private(path, airflow_configuration.render(settings, sql_alchemy_conn=connection, port=port))


def _metadata_url(postgres: EmbeddedPostgres) -> str:
    password = quote(postgres.password(METADATA_ROLE), safe="")
    return f"postgresql+psycopg2://{METADATA_ROLE}:{password}@{LOOPBACK}:{postgres.port}/{METADATA}"


def _choose_port(settings: Settings, progress: Progress) -> int:
    last = airflow_configuration.configured_port(Home(settings.home))
    wanted = settings.airflow_port or last or DEFAULT_PORT
    port = free_port(wanted)
    if port != wanted:
        progress(f"Port {wanted} is taken: Airflow gets {port}")
    return port


def _migrate_metadata(
    settings: Settings, postgres: EmbeddedPostgres, components: list[Part], progress: Progress
) -> None:
    """Make or upgrade Airflow's tables, once for each version."""
    home = Home(settings.home)
    wanted = f"Airflow {version('apache-airflow-core')}"
    if metadata_version(postgres) == wanted:
        return
    stop_parts(components)
    progress("Airflow's tables are made")
    log_file = home.logs / "airflow-migrate.log"
    with log_file.open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            cwd=home.root,
            env=dict(components[0].environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=MIGRATE_SECONDS,
        )
    if done.returncode != 0:
        tail = "\n".join(log_file.read_text("utf-8", "replace").splitlines()[-15:])
        raise PartFailed(f"`airflow db migrate` failed; {log_file} says:\n{tail}")
    record_metadata_version(postgres, wanted)


def _wait_until_healthy(
    server: AirflowApi, components: list[Part], started: list[str], began: float, timeout_seconds: float
) -> None:
    deadline = time.monotonic() + timeout_seconds
    waiting_for = list(COMPONENTS)
    while time.monotonic() < deadline:
        for part in components:
            part.require_alive()
        try:
            health = server.health()
            waiting_for = [name for name in COMPONENTS if not _is_healthy(name, health, started, began)]
        except AirflowUnreachable:
            waiting_for = ["api_server"]
        if not waiting_for:
            return
        time.sleep(0.2)
    slow = _part_of(waiting_for[0], components)
    raise PartFailed(
        f"Airflow was not ready after {timeout_seconds:.0f} s (waited for {', '.join(waiting_for)}); "
        f"{slow.log_file} says:\n{slow.log_tail()}"
    )


def _part_of(component: str, components: list[Part]) -> Part:
    name = f"airflow-{component.replace('_', '-')}"
    return next((part for part in components if part.name == name), components[0])


def _is_healthy(name: str, health: dict[str, dict[str, str | None]], started: list[str], began: float) -> bool:
    """A heartbeat from before the start is one of the component's predecessor."""
    state = health.get(name, {})
    heartbeat = state.get(f"latest_{name}_heartbeat")
    fresh = heartbeat is not None and datetime.fromisoformat(heartbeat).timestamp() >= began
    restarted = f"airflow-{name.replace('_', '-')}" in started
    return state.get("status") == "healthy" and (fresh or not restarted)
