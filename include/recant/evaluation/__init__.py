"""How good searches are, on queries whose right answers are known: now, as of any position, and before and after.

Offers the reading of judged queries (`read_queries`), the measures (`measures`), `Evaluations`, which runs, compares and
keeps them, and `SearchWeights`, which hybrid searches go by and evaluations find. Kept out: searching (the caller brings
it), and who is told of a drop (monitoring).
"""

from recant.evaluation.evaluations import Evaluations
from recant.evaluation.queries import JudgedQueries, JudgedQuery, read_queries
from recant.evaluation.report import EvaluationComparison, EvaluationReport
from recant.evaluation.weights import SearchWeights, Tuning, Weights, WeightsChange

__all__ = [
    "EvaluationComparison", "EvaluationReport", "Evaluations", "JudgedQueries", "JudgedQuery", "SearchWeights", "Tuning",
    "Weights", "WeightsChange", "read_queries",
]  # fmt: skip
