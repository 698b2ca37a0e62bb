"""Reports as one HTML page that needs nothing else: the plots are in it, no script, nothing to fetch."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

from recant.analytics.plots import plot
from recant.analytics.reports import ReportAnswer

SHOWN_ROWS = 200
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;font-size:.9rem}th,td{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ddd}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}p.m{color:#555}"
)


def page(reports: Sequence[ReportAnswer]) -> str:
    """A section each, in order. Raises ConfigurationError without matplotlib."""
    title = reports[0].report.title if len(reports) == 1 else "What the knowledge base went through"
    seen = f"As seen at position {reports[0].position:,}, from {escape(reports[0].export)}."
    sections = "\n".join(_section(said) for said in reports)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{escape(title)}</h1>\n<p>{seen}</p>\n{sections}\n</body></html>\n"
    )


def _section(said: ReportAnswer) -> str:
    heading = f'<h2 id="{said.report.name}">{escape(said.report.title)}</h2><p class="m">{escape(said.meaning)}</p>'
    return "\n".join((heading, _picture(said), _table(said)))


def _picture(said: ReportAnswer) -> str:
    if said.report.drawn == "none" or not said.answer.rows:
        return ""
    data = base64.b64encode(plot(said)).decode()
    return f'<img alt="{escape(said.report.title)}: the numbers are in the table" src="data:image/png;base64,{data}">'


def _table(said: ReportAnswer) -> str:
    if not said.answer.rows:
        return "<p>Nothing yet.</p>"
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in said.answer.columns)
    rows = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in said.answer.rows[:SHOWN_ROWS])
    more = len(said.answer.rows) - SHOWN_ROWS
    rest = f"<p>And {more:,} more rows.</p>" if more > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>{rest}"


def _cell(value: Any) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<td class="n">{value:,}</td>'
    text = value.strftime("%Y-%m-%d %H:%M:%S %Z") if isinstance(value, datetime) else str(value)
    return f"<td>{escape(text)}</td>"
