"""What is kept, and what goes: tags that pin positions, erasing a document, reclaiming what is past the horizon.

Nothing else in Recant deletes what was published. Keeps out verdicts, which hide without destroying (rollback).
"""

from recant.storage.erasure import Erasure
from recant.storage.reclamation import Reclamation
from recant.storage.storage import Storage
from recant.storage.tags import Tag

__all__ = ["Erasure", "Reclamation", "Storage", "Tag"]
