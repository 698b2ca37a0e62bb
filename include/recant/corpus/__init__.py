"""Documents, their chunks and their embeddings, as versions of records under operations.

Offers collections, heads (what a writer sees), appending and retiring. Keeps out where documents come from (ingestion)
and finding them by meaning (search).
"""

from recant.corpus.citation import Citation, Cited, find_cited
from recant.corpus.collection import CollectionInfo
from recant.corpus.corpus import BatchTarget, Corpus
from recant.corpus.document import ChunkRow, DocumentRow, Head
from recant.corpus.embeddings import Embeddings

__all__ = [
    "BatchTarget",
    "ChunkRow",
    "Citation",
    "Cited",
    "CollectionInfo",
    "Corpus",
    "DocumentRow",
    "Embeddings",
    "Head",
    "find_cited",
]
