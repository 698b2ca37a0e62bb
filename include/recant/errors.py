"""The exception tree. A class's docstring says what went wrong in general; the message says what to do about it.

    RecantError
    ├── TransientError          trying again can help
    │   ├── DatabaseUnreachable
    │   ├── EmbedderUnreachable
    │   ├── EmbeddingGone
    │   └── OutOfSpace
    └── TerminalError           trying the same again can't help
        ├── UsageError          the call was wrong
        │   ├── UnknownOperation, UnknownCollection, UnknownSession, EmptySelector, BadSource
        │   └── DimensionMismatch
        ├── ConfigurationError
        │   ├── AuthenticationFailed
        │   └── SchemaOutdated, MigrationChanged
        ├── Refused             nothing was changed
        │   ├── OperationClosed, StaleBatch
        │   ├── WriteConflict, InputWithdrawn
        │   ├── HasDependents, PlanStale, PlanClosed, PastHorizon
        │   └── LimitExceeded, GateFailed, VectorsMissing
        ├── VerificationFailed  what is stored contradicts its own log
        └── ArchiveDamaged      a file is no archive, or not a whole one

`exit_code` is what the command line ends with: 1 refused or conflict, 2 usage, 3 not reachable.
"""

from __future__ import annotations

from typing import Any


class RecantError(Exception):
    """Anything that Recant tells its caller about. `details` is JSON-ready."""

    exit_code = 1

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class TransientError(RecantError):
    """Trying again can help: Airflow's operators retry it."""

    exit_code = 3


class DatabaseUnreachable(TransientError):
    """No connection to Postgres could be made, or it broke."""


class EmbedderUnreachable(TransientError):
    """The resident embedder did not answer."""


class EmbeddingGone(TransientError):
    """An embedding that nothing used was reclaimed while a writer was about to use it."""


class OutOfSpace(TransientError):
    """A disk is full; nothing half-written is visible."""


class TerminalError(RecantError):
    """Trying the same again can't help: Airflow's operators fail at once."""


class UsageError(TerminalError):
    """The call was wrong."""

    exit_code = 2


class UnknownOperation(UsageError):
    """There is no operation of that id."""


class UnknownCollection(UsageError):
    """There is no collection of that name."""


class UnknownSession(UsageError):
    """Nobody opened a session of that name or wrote in one."""


class EmptySelector(UsageError):
    """A selector without a condition never means everything."""


class BadSource(UsageError):
    """A source that can't be understood at all (as opposed to a document that is rejected)."""


class DimensionMismatch(UsageError):
    """Vectors of another length than the collection's embedding space has."""


class ConfigurationError(TerminalError):
    """The installation isn't as it must be."""

    exit_code = 3


class AuthenticationFailed(ConfigurationError):
    """The database refused the user or the password."""


class SchemaOutdated(ConfigurationError):
    """The database's schema is older or newer than this code: run `recant migrate`."""


class MigrationChanged(ConfigurationError):
    """A released SQL file was changed after it had been applied."""


class Refused(TerminalError):
    """Nothing was changed; `details` says why."""


class OperationClosed(Refused):
    """The operation is published or aborted; nothing can be appended to it."""


class StaleBatch(Refused):
    """A later attempt of the same batch has taken over; this one's rows are discarded."""


class WriteConflict(Refused):
    """A record's head is no longer the one that the writer saw."""


class InputWithdrawn(Refused):
    """Something that the operation was made from is no longer seen."""


class HasDependents(Refused):
    """Definite dependents stand outside what was selected."""


class PlanStale(Refused):
    """What the plan would change is no longer what it said."""


class PlanClosed(Refused):
    """The plan was aborted or has expired, or it was applied and can't be aborted any more."""


class PastHorizon(Refused):
    """What would be seen, or seen again, has been reclaimed."""


class VectorsMissing(Refused):
    """Texts have no vector in the embedding space that the collection uses, or would use then."""


class LimitExceeded(Refused):
    """A session has written all that it may; `details` says which limit, and how much is used."""


class GateFailed(Refused):
    """A critical expectation failed; the operation was aborted and nothing of it is visible."""


class VerificationFailed(TerminalError):
    """What is stored contradicts its own log."""


class ArchiveDamaged(TerminalError):
    """A file is no archive of Recant, or not a whole one."""
