"""One data frame against one suite, by Great Expectations, without a row's value in what comes out."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from recant.json_types import JSON
from recant.quality.frame import COLUMNS, SUMMARY_COLUMNS, make_summary
from recant.quality.suite import DEFAULT_SUITE, OWN_EXPECTATIONS, BadSuite, Expectation, Suite

if TYPE_CHECKING:
    import pandas

COUNTS_ONLY = {"result_format": "SUMMARY", "partial_unexpected_count": 0}
ROWS_IN_MEMORY = {"result_format": "COMPLETE", "partial_unexpected_count": 0}
"""Needed to tell which rows failed; read here and dropped."""


@dataclass(frozen=True, slots=True)
class FailingRow:
    """A chunk that fails an expectation; a document without any has neither id nor place."""

    version_id: int
    source: str
    chunk_id: int | None
    chunk_index: int | None


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a suite says of a frame."""

    suite: str
    rows: int
    expectations: list[dict[str, JSON]]
    """name, expectation, column, field, severity, description, success, checked, unexpected: counts, never values."""
    failures: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Versions of the documents with critical failures, each with the names of the expectations."""
    failing_rows: Mapping[str, Sequence[FailingRow]] = field(default_factory=dict)
    """By expectation of any severity, where rows were asked for."""

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
        self._gx = great_expectations()
        self.built = {e.name: _build(self._gx, suite, e) for e in suite.expectations}
        context = self._gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("recant").add_dataframe_asset("rows")
        self._rows = asset.add_batch_definition_whole_dataframe("all")

    def check(self, frame: pandas.DataFrame, *, name_rows: bool = False) -> GateResult:
        """Hold the frame against what the suite says of rows. It needs a column `version_id` and those that the suite names.

        `name_rows`: every row that fails anything is in the result, not only the documents of critical failures.
        Raises BadSuite when a column is missing or an expectation can't be evaluated.
        """
        asked = [e for e in self.suite.expectations if not is_about_all(e)]
        self._require_columns(frame, asked)
        frame = frame.reset_index(drop=True)
        answers = self._validate(frame, [e.name for e in asked], COUNTS_ONLY)
        outcomes = [_outcome(e, answers[e.name], len(frame)) for e in asked]
        failed = [str(o["name"]) for o in outcomes if not o["success"] and (name_rows or o["severity"] == "critical")]
        places = self._places(frame, failed)
        critical = {e.name for e in asked if e.severity == "critical"}
        blamed = _blamed(frame, {name: found for name, found in places.items() if name in critical})
        rows = {name: _rows(frame, found) for name, found in places.items()} if name_rows else {}
        return GateResult(self.suite.name, len(frame), outcomes, blamed, rows)

    def with_summary(self, results: list[GateResult], summary: Mapping[str, JSON]) -> list[GateResult]:
        """The pages' results, the last one with what the suite says of the one row about all that is checked."""
        asked = [e for e in self.suite.expectations if is_about_all(e)]
        frame = make_summary(summary)
        self._require_columns(frame, asked)
        answers = self._validate(frame, [e.name for e in asked], COUNTS_ONLY)
        outcomes = [_outcome(e, answers[e.name], 1) for e in asked]
        return [*results[:-1], *(replace(last, expectations=[*last.expectations, *outcomes]) for last in results[-1:])]

    def _places(self, frame: pandas.DataFrame, failed: list[str]) -> dict[str, list[int]]:
        answers = self._validate(frame, failed, ROWS_IN_MEMORY) if failed else {}
        return {name: answer.result.get("unexpected_index_list") or [] for name, answer in answers.items()}

    def _validate(self, frame: pandas.DataFrame, names: list[str], result_format: dict[str, Any]) -> dict[str, Any]:
        if not names:
            return {}
        chosen = self._gx.ExpectationSuite(name=self.suite.name, expectations=[self.built[name] for name in names])
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

    def _require_columns(self, frame: pandas.DataFrame, asked: Iterable[Expectation]) -> None:
        for expectation in asked:
            for column in expectation.columns:
                if column not in frame.columns:
                    known = ", ".join(map(str, frame.columns))
                    raise BadSuite(
                        f"{self.suite.name}: {expectation.name} is about {column}, which isn't among {known}."
                    )


def is_about_all(expectation: Expectation) -> bool:
    """Whether it is about the summary: its columns are, of which it has any."""
    columns = expectation.columns
    return bool(columns) and all(column in SUMMARY_COLUMNS for column in columns)


def _blamed(frame: pandas.DataFrame, places: Mapping[str, list[int]]) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {}
    for name, rows in places.items():
        for version in frame["version_id"].iloc[rows].unique():
            found.setdefault(int(version), []).append(name)
    return {version: tuple(names) for version, names in found.items()}


def _rows(frame: pandas.DataFrame, places: list[int]) -> list[FailingRow]:
    columns = frame[["version_id", "source", "chunk_id", "chunk_index"]].iloc[places]
    return [
        FailingRow(int(version), str(source), _whole(chunk), _whole(index))
        for version, source, chunk, index in columns.itertuples(index=False)
    ]


def _whole(value: float) -> int | None:
    return int(value) if value == value else None  # not a number: there is none


def great_expectations() -> Any:
    """The library, told not to report its use: releases that do read this variable, once, while they are imported."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as library

    return library


def _build(gx: Any, suite: Suite, expectation: Expectation) -> Any:
    wanted = "".join(word.capitalize() for word in expectation.kind.split("_"))
    kind = getattr(gx.expectations, wanted, None)
    if expectation.kind in OWN_EXPECTATIONS:
        from recant.quality import expectations

        kind = getattr(expectations, wanted)
    if kind is None or not expectation.kind.startswith("expect_"):
        raise BadSuite(f"{suite.name}: {expectation.name}: {_unknown(gx, expectation.kind)}")
    try:
        described = {"description": expectation.description} if expectation.description else {}
        given = {**suite.arguments_of(expectation), **described}
        return kind(**given, severity=expectation.severity, meta={"name": expectation.name})
    except (TypeError, ValueError) as error:
        raise BadSuite(
            f"{suite.name}: the arguments of {expectation.name} don't fit: {_first_problem(error)}."
        ) from error


def _unknown(gx: Any, kind: str) -> str:
    names = [name for name in dir(gx.expectations) if name.startswith("Expect")]
    known = ["".join("_" + c.lower() if c.isupper() else c for c in name)[1:] for name in names] + [*OWN_EXPECTATIONS]
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
    measured = {**COLUMNS, **SUMMARY_COLUMNS}.get(columns[0]) if columns else None
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
