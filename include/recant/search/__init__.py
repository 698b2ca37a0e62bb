"""Search in what is seen, by meaning, by words, or both: now, as of an earlier position, or with a session's own open
writes on top.

Offers `Searcher`, its results, the filters' rules (`filters`), the ranking formulas (`ranking`, `bm25`, `fusion`) and
`KeywordIndex`, which keeps what keyword search reads. Kept out: how a query becomes a vector (the caller brings that).
"""

from recant.search.filters import Filters
from recant.search.fusion import Fusion
from recant.search.keyword_index import KeywordIndex
from recant.search.refinement import Refinement
from recant.search.result import AlsoIn, Hit, SearchResult, Surrounding
from recant.search.searcher import Searcher, Space, require_mode

__all__ = [
    "AlsoIn", "Filters", "Fusion", "Hit", "KeywordIndex", "Refinement", "SearchResult", "Searcher", "Space", "Surrounding",
    "require_mode",
]  # fmt: skip
