"""A durable server that may be killed, and a client that is interrupted on order."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recant.installation.postgres import EmbeddedPostgres
from recant.settings import read_settings
from recant.store.migration import migrate
from tests.conftest import create_database
from tests.integration.crashes.arena import TEMPLATE, Arena, Client, plant_crash_points


@pytest.fixture(scope="module")
def mortal_server(reachable_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server that writes its log to the disk as in earnest. It will be killed, and started again as it is."""
    folder = reachable_folder / "mortal"
    server = EmbeddedPostgres(folder / "data", secrets_dir=folder / "secrets", log_file=folder / "postgres.log")
    try:
        server.start()
        create_database(server, TEMPLATE)
        migrate(server.dsn(TEMPLATE), read_settings({}).init_scripts)
        plant_crash_points(server.dsn(TEMPLATE))
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The process of client.py."""
    complaints = tmp_path_factory.mktemp("client") / "stderr"
    command = [sys.executable, "-m", "tests.integration.crashes.client"]
    with complaints.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=Path.cwd(),
            env=environment(),
        )
    with process:
        yield Client(process, complaints)
        process.stdin.close()


def environment() -> dict[str, str]:
    """Where this process finds its modules, the other one finds them."""
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture(scope="module")
def arena(mortal_server: EmbeddedPostgres, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """Scenarios, their points, and what is left after each."""
    return Arena(mortal_server, client, tmp_path_factory.mktemp("arena"))
