"""The reports that there are: which view each shows, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Report:
    """A view with a title, and a plot of some of its columns."""

    name: str
    title: str
    view: str
    drawn: Literal["lines", "stacked", "bars", "none"]
    across: str = ""
    """The column along the plot: days, or what the bars are of."""
    shown: tuple[str, ...] = ()
    """The columns that are drawn."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows with the names of their columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool = False
    """Whether there were more rows than asked for."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, but for times."""
        return {"columns": list(self.columns), "rows": [list(row) for row in self.rows], "more": self.more}

    def column(self, name: str) -> list[Any]:
        """One column's values."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """What a report says of an export."""

    report: Report
    meaning: str
    answer: Answer
    position: int
    """What is said was so here."""
    export: str
    """The export's folder."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, but for times."""
        said = {"meaning": self.meaning, "position": self.position, "export": self.export}
        return {"name": self.report.name, "title": self.report.title} | said | self.answer.to_dict()


_DECLARED = (
    Report("growth", "Growth", "growth", "lines", "day", ("standing_chunks",)),
    Report("agents", "Operations by agent", "operations_by_agent", "bars", "agent", ("operations", "reverted", "quarantined")),
    Report("kinds", "Operations by kind", "operations_by_kind", "bars", "kind", ("operations", "withdrawn")),
    Report("rejects", "Documents left out", "rejects_by_day", "lines", "day", ("share",)),
    Report("reasons", "Why documents were left out", "rejects_by_code", "bars", "code", ("rejections",)),
    Report("checks", "Quality over time", "checks_by_day", "none"),
    Report(
        "feedback", "Feedback", "feedback_by_day", "stacked", "day",
        ("helpful", "outdated", "incorrect", "confusing", "duplicate"),
    ),
    Report("disputed", "What readers speak against", "feedback_by_document", "bars", "source", ("negative", "helpful")),
    Report("access", "Searches in sessions", "access_by_day", "lines", "day", ("searches", "passages")),
    Report("quality", "Quality scores", "quality_by_score", "bars", "score_from", ("chunks",)),
    Report("rollbacks", "Rollbacks", "rollbacks", "none"),
    Report("formats", "Documents by format", "documents_by_format", "bars", "format", ("documents",)),
)  # fmt: skip
REPORTS: dict[str, Report] = {report.name: report for report in _DECLARED}
