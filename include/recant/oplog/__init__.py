"""The operation log: every write is an attributed operation, seen or not as the last effective word about it says.

Offers opening, batches, publishing, aborting and looking up. Keeps out what the operations write (corpus) and taking
them back (rollback).
"""

from recant.oplog.log import DEFAULT_LEASE_SECONDS, HOLD_LEASE_SECONDS, OperationLog
from recant.oplog.operation import CONTROL_KINDS, DESTROYING_KINDS, Attribution, Dataset, Operation
from recant.oplog.positions import Moment
from recant.oplog.projections import refresh_projections
from recant.oplog.selector import Selector

__all__ = [
    "CONTROL_KINDS",
    "DEFAULT_LEASE_SECONDS",
    "DESTROYING_KINDS",
    "HOLD_LEASE_SECONDS",
    "Attribution",
    "Dataset",
    "Moment",
    "Operation",
    "OperationLog",
    "Selector",
    "refresh_projections",
]
