"""A log that the outbox belongs to, and settings of an installation of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recant.installation.postgres import EmbeddedPostgres
from recant.oplog import OperationLog
from recant.settings import Settings, read_settings
from recant.store import Database
from tests.conftest import throwaway_database


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Its home is a folder of the test; Marquez is not configured."""
    return read_settings({"RECANT_HOME": str(tmp_path / "home")})


@pytest.fixture
def log(database: str) -> Iterator[OperationLog]:
    """An empty log with a collection "docs" of three dimensions."""
    with Database(database) as opened:
        with opened.transaction() as connection:
            connection.execute("SELECT ensure_collection('docs', 'test-model', 'digest', 3, true)")
        yield OperationLog(opened)


@pytest.fixture(scope="module")
def module_database(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """A migrated database that the tests of one file share."""
    yield from throwaway_database(postgres, template=migrated_template)
