"""The driver's errors arrive in Recant's words, with what to do, the cause kept, and no password."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors as pg
from psycopg_pool import PoolTimeout

from recant import errors
from recant.store.failures import translated, unreachable


def raised(error: Exception) -> errors.RecantError:
    """What the error becomes at the edge."""
    with pytest.raises(errors.RecantError) as found, translated():
        raise error
    assert found.value.__cause__ is error
    return found.value


@pytest.mark.parametrize(("error", "kind", "says"), [
    (pg.DiskFull("could not extend file"), errors.OutOfSpace, "Free space"),
    (pg.UndefinedTable("relation operation does not exist"), errors.SchemaOutdated, "recant migrate"),
    (pg.UndefinedFunction("function publish_operations does not exist"), errors.SchemaOutdated, "recant migrate"),
    (pg.DataException("expected 384 dimensions, not 3"), errors.DimensionMismatch, "wrong length"),
    (pg.AdminShutdown("terminating connection"), errors.DatabaseUnreachable, "recant up"),
    (PoolTimeout("couldn't get a connection"), errors.DatabaseUnreachable, "recant up"),
])  # fmt: skip
def test_what_has_a_meaning_of_ours_is_translated(error: Exception, kind: type, says: str):
    """The kind says whether trying again can help; the message says what to do."""
    found = raised(error)
    assert type(found) is kind
    assert says in str(found)


def test_what_has_none_passes_through():
    """A programming error isn't dressed up."""
    with pytest.raises(pg.SyntaxError), translated():
        raise pg.SyntaxError("at or near")


DSN = "postgresql://u:hunter2@db.example.org:6543/kb"


@pytest.mark.parametrize(("text", "kind", "says"), [
    ('FATAL:  password authentication failed for user "u"', errors.AuthenticationFailed, "RECANT_DSN"),
    ('connection failed\nFATAL:  database "kb" does not exist', errors.ConfigurationError, "does not exist"),
    ("connection refused", errors.DatabaseUnreachable, "recant up"),
])  # fmt: skip
def test_a_failed_connection_names_the_place_and_never_the_password(text: str, kind: type, says: str):
    """A wrong password is told apart from a server that isn't there."""
    found = unreachable(psycopg.OperationalError(text), DSN)
    assert type(found) is kind
    assert says in str(found)
    assert "db.example.org:6543" in str(found)
    assert "hunter2" not in str(found)


def test_a_dsn_that_can_not_be_parsed_is_not_shown():
    """It may hold a password."""
    found = unreachable(psycopg.OperationalError("bad"), "postgresql://u:hunter2@@@")
    assert "hunter2" not in str(found)
