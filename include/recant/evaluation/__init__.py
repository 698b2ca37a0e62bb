"""How good searches are, on queries whose right answers are known: now, as of any position, and before and after.

Offers the reading of judged queries (`read_queries`), the measures (`measures`), and `Evaluations`, which runs, compares and
keeps them. Kept out: searching (the caller brings it), and who is told of a drop (monitoring).
"""

from recant.evaluation.evaluations import Evaluations
from recant.evaluation.queries import JudgedQueries, JudgedQuery, read_queries
from recant.evaluation.report import EvaluationComparison, EvaluationReport

__all__ = ["EvaluationComparison", "EvaluationReport", "Evaluations", "JudgedQueries", "JudgedQuery", "read_queries"]
