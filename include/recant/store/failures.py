"""The driver's errors in Recant's words, translated once, at the edge, keeping the cause."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolTimeout

from recant import errors

_BY_CODE: dict[str, type[errors.RecantError]] = {
    "RC001": errors.UsageError,
    "RC002": errors.OperationClosed,
    "RC003": errors.StaleBatch,
    "RC004": errors.WriteConflict,
    "RC005": errors.InputWithdrawn,
    "RC006": errors.Refused,
    "RC007": errors.UnknownOperation,
    "RC008": errors.Refused,
    "RC009": errors.UnknownCollection,
    "RC010": errors.LimitExceeded,
    "RC020": errors.PastHorizon,
    "RC030": errors.PlanClosed,
    "RC031": errors.PlanStale,
    "RC040": errors.VectorsMissing,
}


@contextmanager
def translated() -> Iterator[None]:
    """Turns what psycopg raises inside into RecantErrors; what has no meaning of ours passes through."""
    try:
        yield
    except (psycopg.Error, PoolTimeout) as error:
        ours = _translate(error)
        if ours is None:
            raise
        raise ours from error


def _translate(error: psycopg.Error | PoolTimeout) -> errors.RecantError | None:
    code = getattr(error, "sqlstate", None)
    if isinstance(error, psycopg.Error) and code in _BY_CODE:
        return _raised_by_us(error, _BY_CODE[code])
    if isinstance(error, pg.DiskFull):
        return errors.OutOfSpace(
            f"The database's disk is full ({error.diag.message_primary}). Free space and run it again."
        )
    if isinstance(error, pg.ForeignKeyViolation) and error.diag.constraint_name == "chunk_embedding_id_fkey":
        return errors.EmbeddingGone("An embedding was reclaimed while a chunk with it was written: run it again.")
    if isinstance(error, (pg.UndefinedTable, pg.UndefinedFunction, pg.InvalidSchemaName)):
        return errors.SchemaOutdated(
            f"The database lacks Recant's schema or an object of it: run `recant migrate`. ({error.diag.message_primary})"
        )
    if "vector type not found" in str(error) or (isinstance(error, pg.InvalidParameterValue) and "role" in str(error)):
        return errors.SchemaOutdated("The database lacks Recant's schema: run `recant migrate`.")
    if isinstance(error, pg.InsufficientPrivilege):
        return errors.ConfigurationError(
            f"The database login may not do this ({error.diag.message_primary}): it has to be in the role recant_worker; "
            "migrations need more rights and take RECANT_ADMIN_DSN, where it is set."
        )
    if isinstance(error, pg.DataException) and "dimensions" in str(error):
        return errors.DimensionMismatch(f"A vector has the wrong length: {error.diag.message_primary}.")
    if isinstance(error, (psycopg.OperationalError, PoolTimeout)) and not isinstance(
        error, (pg.DeadlockDetected, pg.QueryCanceled)
    ):
        return unreachable(error)
    return None


def _raised_by_us(error: psycopg.Error, kind: type[errors.RecantError]) -> errors.RecantError:
    diag = error.diag
    details: dict[str, Any] = {}
    if diag.message_detail and diag.message_detail.startswith("{"):
        details = json.loads(diag.message_detail)
    hint = f". {diag.message_hint}" if diag.message_hint else ""
    return kind(f"{diag.message_primary}{hint}", **details)


def unreachable(error: BaseException, dsn: str | None = None) -> errors.RecantError:
    """A failed connection: the wrong password told apart from a server that isn't there. Never shows a password."""
    if dsn is not None and not _is_well_formed(dsn):
        return errors.ConfigurationError(
            "RECANT_DSN can't be understood: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for an @ in the "
            "password, %2F for a /, %3A for a :"
        )
    where = _address(dsn) if dsn else "the database"
    text = str(error)
    if "password authentication failed" in text or "no password supplied" in text:
        return errors.AuthenticationFailed(f"{where} refused the user or the password: check RECANT_DSN.")
    if "does not exist" in text and "FATAL" in text:
        return errors.ConfigurationError(f"{where}: {text.splitlines()[-1].strip()}. Check RECANT_DSN.")
    return errors.DatabaseUnreachable(
        f"{where} can't be reached: run `recant up`, or check RECANT_DSN. ({_first_line(text)})"
    )


def _is_well_formed(dsn: str) -> bool:
    """False where libpq's message, or ours, would show a part of an unescaped password as the host or the port."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return False
    ports = str(parts.get("port", "")).replace(",", "")
    return "@" not in f"{parts.get('host', '')}{parts.get('dbname', '')}" and (not ports or ports.isdecimal())


def _address(dsn: str) -> str:
    parts = conninfo_to_dict(dsn)
    return f"the database {parts.get('dbname', '')} at {parts.get('host', 'localhost')}:{parts.get('port', 5432)}"


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no answer")
