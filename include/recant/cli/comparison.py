"""`diff`: what differs between two moments, or what one operation changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recant.cli.flags import CollectionFlag, JsonFlag
from recant.cli.moments import HELP as MOMENT_HELP
from recant.cli.moments import note_zone
from recant.cli.output import Output, json_text, printable, write
from recant.cli.services import settings

if TYPE_CHECKING:
    from recant.comparison import Comparison, DocumentDiff

STYLES = {"+++": "bold", "---": "bold", "@@": "cyan", "+": "green", "-": "red"}


def diff(
    before: Annotated[str | None, typer.Argument(metavar="A", help=MOMENT_HELP, show_default=False)] = None,
    after: Annotated[
        str | None, typer.Argument(metavar="B", help="The same. Default: now.", show_default=False)
    ] = None,
    operation: Annotated[
        int | None, typer.Option(metavar="OP", help="What this operation changed, instead of two moments.")
    ] = None,
    collection: CollectionFlag = None,
    source: Annotated[str | None, typer.Option(metavar="SOURCE", help="Only this document.")] = None,
    stat: Annotated[bool, typer.Option("--stat", help="Counts only.")] = False,
    json: JsonFlag = False,
) -> None:
    """Show what differs between two moments of a collection, or what one operation changed, document by document."""
    import recant
    from recant.ingestion.origin import named_source

    output = Output(json)
    source = None if source is None else named_source(source)
    for name, moment in (("A", before), ("B", after)):
        note_zone(output, name, moment)
    with recant.connect(settings=settings()) as kb:
        found = kb.diff(before, after, operation=operation, collection=collection, source=source)
        if json:
            _write_document(found, stat)
        else:
            _show(output, found, stat)


def _write_document(found: Comparison, stat: bool) -> None:
    """One JSON document, written as it is read: a large diff is never in memory as a whole."""
    head = json_text(found.to_dict())
    if stat:
        write(head + "\n")
        return
    write(head[:-1] + ', "documents": [')
    for place, document in enumerate(found.documents()):
        write((", " if place else "") + json_text(document.to_dict()))
    write("]}\n")


def _show(output: Output, found: Comparison, stat: bool) -> None:
    from rich.text import Text

    about = found.to_dict()
    output.print(_title(about))
    if rows := [[kind, *counts.values()] for kind, counts in about["counts"].items()]:
        output.table(["records", "added#", "removed#", "changed#"], rows)
    for document in () if stat else found.documents():
        lines = [*_lines(document)]
        if output.console.is_terminal:
            output.print("", *(Text(line, style=_style(line)) for line in lines))
        else:  # tabs and long lines as they are, for `patch` and for eyes
            write("".join(f"{line}\n" for line in ["", *lines]), output.stream)


def _title(about: Mapping[str, Any]) -> str:
    what = f"operation {about['operation_id']}, " if about["operation_id"] else ""
    same = "" if about["counts"] else ": nothing differs"
    return f"{about['collection']}, {what}position {about['before']:,} → {about['after']:,}{same}"


def _lines(document: DocumentDiff) -> Iterator[str]:
    """The diff, and what else differs, without what would steer a terminal."""
    yield from map(printable, document.lines or (f"{document.source}: {document.change}, the same text",))
    for name, (before, after) in document.described.items():
        yield printable(f"{name}: {json_text(before)} → {json_text(after)}")


def _style(line: str) -> str:
    return next((style for start, style in STYLES.items() if line.startswith(start)), "")
