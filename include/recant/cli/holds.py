"""`quarantine`, `release`, `restore`: setting operations aside at once, and a collection as it was."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from recant.cli.flags import JsonFlag
from recant.cli.output import Output
from recant.cli.selectors import Selection
from recant.cli.services import settings
from recant.cli.times import HELP as TIME_HELP
from recant.cli.times import Zoneless, parse_time
from recant.cli.undo import Undoing, print_report, remark
from recant.errors import UsageError


def quarantine(selection: Selection, undoing: Undoing, json: JsonFlag = False) -> None:
    """Hide operations at once, pending a decision. Nothing is asked; a release shows them again."""
    import recant

    output, selector = Output(json), selection.required()
    remark(output, selection)
    with recant.connect(settings=settings()) as kb:
        report = kb.quarantine(selector, agent=undoing.by, message=undoing.message)
    print_report(output, report)


def release(
    selection: Selection,
    undoing: Undoing,
    force: Annotated[bool, typer.Option("--force", help="Even where others wrote over it in the meantime.")] = False,
    json: JsonFlag = False,
) -> None:
    """Show quarantined operations again, where they were."""
    import recant

    output, selector = Output(json), selection.required()
    remark(output, selection)
    with recant.connect(settings=settings()) as kb:
        report = kb.release(selector, force=force, agent=undoing.by, message=undoing.message)
    print_report(output, report)


def restore(
    undoing: Undoing,
    to: Annotated[str, typer.Option(metavar="POSITION|TIME", help=f"A position, or a time: {TIME_HELP}")],
    collection: Annotated[str | None, typer.Option(metavar="NAME", help="Default: RECANT_COLLECTION.")] = None,
    json: JsonFlag = False,
) -> None:
    """Make a collection look as it did then. Later work is hidden, not lost: `recant redo` brings it back."""
    import recant

    output, then = Output(json), _moment(to)
    if isinstance(then, Zoneless):
        output.note(f"--to: taken as {then.isoformat()} (UTC)")
    with recant.connect(settings=settings()) as kb:
        position = then if isinstance(then, int) else kb.operations.position_at(then)
        report = kb.restore(position, collection=collection, agent=undoing.by, message=undoing.message)
    print_report(output, report)


def _moment(text: str) -> int | datetime:
    if text.lstrip("-").isdecimal():
        return int(text)
    try:
        found = parse_time(text)
    except ValueError as error:
        raise UsageError(f"--to {text!r} is neither a position nor a time: {error}") from error
    return found
