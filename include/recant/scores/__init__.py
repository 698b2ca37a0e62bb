"""Quality scores: what feedback, use and age make of a chunk, from 0 to 100.

Offers `Scores` (show, recalculate, check, policies and pins) and `AccessCounter`. Kept out: feedback itself
(`recant.feedback`), how a score weighs in a search (`recant.search.ranking`), and the formulas, which are the database's
(init-scripts/0022_quality_scores.sql), so that a score is worked out in one place only.
"""

from recant.scores.access import AccessCounter
from recant.scores.rules import DEFAULT_FLOOR, Pin, Policy, RuleChange
from recant.scores.scores import Disagreement, QualityScore, Recalculation, Scores

__all__ = [
    "DEFAULT_FLOOR",
    "AccessCounter",
    "Disagreement",
    "Pin",
    "Policy",
    "QualityScore",
    "Recalculation",
    "RuleChange",
    "Scores",
]
