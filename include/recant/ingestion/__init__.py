"""From sources to chunks: finds documents, opens and parses them, and cuts them to the embedding model's size.

Writes nothing: what is done with documents and chunks is the callers' business.
"""

from recant.ingestion.chunking import CHUNKER_VERSION, chunk, fingerprint
from recant.ingestion.document import Block, Chunk, ParsedDocument, RawDocument, Rejected
from recant.ingestion.listing import Listing, list_sources
from recant.ingestion.readers import open_documents, parse
from recant.ingestion.source import SourceItem

__all__ = [
    "CHUNKER_VERSION",
    "Block",
    "Chunk",
    "Listing",
    "ParsedDocument",
    "RawDocument",
    "Rejected",
    "SourceItem",
    "chunk",
    "fingerprint",
    "list_sources",
    "open_documents",
    "parse",
]
