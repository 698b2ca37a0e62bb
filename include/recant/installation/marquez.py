"""A Marquez of the installation's own: its API from a jar, on Java 17, with a role and a database of its own.

The jar is the user's: none comes with Recant. Once given it is remembered. Memory and connections are capped, it listens
on loopback only, and its configuration, which holds its database's password, is readable by the owner only.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from recant.errors import ConfigurationError
from recant.installation.databases import MARQUEZ_DATABASE, MARQUEZ_ROLE, prepare_marquez
from recant.installation.environment import process_environment
from recant.installation.home import Home
from recant.installation.ports import LOOPBACK, free_port
from recant.installation.postgres import EmbeddedPostgres
from recant.installation.process import Part, PartFailed, stop_parts
from recant.installation.progress import Progress
from recant.installation.secrets import private_folder, replace_private
from recant.settings import Settings, inherited_environment

MARQUEZ = "marquez"
DEFAULT_PORT = 5000
HEAP = "-Xmx512m"
MOST_CONNECTIONS = 8
JAVA_VERSION = 17
ANSWER_SECONDS = 5.0
HEALTH = "/admin/healthcheck"


def jar_of(settings: Settings, progress: Progress) -> Path | None:
    """The jar to run: the one that is given, or was before; none where MARQUEZ_URL names a Marquez.

    Raises ConfigurationError when both are given, or when there is no such file.
    """
    if settings.marquez_jar is not None:
        if settings.marquez_url is not None:
            raise ConfigurationError("Both MARQUEZ_URL and a jar of Marquez are given: give one of them")
        if not settings.marquez_jar.is_file():
            raise ConfigurationError(f"There is no file {settings.marquez_jar}, which was given as Marquez' jar")
        return settings.marquez_jar
    if settings.marquez_url is not None:
        return None
    with contextlib.suppress(FileNotFoundError):
        remembered = Path(_jar_file(settings).read_text("utf-8").strip())
        if remembered.is_file():
            return remembered
        progress(f"Marquez' jar {remembered} is gone: Marquez isn't started")
    return None


def parts(settings: Settings) -> list[Part]:
    """The program, running or not; none where there never was one."""
    return [_part(settings)] if _config_file(settings).exists() else []


def address(settings: Settings) -> str | None:
    """Where it listens, or did last; None where there never was one."""
    port = _configured_port(settings)
    return f"http://{LOOPBACK}:{port}" if port else None


def start(settings: Settings, jar: Path, postgres: EmbeddedPostgres, progress: Progress) -> Settings:
    """Have it started, and return the settings under which lineage goes there. Raises ConfigurationError without Java 17.

    It makes its tables by itself and takes some seconds; `wait_until_healthy` waits for it.
    """
    java = _java()
    prepare_marquez(postgres)
    home = Home(settings.home)
    private_folder(home.marquez)
    port = _configured_port(settings) or settings.marquez_port or DEFAULT_PORT
    wanted = _configuration(postgres, port)
    part = _part(settings, java, jar, wanted)
    if part.process() is None or part.is_outdated():
        stop_parts([part])
        port = free_port(settings.marquez_port or port)
        wanted = _configuration(postgres, port)
        replace_private(_config_file(settings), wanted)
        replace_private(_jar_file(settings), f"{jar}\n")
        _part(settings, java, jar, wanted).start()
        progress(f"Marquez starts at http://{LOOPBACK}:{port}")
    return replace(settings, marquez_jar=jar, marquez_url=f"http://{LOOPBACK}:{port}")


def wait_until_healthy(settings: Settings, *, timeout_seconds: float = 120) -> None:
    """Raises PartFailed with the end of its log when it ends, or isn't well in time."""
    part, url = _part(settings), address(settings)
    deadline = time.monotonic() + timeout_seconds
    while url is None or not is_healthy(url + HEALTH):
        part.require_alive()
        if time.monotonic() > deadline:
            raise PartFailed(
                f"Marquez isn't well after {timeout_seconds:.0f} s; {part.log_file} says:\n{part.log_tail()}"
            )
        time.sleep(0.1)


def stop(settings: Settings) -> list[str]:
    """Stop it. Returns its name, if it ran."""
    return stop_parts(parts(settings))


def is_healthy(url: str) -> bool:
    """Whether a GET of this address is answered 200."""
    target = urlsplit(url)
    kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(target.hostname or "", target.port, timeout=ANSWER_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", target.path or "/")
            return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException, ValueError):
        return False


def _part(settings: Settings, java: str = "java", jar: Path | None = None, configuration: str = "") -> Part:
    home = Home(settings.home)
    command = [java, HEAP, "-XX:+UseSerialGC", "-jar", str(jar), "server", str(_config_file(settings))]
    written = (jar.stat().st_size, jar.stat().st_mtime_ns) if jar else ()
    mark = hashlib.sha256(json.dumps([command, configuration, written]).encode()).hexdigest()
    return Part(MARQUEZ, command, process_environment(settings), home.run, home.logs, mark)


def _java() -> str:
    """The program. Raises ConfigurationError when there is none, or an older one."""
    environment = inherited_environment()
    folder = environment.get("JAVA_HOME")
    found = shutil.which("java", path=f"{folder}/bin" if folder else environment.get("PATH"))
    if found is None:
        raise ConfigurationError(
            f"Marquez needs Java {JAVA_VERSION}: install it, or name its folder with JAVA_HOME. "
            "Without Marquez everything else works, and lineage events wait for it"
        )
    said = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=60)
    version = re.search(r'version "(?:1\.)?(\d+)', said.stderr + said.stdout)
    if version is None or int(version[1]) < JAVA_VERSION:
        raise ConfigurationError(
            f"Marquez needs Java {JAVA_VERSION} or later; {found} is {version[1] if version else 'of no known version'}"
        )
    return found


def _configuration(postgres: EmbeddedPostgres, port: int) -> str:
    """Dropwizard's YAML, of which JSON is a part: the API at `/`, health at `/admin`, both on one port."""
    database = {
        "driverClass": "org.postgresql.Driver",
        "url": f"jdbc:postgresql://{LOOPBACK}:{postgres.port}/{MARQUEZ_DATABASE}",
        "user": MARQUEZ_ROLE,
        "password": postgres.password(MARQUEZ_ROLE),
        "initialSize": 1,
        "minSize": 1,
        "maxSize": MOST_CONNECTIONS,
    }
    connector = {"type": "http", "port": port, "bindHost": LOOPBACK, "httpCompliance": "RFC7230_LEGACY"}
    paths = {"applicationContextPath": "/", "adminContextPath": "/admin"}
    settled = {
        "server": {"type": "simple", **paths, "connector": connector, "requestLog": {"appenders": []}},
        "db": database,
        "migrateOnStartup": True,
        "graphql": {"enabled": False},
        "search": {"enabled": False},
        "logging": {"level": "WARN"},
    }
    return "# Written by `recant up`; changes are lost at the next one.\n" + json.dumps(settled, indent=2) + "\n"


def _configured_port(settings: Settings) -> int | None:
    try:
        found = re.search(r'"port": (\d+)', _config_file(settings).read_text("utf-8"))
    except FileNotFoundError:
        return None
    return int(found[1]) if found else None


def _config_file(settings: Settings) -> Path:
    return Home(settings.home).marquez / "config.yml"


def _jar_file(settings: Settings) -> Path:
    return Home(settings.home).marquez / "jar"
