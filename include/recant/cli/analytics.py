"""`analytics list|report|sql`: ready reports over a Parquet export, and one's own questions."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recant.cli.flags import JsonFlag, with_flag_groups
from recant.cli.output import Output, json_text, local_time
from recant.cli.services import settings
from recant.errors import UsageError

if TYPE_CHECKING:
    from recant.analytics import Analytics, Answer, ReportAnswer

analytics_commands = typer.Typer(no_args_is_help=True, help="Reports over a Parquet export, with DuckDB.")
ExportFlag = Annotated[
    Path | None,
    typer.Option("--export", metavar="FOLDER", help="The export. Default: the newest that is Parquet and current."),
]
ENDINGS = (".html", ".png", ".csv", ".json")


def analytics_list(export: ExportFlag = None, json: JsonFlag = False) -> None:
    """List the reports, tables and views that an export has."""
    from recant.analytics import REPORTS
    from recant.export import VIEWS

    output = Output(json)
    with _opened(export) as analytics:
        reports = [
            {"name": name, "title": REPORTS[name].title, "meaning": VIEWS[REPORTS[name].view].meaning}
            for name in analytics.reports
        ]
        known = {"export": str(analytics.folder), "position": analytics.position, "reports": reports}
        known |= {
            "tables": {name: list(columns) for name, columns in analytics.tables.items()},
            "views": list(analytics.views),
        }
    if json:
        output.document(known)
        return
    output.table(["report", "what it shows"], [[report["name"], report["meaning"]] for report in reports])
    output.print(f"For `analytics sql`: {', '.join([*analytics.tables, *analytics.views])}.")


def analytics_report(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Of reports; all: those that the export has.")],
    export: ExportFlag = None,
    output_file: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write it: .html, .png, .csv or .json.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Show ready reports, or write them as a page, a plot or a table."""
    output = Output(json)
    if output_file is not None and output_file.suffix.lower() not in ENDINGS:
        raise UsageError(f"--output {output_file}: must end in one of {', '.join(ENDINGS)}.")
    with _opened(export) as analytics:
        said = [analytics.report(name) for name in (analytics.reports if names == ["all"] else names)]
    if output_file is not None:
        _write(output_file.expanduser(), said)
    if json:
        output.document({"reports": [one.to_dict() for one in said]})
    elif output_file is not None:
        output.print(f"Written to {output_file}.")
    else:
        for one in said:
            _show(output, one.answer, f"{one.report.title} (position {one.position:,})")


def analytics_sql(
    query: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT in DuckDB's SQL; - reads standard input.")],
    export: ExportFlag = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many rows.")] = 1_000,
    json: JsonFlag = False,
) -> None:
    """Ask an export with SQL. It can only be read, and no other file can."""
    output = Output(json)
    with _opened(export) as analytics:
        answer = analytics.query(sys.stdin.read() if query == "-" else query, limit=limit)
    if json:
        output.document(answer.to_dict())
    else:
        _show(output, answer)


def _opened(export: Path | None) -> Analytics:
    import recant
    from recant.analytics import Analytics

    if export is not None:
        return Analytics(export)
    with recant.connect(settings=settings()) as kb:
        return kb.analytics()


def _show(output: Output, answer: Answer, title: str | None = None) -> None:
    numbers = [any(_is_number(row[i]) for row in answer.rows) for i in range(len(answer.columns))]
    headings = [name + "#" * number for name, number in zip(answer.columns, numbers, strict=True)]
    output.table(headings, [[_shown(value) for value in row] for row in answer.rows], title)
    if answer.more:
        output.note(f"There are more than {len(answer.rows):,} rows: --limit shows more.")


def _shown(value: Any) -> Any:
    return local_time(value) if hasattr(value, "astimezone") else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _write(file: Path, said: list[ReportAnswer]) -> None:
    from recant.analytics import page, plot

    ending = file.suffix.lower()
    if ending in (".png", ".csv") and len(said) != 1:
        raise UsageError(f"{ending} takes one report: several go into a page (.html) or a document (.json).")
    if ending == ".html":
        file.write_text(page(said), "utf-8")
    elif ending == ".png":
        file.write_bytes(plot(said[0]))
    elif ending == ".json":
        file.write_text(json_text({"reports": [one.to_dict() for one in said]}, indent=2) + "\n", "utf-8")
    else:
        with file.open("w", encoding="utf-8", newline="") as target:
            csv.writer(target).writerows([said[0].answer.columns, *said[0].answer.rows])


COMMANDS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("list", analytics_list),
    ("report", analytics_report),
    ("sql", analytics_sql),
)
for name, command in COMMANDS:
    analytics_commands.command(name)(with_flag_groups(command))
