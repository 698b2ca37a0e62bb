"""Semantic search in what is seen: now, as of an earlier position, or with a session's own open writes on top.

Offers `Searcher`, its results, the filters' rules (`filters`) and the ranking formula (`ranking`). Kept out: how a query
becomes a vector (the caller brings that), and keyword search.
"""

from recant.search.filters import Filters
from recant.search.result import Hit, SearchResult
from recant.search.searcher import Searcher

__all__ = ["Filters", "Hit", "SearchResult", "Searcher"]
