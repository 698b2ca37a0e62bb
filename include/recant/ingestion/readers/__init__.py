"""Opens what a listing names (`open_documents`) and finds the structure in it (`parse`).

Bad input never raises here: it comes back as `Rejected`, and the rest goes on.
"""

from recant.ingestion.readers.opening import open_documents
from recant.ingestion.readers.parsing import parse

__all__ = ["open_documents", "parse"]
