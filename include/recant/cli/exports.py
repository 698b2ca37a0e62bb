"""`export to|list|verify|refresh`: what is known as CSV or Parquet files, and whether they are still right."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recant.cli.flags import Authorship, CollectionFlag, JsonFlag, with_flag_groups
from recant.cli.knowledge import parse_filters
from recant.cli.moments import METAVAR, note_zone
from recant.cli.output import Output, local_time
from recant.cli.progress import Counted, counted
from recant.cli.services import settings
from recant.errors import UsageError

if TYPE_CHECKING:
    from recant.export import ExportReport, Refreshed

export_commands = typer.Typer(no_args_is_help=True, help="CSV and Parquet files of what is known.")


class Format(StrEnum):
    """What the files are."""

    csv = "csv"
    parquet = "parquet"


class Compression(StrEnum):
    """How they are packed."""

    none = "none"
    gzip = "gzip"
    zstd = "zstd"


def export_to(
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder, or that of an earlier export.")],
    authorship: Authorship,
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            metavar="NAME",
            help="documents, chunks, scores, operations, feedback, dependencies, rejections, checks, searches, or all. Repeatable. "
            "Default: documents and chunks.",
        ),
    ] = None,
    collection: CollectionFlag = None,
    all_collections: Annotated[bool, typer.Option("--all-collections", help="Of every collection.")] = False,
    format: Annotated[Format, typer.Option(help="What the files are.")] = Format.csv,
    compression: Annotated[
        Compression | None, typer.Option(help="How they are packed. Default: none for CSV, zstd for Parquet.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar=METAVAR, help="What was seen then: at a position, a tag, or a time.")
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="KEY=VALUE", help="Only documents and chunks with it, as for a search."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="FILTER", help="Only what it holds for: 'doc_type = \"adr\" and year >= 2024'."),
    ] = None,
    written_by: Annotated[
        list[str] | None, typer.Option("--written-by", metavar="AGENT", help="Only what this agent wrote. Repeatable.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--columns", metavar="TABLE=NAME,NAME", help="These columns of a table, in this order."),
    ] = None,
    vectors: Annotated[bool, typer.Option("--vectors", help="The chunks' vectors as well.")] = False,
    rows_per_file: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Cut tables into files of so many rows.", show_default=False)
    ] = None,
    keep_formulas: Annotated[
        bool,
        typer.Option("--keep-formulas", help="CSV: leave texts that a spreadsheet takes for formulas as they are."),
    ] = False,
    null: Annotated[
        str, typer.Option("--null", metavar="TEXT", help="CSV: what stands for no value. Default: nothing, unquoted.")
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", help="`export refresh` also makes it again when something was published.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Write what is seen into a folder of files, as an operation. What was there is replaced in one step."""
    import recant
    from recant.export import TABLES, ExportRequest
    from recant.search.filters import both

    if all_collections and collection is not None:
        raise UsageError("Give either --collection or --all-collections.")
    output = Output(json)
    note_zone(output, "--as-of", as_of)
    asked = tables or ["documents", "chunks"]
    packed = compression or (Compression.zstd if format is Format.parquet else Compression.none)
    with recant.connect(settings=settings()) as kb, counted(output) as progress:
        request = ExportRequest(
            target=str(target.expanduser().absolute()),
            tables=tuple(TABLES) if asked == ["all"] else tuple(asked),
            collection=None if all_collections else kb.settings.collection if collection is None else collection,
            format=format.value,
            compression=packed.value,
            as_of=None if as_of is None else kb.position_of(as_of),
            filters=both(parse_filters(filters or []), *(where or [])),
            agents=tuple(written_by or ()),
            columns=_columns(columns or []),
            vectors=vectors,
            rows_per_file=rows_per_file,
            protect_formulas=not keep_formulas,
            null_text=null,
            follow=follow,
        )
        who = kb.attribution(
            agent=authorship.agent, session=authorship.session, run=authorship.run, message=authorship.message
        )
        report = kb.exports.write(request, who, progress=_Totals(progress))
    if json:
        output.document(report.to_dict())
    else:
        _show(output, report)


def export_list(
    all_states: Annotated[bool, typer.Option("--all", help="Also those that were replaced or removed.")] = False,
    json: JsonFlag = False,
) -> None:
    """List the exports, and whether they still hold what is seen."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found = kb.exports.find(all_states=all_states)
    if json:
        output.document({"exports": [export.to_dict() for export in found]})
    elif found:
        rows = [
            [e.state, e.path, e.format, e.collection or "all", e.position, e.size_bytes, local_time(e.created_at)]
            for e in found
        ]
        output.table(["state", "folder", "format", "collection", "position#", "bytes#", "when"], rows)
    else:
        output.print("No export yet: `recant export to FOLDER` makes one.")


def export_verify(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="manifest.json of an export, or its folder.")],
    json: JsonFlag = False,
) -> None:
    """Compare an export's files with its manifest. Needs no database. Ends with 1 when something is wrong."""
    from recant.export import verify_manifest

    output = Output(json)
    found = verify_manifest(manifest.expanduser().absolute())
    if json:
        output.document(found.to_dict())
    else:
        for problem in found.problems:
            output.print(problem)
        output.print(
            f"{found.files:,} files: " + ("as the manifest says." if found.ok else "not as the manifest says.")
        )
    if not found.ok:
        raise typer.Exit(1)


def export_refresh(
    authorship: Authorship,
    stale: Annotated[
        bool, typer.Option("--stale", help="Only what a rollback, redo or erasure made wrong; not what is only behind.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be made again.")] = False,
    json: JsonFlag = False,
) -> None:
    """Make exports again that don't hold what is seen any more, and those that follow and are behind."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb, counted(output) as progress:
        who = kb.attribution(
            agent=authorship.agent, session=authorship.session, run=authorship.run, message=authorship.message
        )
        done = kb.exports.refresh(who, only_stale=stale, dry_run=dry_run, progress=_Totals(progress))
    if json:
        output.document({"refreshed": [one.to_dict() for one in done], "dry_run": dry_run})
    elif done:
        output.table(["why", "folder", "became"], [[one.reason, one.target, _became(one, dry_run)] for one in done])
    else:
        output.print("Every export holds what it should.")
    if any(one.error for one in done):
        raise typer.Exit(1)


class _Totals:
    """Counts a table's rows as they are told."""

    def __init__(self, progress: Counted) -> None:
        self._progress = progress
        self._rows: dict[str, int] = {}

    def __call__(self, table: str, rows: int) -> None:
        self._rows[table] = self._rows.get(table, 0) + rows
        self._progress(table, self._rows[table], None)


def _columns(given: list[str]) -> dict[str, tuple[str, ...]]:
    found = {}
    for text in given:
        table, equals, names = text.partition("=")
        if not table or not equals or not names:
            raise UsageError(f"--columns {text!r}: write TABLE=NAME,NAME, chunks=source,text, say.")
        found[table] = tuple(names.split(","))
    return found


def _show(output: Output, report: ExportReport) -> None:
    what = ", ".join(f"{rows:,} {table}" for table, rows in report.rows.items())
    output.print(
        f"{report.target}: {what} in {report.files:,} files, {report.size_bytes:,} bytes, as seen at position "
        f"{report.position:,}. Operation {report.operation_id}, {report.seconds:.1f} s."
    )


def _became(one: Refreshed, dry_run: bool) -> str:
    if one.report is not None:
        return f"made again as seen at position {one.report.position:,}"
    return one.error or ("would be made again" if dry_run else "")


COMMANDS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("to", export_to),
    ("list", export_list),
    ("verify", export_verify),
    ("refresh", export_refresh),
)
for name, command in COMMANDS:
    export_commands.command(name)(with_flag_groups(command))
