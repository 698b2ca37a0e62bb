"""A server of its own for each benchmark: the embedded PostgreSQL with its ordinary, durable settings."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recant.installation.postgres import EmbeddedPostgres
from recant.settings import read_settings
from recant.store import Database, migrate


@contextmanager
def measured_server() -> Iterator[tuple[Database, str]]:
    """A migrated database and its superuser's DSN; gone afterwards. fsync and synchronous_commit are on."""
    folder = Path(tempfile.mkdtemp(prefix="recant-bench-"))
    server = EmbeddedPostgres(folder / "data", secrets_dir=folder / "secrets", log_file=folder / "postgres.log")
    try:
        server.start()
        dsn = server.dsn("postgres")
        migrate(dsn, read_settings({}).init_scripts)
        with Database(dsn) as database:
            yield database, dsn
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
