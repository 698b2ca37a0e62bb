"""What `kb.storage` offers, over one database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from recant.errors import UsageError
from recant.oplog import Attribution
from recant.oplog.positions import Moment, position_at, position_of
from recant.search import KeywordIndex
from recant.settings import LONGEST_RETENTION_DAYS, Settings
from recant.storage import reclamation
from recant.storage.erasure import Erasure, erase_document
from recant.storage.expiry import expire, find_expired
from recant.storage.reclamation import Reclamation
from recant.storage.retention import Retention
from recant.storage.tags import Tag, add_tag, find_tags, remove_tag
from recant.store import Database, load

_SQL = load(__package__, "storage.sql")


@dataclass(frozen=True, slots=True)
class Horizon:
    """From `position` on every position can be answered and restored; before it, tagged ones only."""

    position: int
    """0 as long as nothing was reclaimed."""
    moved_at: datetime | None
    operation_id: int | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        moved = self.moved_at.isoformat() if self.moved_at else None
        return {"position": self.position, "moved_at": moved, "operation_id": self.operation_id}


class Storage:
    """Tags, erasing, reclaiming, and the rules for it (`retention`). Safe to share between threads."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.retention = Retention(database, settings)

    def tag(self, name: str, at: Moment | None = None, *, by: str | None = None, message: str = "") -> Tag:
        """Names a position (the last one, unless `at` says another) and pins what was seen there.

        Raises UsageError, PastHorizon, and Refused when the name stands for another position.
        """
        with self.database.transaction() as connection:
            return add_tag(connection, name, at, self.settings.agent if by is None else by, message)

    def untag(self, name: str) -> None:
        """Takes a name away; what only it kept can be reclaimed then. Raises UsageError."""
        with self.database.transaction() as connection:
            remove_tag(connection, name)

    def tags(self) -> list[Tag]:
        """All tags by position."""
        with self.database.transaction() as connection:
            return find_tags(connection)

    def horizon(self) -> Horizon:
        """How far back positions can be answered."""
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["horizon"]).fetchone()
        return Horizon(**row) if row else Horizon(0, None, None)

    def erase(self, source: str, attribution: Attribution, *, collection: str | None = None) -> Erasure:
        """Destroys the payload of every version of a document, at every position. It can't be taken back.

        Erasing again says so and changes nothing. The same source ingested afterwards is new. Raises UnknownCollection,
        UsageError.
        """
        named = self.settings.collection if collection is None else collection
        with self.database.transaction() as connection:
            erasure = erase_document(connection, self.settings, named, source, attribution)
        KeywordIndex(self.database).purge()  # its words too; what a crash leaves here, upkeep sees to
        return erasure

    def reclaim(
        self,
        attribution: Attribution,
        *,
        older_than_days: int | None = None,
        horizon: Moment | None = None,
        dry_run: bool = False,
        expiry: bool = True,
    ) -> Reclamation:
        """Frees payloads that were last seen before a horizon: some days ago (the retention, by default), or a position.

        What a retention rule covers goes by the rule, whatever is asked for here; and (with `expiry`) documents that have
        expired by one are retired first. Never what an open plan would show again, what a tag pins, or what an open
        operation was begun on. Plans that would need what is gone are refused then. Raises UsageError.
        """
        asked = self._asked(older_than_days, horizon)
        if dry_run:
            return reclamation.preview(self.database, asked, find_expired(self.database) if expiry else ())
        expired = expire(self.database, self.settings, attribution) if expiry else ()
        report = reclamation.reclaim(self.database, self.settings, asked, attribution, expired)
        KeywordIndex(self.database).purge()
        return report

    def _asked(self, older_than_days: int | None, horizon: Moment | None) -> int:
        if horizon is not None and older_than_days is not None:
            raise UsageError("Give either how many days are kept or a horizon.")
        days = self.settings.retention_days if older_than_days is None else older_than_days
        with self.database.transaction() as connection:
            if horizon is not None:
                position = position_of(connection, horizon)
            elif days is None and connection.execute(_SQL["retention_rules"], {"collection": None}).fetchone():
                position = 0
            elif days is None:
                raise UsageError(
                    "Everything is kept for ever (RECANT_RETENTION_DAYS): say how many days, or a horizon."
                )
            elif not 0 <= days <= LONGEST_RETENTION_DAYS:
                raise UsageError(f"{days} days: must be from 0 to {LONGEST_RETENTION_DAYS:,}.")
            else:
                position = position_at(connection, datetime.now(UTC) - timedelta(days=days))
        if position < 0:
            raise UsageError(f"There is no position {position}: the log begins at 0.")
        return position
