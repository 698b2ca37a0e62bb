"""Recant's own expectations, as classes of Great Expectations. Imported when Great Expectations is.

Each is one of the library's with its column and its words filled in, which is how it is extended since release 1: results,
severities and Data Docs are the library's. What the columns say is measured before (`recant.quality.findings`).
"""

from __future__ import annotations

from typing import Any

from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.core.expect_column_values_to_be_null import ExpectColumnValuesToBeNull


class ExpectChunksToHaveNoDuplicate(ExpectColumnValuesToBeNull):
    """`duplicate_of` is null: no earlier chunk has the same text."""

    column: Any = "duplicate_of"
    description: Any = "No chunk has the same text as an earlier one."


class ExpectChunksToHaveNoNearDuplicate(ExpectColumnValuesToBeNull):
    """`near_duplicate_of` is null: no earlier chunk shares most of its shingles."""

    column: Any = "near_duplicate_of"
    description: Any = "No chunk has nearly the same text as an earlier one."


class ExpectTextToBeUndamaged(ExpectColumnValuesToBeBetween):
    """`mojibake_share` is at most `max_value`; 0 unless it is given."""

    column: Any = "mojibake_share"
    max_value: Any = 0
    description: Any = "Text isn't damaged by a wrong encoding."


class ExpectTextToBeInALanguageOfTheCollection(ExpectColumnValuesToBeBetween):
    """`in_language` is 1 wherever the language could be told."""

    column: Any = "in_language"
    min_value: Any = 1
    description: Any = "Prose is in one of the collection's languages."


class ExpectEmbeddingsNotToDrift(ExpectColumnValuesToBeBetween):
    """`drift_p_value` is at least `min_value`; null, with too few documents to tell, passes."""

    column: Any = "drift_p_value"
    min_value: Any = 0.01
    description: Any = "The vectors of what is new could have been drawn from those of what was there before."


class ExpectRejectRateToBeAtMost(ExpectColumnValuesToBeBetween):
    """`reject_rate` is at most `max_value`."""

    column: Any = "reject_rate"
    max_value: Any = 0.25
    description: Any = "Most documents that were looked at could be used."
