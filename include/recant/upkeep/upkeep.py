"""What `kb.upkeep` offers, over one database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from recant.errors import UsageError
from recant.oplog import OperationLog
from recant.search import KeywordIndex
from recant.search.keyword_index import Tended
from recant.settings import Settings
from recant.store import Database, Row, load
from recant.upkeep.checking import QUERIES, IndexCheck, check_index
from recant.upkeep.tending import LEAST_SHARE, IndexTending, may_maintain, rebuild_index, take_turn, tend_index

LEAST_RECALL = 0.9
"""Below this, an index is built anew."""
MOST_BLOAT = 1.0
"""Above this, too: its entries take twice the room that they took when it was built."""
DEAD_SHARE = 0.3
LEAST_DEAD = 10_000
PRUNE_AT_ONCE = 5_000
_SQL = load(__package__, "upkeep.sql")


@dataclass(frozen=True, slots=True)
class UpkeepReport:
    """What one round of upkeep did."""

    aborted: list[int]
    """Open operations whose worker is gone."""
    indexes: list[IndexTending]
    keywords: list[Tended]
    """By collection: what was done to the keyword index."""
    checks: list[IndexCheck]
    rebuilt: list[int]
    """Spaces whose index was built anew because its recall was low or its entries had grown."""
    pruned_searches: int
    vacuumed: list[str]
    hints: list[str]
    """What somebody with more rights should do."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "aborted": self.aborted,
            "indexes": [tending.to_dict() for tending in self.indexes],
            "keywords": [tended.to_dict() for tended in self.keywords],
            "checks": [check.to_dict() for check in self.checks],
            "rebuilt": self.rebuilt,
            "pruned_searches": self.pruned_searches,
            "vacuumed": self.vacuumed,
            "hints": self.hints,
        }


class Upkeep:
    """Each step by itself, or all of them. All may run beside writers and searches, and be interrupted anywhere."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    def run(self, *, queries: int = QUERIES, least_share: float = LEAST_SHARE) -> UpkeepReport:
        """All of it: what was left behind, the index, searches of long ago, dead rows. Raises Refused beside another."""
        aborted = self.abort_abandoned()
        indexes = self.tend_indexes(least_share=least_share)
        keywords = self.tend_keywords()
        checks = self.check_indexes(queries=queries)
        rebuilt = self.mend_indexes(checks)
        pruned = self.prune_searches()
        vacuumed, hints = self.vacuum()
        return UpkeepReport(aborted, indexes, keywords, checks, rebuilt, pruned, vacuumed, hints)

    def abort_abandoned(self) -> list[int]:
        """Aborts open operations whose lease has run out; returns their ids."""
        return OperationLog(self.database).abort_expired()

    def tend_indexes(self, *, follow_up: bool = True, least_share: float = LEAST_SHARE) -> list[IndexTending]:
        """Takes out of each space's vector index what nothing visible or open needs, and puts back what does again. It takes out
        where that is `least_share` (0 to 1) of the index's entries or more, or where one operation wrote 1,000 of it.

        With `follow_up` VACUUM, or a new index where much has gone, forgets it for good. Raises Refused while another
        tending is at work, UsageError for a share that is none.
        """
        if not 0 <= least_share <= 1:
            raise UsageError(f"least_share {least_share}: must be from 0 to 1.")
        spaces = [int(row["space_id"]) for row in self._find_indexes()]
        return [tend_index(self.database, space, follow_up=follow_up, least_share=least_share) for space in spaces]

    def tend_keywords(self) -> list[Tended]:
        """Brings each collection's keyword index up to date: indexes what is missing, merges small segments, drops old ones."""
        return KeywordIndex(self.database).tend()

    def check_indexes(self, *, queries: int = QUERIES) -> list[IndexCheck]:
        """Recall of each index on so many questions against exact search, by collection that uses it; size and bloat."""
        if queries < 1:
            raise UsageError(f"{queries} queries: at least one is needed.")
        return [found for row in self._find_indexes() for found in check_index(self.database, row, queries=queries)]

    def rebuild_indexes(self, spaces: Sequence[int] | None = None) -> list[int]:
        """Builds indexes anew beside the old ones, which serve until then; returns the spaces. All of them by default.

        Raises UsageError where this login may not (PostgreSQL 16).
        """
        wanted = [int(row["space_id"]) for row in self._find_indexes() if spaces is None or row["space_id"] in spaces]
        with self.database.connection() as connection:
            if not may_maintain(connection):
                raise UsageError(
                    "Before PostgreSQL 17 only a table's owner may do this: REINDEX as RECANT_ADMIN_DSN's login."
                )
            for space in wanted:
                take_turn(connection, space)
                rebuild_index(connection, space)
        return wanted

    def prune_searches(self, *, older_than_days: int | None = None) -> int:
        """Forgets what sessions were shown longer ago than the retention, unless a write since then, or an open session,
        may still be asked about it. Returns how many searches. Kept for ever: none.
        """
        days = self.settings.retention_days if older_than_days is None else older_than_days
        if days is None:
            return 0
        given = {"before": datetime.now(UTC) - timedelta(days=days), "limit": PRUNE_AT_ONCE}
        total = 0
        while True:
            with self.database.transaction() as connection:
                row = connection.execute(_SQL["prune_searches"], given).fetchone()
            total += (pruned := int(row["pruned"]) if row else 0)
            if not pruned:
                return total

    def vacuum(self) -> tuple[list[str], list[str]]:
        """Vacuums tables of which a good part is dead rows: which, and hints for those that this login may not."""
        with self.database.connection() as connection:
            given = {"least": LEAST_DEAD, "share": DEAD_SHARE}
            found = connection.execute(_SQL["vacuum_candidates"], given).fetchall()
            mine: set[str] = set()
            if found and may_maintain(connection):
                mine = {row["name"] for row in connection.execute(_SQL["maintained_tables"])}
            for row in (row for row in found if row["name"] in mine):
                connection.execute(f"VACUUM (ANALYZE) recant.{row['name']}")
        return [row["name"] for row in found if row["name"] in mine], [
            _hint(row) for row in found if row["name"] not in mine
        ]

    def mend_indexes(self, checks: Sequence[IndexCheck]) -> list[int]:
        """Builds those anew that find too little, or whose entries have grown to twice their size; returns their spaces.

        None where this login may not (PostgreSQL 16): `recant.monitoring` goes on telling of them. Raises Refused while
        another tending is at work.
        """
        poor = [c.space_id for c in checks if c.recall < LEAST_RECALL or (c.bloat or 0) > MOST_BLOAT]
        if not poor:
            return []
        with self.database.connection() as connection:
            take_turn(connection, poor[0])
            return [space for space in dict.fromkeys(poor) if rebuild_index(connection, space)]

    def _find_indexes(self) -> list[Row]:
        with self.database.transaction() as connection:
            return connection.execute(_SQL["find_indexes"]).fetchall()


def _hint(row: Row) -> str:
    return f"VACUUM recant.{row['name']}: {row['dead']:,} rows beside {row['live']:,} are dead; is autovacuum on?"
