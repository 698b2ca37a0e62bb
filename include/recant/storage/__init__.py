"""What is kept, and what goes: tags that pin positions, retention rules, erasing a document, reclaiming what is past the
horizon.

Nothing else in Recant deletes what was published. Keeps out verdicts, which hide without destroying (rollback).
"""

from recant.storage.erasure import Erasure
from recant.storage.expiry import Expiry
from recant.storage.reclamation import Reclamation
from recant.storage.retention import Retention, RetentionChange, RetentionRule
from recant.storage.storage import Storage
from recant.storage.tags import Tag

__all__ = [
    "Erasure",
    "Expiry",
    "Reclamation",
    "Retention",
    "RetentionChange",
    "RetentionRule",
    "Storage",
    "Tag",
]
