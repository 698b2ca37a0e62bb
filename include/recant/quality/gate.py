"""One data frame against one suite, by Great Expectations, without a row's value in what comes out."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recant.json_types import JSON
from recant.quality.frame import COLUMNS
from recant.quality.suite import DEFAULT_SUITE, BadSuite, Expectation, Suite

if TYPE_CHECKING:
    import pandas

COUNTS_ONLY = {"result_format": "SUMMARY", "partial_unexpected_count": 0}
ROWS_IN_MEMORY = {"result_format": "COMPLETE", "partial_unexpected_count": 0}
"""Needed to tell which rows failed; read here and dropped."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a suite says of a frame."""

    suite: str
    rows: int
    expectations: list[dict[str, JSON]]
    """name, expectation, column, field, severity, description, success, checked, unexpected: counts, never values."""
    failures: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Versions of the documents with critical failures, each with the names of the expectations."""

    @property
    def success(self) -> bool:
        """No critical expectation failed."""
        return all(e["success"] for e in self.expectations if e["severity"] == "critical")

    @property
    def failing_versions(self) -> tuple[int, ...]:
        """Ascending."""
        return tuple(sorted(self.failures))

    @property
    def beyond_documents(self) -> list[str]:
        """Critical expectations that failed for the table as a whole: leaving documents out wouldn't mend them."""
        blamed = {name for names in self.failures.values() for name in names}
        failed = [str(e["name"]) for e in self.expectations if e["severity"] == "critical" and not e["success"]]
        return [name for name in failed if name not in blamed]

    def to_dict(self) -> dict[str, JSON]:
        """JSON-ready, without any row's value."""
        return {
            "suite": self.suite,
            "success": self.success,
            "rows": self.rows,
            "failing_documents": len(self.failures),
            "expectations": list(self.expectations),
        }


def added_up(results: Iterable[GateResult]) -> list[dict[str, JSON]]:
    """The expectations of several frames as of one; an expectation holds when it held in each."""
    totals: dict[str, dict[str, Any]] = {}
    for outcome in (outcome for result in results for outcome in result.expectations):
        total = totals.setdefault(str(outcome["name"]), {**outcome, "success": True, "checked": 0, "unexpected": 0})
        total["success"] = total["success"] and outcome["success"]
        total["checked"] += outcome["checked"]
        total["unexpected"] += outcome["unexpected"]
    return list(totals.values())


class Gate:
    """A suite, ready to be held against frames. Making one imports Great Expectations (seconds); use it for many.

    Raises BadSuite when an expectation is unknown to Great Expectations or its arguments don't fit.
    """

    def __init__(self, suite: Suite = DEFAULT_SUITE) -> None:
        self.suite = suite
        self._gx = _great_expectations()
        self._built = {e.name: _build(self._gx, suite, e) for e in suite.expectations}
        context = self._gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("recant").add_dataframe_asset("rows")
        self._rows = asset.add_batch_definition_whole_dataframe("all")

    def check(self, frame: pandas.DataFrame) -> GateResult:
        """Hold the frame against the suite. It needs a column `version_id` and those that the suite names.

        Raises BadSuite when a column is missing or an expectation can't be evaluated.
        """
        self._require_columns(frame)
        frame = frame.reset_index(drop=True)
        answers = self._validate(frame, list(self._built), COUNTS_ONLY)
        outcomes = [_outcome(e, answers[e.name], len(frame)) for e in self.suite.expectations]
        failed = [str(o["name"]) for o in outcomes if o["severity"] == "critical" and not o["success"]]
        return GateResult(self.suite.name, len(frame), outcomes, self._failures(frame, failed))

    def _failures(self, frame: pandas.DataFrame, failed: list[str]) -> dict[int, tuple[str, ...]]:
        found: dict[int, list[str]] = {}
        answers = self._validate(frame, failed, ROWS_IN_MEMORY) if failed else {}
        for name, answer in answers.items():
            places = answer.result.get("unexpected_index_list") or []
            for version in frame["version_id"].iloc[places].unique():
                found.setdefault(int(version), []).append(name)
        return {version: tuple(names) for version, names in found.items()}

    def _validate(self, frame: pandas.DataFrame, names: list[str], result_format: dict[str, Any]) -> dict[str, Any]:
        chosen = self._gx.ExpectationSuite(name=self.suite.name, expectations=[self._built[name] for name in names])
        batch = self._rows.get_batch(batch_parameters={"dataframe": frame})
        answers = {}
        for answer in batch.validate(chosen, result_format=result_format).results:
            name = answer.expectation_config.meta["name"]
            if not answer.result and not answer.success:
                raise BadSuite(
                    f"{self.suite.name}: {name} can't be evaluated; see that its arguments fit the type of its column."
                )
            answers[name] = answer
        return {name: answers[name] for name in names}

    def _require_columns(self, frame: pandas.DataFrame) -> None:
        for expectation in self.suite.expectations:
            for column in expectation.columns:
                if column not in frame.columns:
                    known = ", ".join(map(str, frame.columns))
                    raise BadSuite(
                        f"{self.suite.name}: {expectation.name} is about {column}, which isn't among {known}."
                    )


def _great_expectations() -> Any:
    """The library, told not to report its use: releases that do read this variable, once, while they are imported."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations

    return great_expectations


def _build(gx: Any, suite: Suite, expectation: Expectation) -> Any:
    wanted = "".join(word.capitalize() for word in expectation.kind.split("_"))
    kind = getattr(gx.expectations, wanted, None)
    if kind is None or not expectation.kind.startswith("expect_"):
        raise BadSuite(f"{suite.name}: {expectation.name}: {_unknown(gx, expectation.kind)}")
    try:
        return kind(**suite.arguments_of(expectation), severity=expectation.severity, meta={"name": expectation.name})
    except (TypeError, ValueError) as error:
        raise BadSuite(
            f"{suite.name}: the arguments of {expectation.name} don't fit: {_first_problem(error)}."
        ) from error


def _unknown(gx: Any, kind: str) -> str:
    names = [name for name in dir(gx.expectations) if name.startswith("Expect")]
    known = ["".join("_" + c.lower() if c.isupper() else c for c in name)[1:] for name in names]
    near = difflib.get_close_matches(kind, known, n=1)
    return f"Great Expectations has no {kind}" + (f"; did you mean {near[0]}?" if near else ".")


def _first_problem(error: Exception) -> str:
    problems = error.errors() if hasattr(error, "errors") else []
    if not problems:
        return str(error)
    where = ".".join(str(part) for part in problems[0]["loc"] if part != "__root__")
    return f"{where}: {problems[0]['msg']}" if where else str(problems[0]["msg"])


def _outcome(expectation: Expectation, answer: Any, rows: int) -> dict[str, JSON]:
    columns = expectation.columns
    measured = COLUMNS.get(columns[0]) if columns else None
    checked = int(answer.result.get("element_count", rows)) - int(answer.result.get("missing_count") or 0)
    return {
        "name": expectation.name,
        "expectation": expectation.kind,
        "column": ", ".join(columns) or None,
        "field": measured.field if measured else None,
        "severity": expectation.severity,
        "description": expectation.description,
        "success": bool(answer.success),
        "checked": checked,
        "unexpected": int(answer.result.get("unexpected_count") or 0),
    }
