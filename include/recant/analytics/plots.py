"""A report as a picture, by matplotlib; without a display, and without a date in the file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from recant.analytics.reports import ReportAnswer
from recant.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_INCHES = (9.0, 4.5)
DOTS_PER_INCH = 110
MOST_BARS = 20
LONGEST_LABEL = 40


def plot(said: ReportAnswer) -> bytes:
    """PNG. Raises UsageError for a report that is a table only, ConfigurationError without matplotlib."""
    report = said.report
    if report.drawn == "none":
        raise UsageError(f"The report {report.name!r} is a table: give it a file that ends in .html, .csv or .json.")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError("Plots need matplotlib: install recant[analytics].") from error
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    _draw(axes, said)
    axes.set_title(f"{report.title} (position {said.position:,})")
    axes.spines[["top", "right"]].set_visible(False)
    written = io.BytesIO()
    figure.savefig(written, format="png", metadata={"Software": None})
    return written.getvalue()


def _draw(axes: Axes, said: ReportAnswer) -> None:
    report, answer = said.report, said.answer
    if not answer.rows:
        axes.text(0.5, 0.5, "nothing yet", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    across = answer.column(report.across)
    drawn = {name: [float(value or 0) for value in answer.column(name)] for name in report.shown}
    if report.drawn == "bars":
        _bars(axes, [_label(value) for value in across[:MOST_BARS]], drawn)
    elif report.drawn == "stacked":
        axes.stackplot(across, *drawn.values(), labels=list(drawn))
    else:
        for name, values in drawn.items():
            axes.plot(across, values, marker="o", markersize=3, label=name)
    if report.drawn != "bars":
        axes.set_ylim(bottom=0)
        axes.figure.autofmt_xdate()
    if len(drawn) > 1:
        axes.legend([name.replace("_", " ") for name in drawn], frameon=False)
    else:
        axes.set_xlabel("" if report.drawn != "bars" else report.shown[0].replace("_", " "))


def _bars(axes: Axes, labels: list[str], drawn: dict[str, list[float]]) -> None:
    """Side by side for each label, the first on top."""
    height = 0.8 / len(drawn)
    places = range(len(labels))
    for number, values in enumerate(drawn.values()):
        axes.barh([place + number * height for place in places], values[: len(labels)], height=height)
    axes.set_yticks([place + 0.4 - height / 2 for place in places], labels)
    axes.invert_yaxis()


def _label(value: Any) -> str:
    """Without what matplotlib takes for mathematics, or its fonts lack."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value)).replace("$", r"\$")
    return text if len(text) <= LONGEST_LABEL else "…" + text[-LONGEST_LABEL:]
