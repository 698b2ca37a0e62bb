"""A real PostgreSQL for every test that asks: one throw-away server a session, one database cloned for each test."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import psycopg
import pytest
from psycopg import sql

from recant.installation.postgres import EmbeddedPostgres
from recant.settings import read_settings
from tests.marquez_server import Marquez, own_marquez

TEMPLATE = "recant_template"

# A test never touches the installation of whoever runs it.
OUTSIDE = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith(("RECANT_", "MARQUEZ_"))}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--nightly` (make test-nightly): every crash point, minutes of concurrency, thousands of random steps."""
    parser.addoption("--nightly", action="store_true", help="the long forms of the tests that have one")


@pytest.fixture(scope="session")
def nightly(pytestconfig: pytest.Config) -> bool:
    """Whether tests that come short and long are to be long."""
    return bool(pytestconfig.getoption("--nightly"))


@pytest.fixture(scope="session")
def reachable_folder() -> Iterator[Path]:
    """A temporary folder that PostgreSQL's own user can pass to.

    Not under pytest's own: every new session closes that one to other users, and as root the server is one.
    """
    with TemporaryDirectory(prefix="recant-tests-", dir=roomy_memory()) as name:
        yield Path(name)


def roomy_memory() -> str | None:
    """A file system in memory where there is plenty of both: clusters and clones then cost no disk writes."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and shutil.disk_usage(shared).free > 2 * 1024**3
    return str(shared) if roomy and psutil.virtual_memory().available > 4 * 1024**3 else None


@pytest.fixture(scope="session")
def postgres(reachable_folder: Path) -> Iterator[EmbeddedPostgres]:
    """An embedded server that doesn't wait for the disk; it is gone after the session."""
    folder = reachable_folder / "postgres"
    server = EmbeddedPostgres(
        folder / "data", secrets_dir=folder / "secrets", log_file=folder / "postgres.log", durable=False
    )
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def marquez(postgres: EmbeddedPostgres, reachable_folder: Path) -> Iterator[Marquez]:
    """A real Marquez; without one the test is skipped, and says what it needs."""
    url, jar = OUTSIDE.get("MARQUEZ_URL"), OUTSIDE.get("MARQUEZ_JAR")
    if url:
        yield Marquez(url.rstrip("/"))
    elif jar:
        yield from own_marquez(Path(jar), postgres, reachable_folder / "marquez")
    else:
        pytest.skip("needs a Marquez: MARQUEZ_URL=http://… make test-marquez, or MARQUEZ_JAR=FILE make test-marquez")


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedPostgres) -> str:
    """The name of a database with the schema that `recant migrate` makes. Nothing connects to it afterwards."""
    from recant.store.migration import migrate

    create_database(postgres, TEMPLATE)
    migrate(postgres.dsn(TEMPLATE), read_settings({}).init_scripts)
    return TEMPLATE


@pytest.fixture
def database(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """DSN (as superuser) of a fresh, migrated database."""
    yield from throwaway_database(postgres, template=migrated_template)


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """DSN (as superuser) of a fresh database without our schema."""
    yield from throwaway_database(postgres, template="template0")


def throwaway_database(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """The DSN of a new clone of the template, dropped when the generator goes on."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    create_database(postgres, name, template=template)
    yield postgres.dsn(name)
    execute(postgres, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def create_database(postgres: EmbeddedPostgres, name: str, template: str = "template0") -> None:
    """Make a database by copying the template's files."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    execute(postgres, statement.format(sql.Identifier(name), sql.Identifier(template)))


def execute(postgres: EmbeddedPostgres, statement: sql.Composed) -> None:
    """Run one statement outside any transaction."""
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(statement)
