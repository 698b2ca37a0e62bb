"""What differs between two positions of a collection, or what one operation changed: counts by kind, and text diffs.

Keeps out how moments are named (positions, times, tags are resolved by the facade) and how a diff is shown.
"""

from recant.comparison.comparison import Comparison, DocumentDiff, compare, compare_operation
from recant.comparison.passages import Passage, document_lines

__all__ = ["Comparison", "DocumentDiff", "Passage", "compare", "compare_operation", "document_lines"]
