"""Archives: versions, texts, vectors and their log in HDF5 files, which can be searched where they lie and restored from.

Offers making, checking, querying and restoring. What state an archive is in follows from the log (artifacts).
"""

from recant.archive.archives import ArchiveMade, Archives
from recant.archive.compression import METHODS
from recant.archive.query import query_archive, search_archive
from recant.archive.reader import ArchiveFile, open_archive
from recant.archive.restoring import Restoration
from recant.archive.reviving import ArchivedPayloads
from recant.archive.scope import HOLDS, Scope
from recant.archive.verification import ArchiveReport, Damage, verify_archive

__all__ = [
    "HOLDS",
    "METHODS",
    "ArchiveFile",
    "ArchiveMade",
    "ArchiveReport",
    "ArchivedPayloads",
    "Archives",
    "Damage",
    "Restoration",
    "Scope",
    "open_archive",
    "query_archive",
    "search_archive",
    "verify_archive",
]
