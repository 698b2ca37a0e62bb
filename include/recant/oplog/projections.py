"""What follows from the log and is stored beside it, kept up right after whatever changes what is seen.

Offers `refresh_projections`, which whoever publishes, withdraws or brings back calls once that is committed. Kept out: what
is projected, and how; that is in the database's functions.
"""

from __future__ import annotations

import logging

from recant.oplog.statements import STATEMENTS as _SQL
from recant.store import Database

logger = logging.getLogger(__name__)


def refresh_projections(database: Database) -> None:
    """Makes quality scores true at the log's last position, in a transaction of its own.

    Never raises: what it is called after has happened. Scores that it could not refresh are marked as they are, and the
    next call makes them good.
    """
    try:
        with database.transaction() as connection:
            connection.execute(_SQL["refresh_quality"])
    except Exception as error:
        logger.warning("Quality scores are behind the log; the next operation brings them up to date: %s", error)
