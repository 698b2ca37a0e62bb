"""The report as a table on a terminal, and as Markdown in the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

MARK = "<!-- results: written by `make bench ARGS=--docs` -->"


def table(name: str, outcome: dict[str, Any]) -> Table:
    """One benchmark's measures, with what was asked for and whether it held."""
    shown = Table("measure", "value", "target", title=f"{name} ({outcome['seconds']:.0f} s)", title_justify="left")
    shown.columns[1].justify = "right"
    for line in outcome["measures"]:
        verdict = {True: "[green]held[/green]", False: "[red]missed[/red]", None: ""}[line["met"]]
        shown.add_row(line["name"], f"{number(line['value'])} {line['unit']}", f"{line['target']} {verdict}".strip())
    return shown


def write_results(document: Path, report: dict[str, Any]) -> None:
    """Replaces the sections after the mark that were measured now; the others stay. Raises ValueError without a mark."""
    head, mark, results = document.read_text("utf-8").partition(MARK)
    if not mark:
        raise ValueError(f"{document} has no line {MARK!r}")
    known = {part.partition("\n")[0].strip(): part.rstrip() for part in results.split("\n### ")[1:]}
    sections = known | _sections(report)
    document.write_text(f"{head}{mark}\n\n" + "\n\n".join(f"### {text}" for text in sections.values()) + "\n", "utf-8")


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _sections(report: dict[str, Any]) -> dict[str, str]:
    when = f"{report['at'][:10]}, Python {report['machine']['python']}"
    found = {}
    for name, outcome in report["benchmarks"].items():
        took = f"Took {outcome['seconds']:.0f} s on {when}; load average at the end {outcome['load']:.1f}."
        rows = ["| measure | value | target | |", "| --- | ---: | --- | --- |", *map(_row, outcome["measures"])]
        found[name] = "\n".join([name, "", took, "", *rows])
    return found


def _row(line: dict[str, Any]) -> str:
    verdict = {True: "held", False: "**missed**", None: ""}[line["met"]]
    return f"| {line['name']} | {number(line['value'])} {line['unit']} | {line['target']} | {verdict} |"
