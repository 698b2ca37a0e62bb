"""`quarantine`, `release`, `restore`: setting operations aside at once, and a collection as it was."""

from __future__ import annotations

from typing import Annotated

import typer

from recant.cli.flags import JsonFlag
from recant.cli.moments import HELP as MOMENT_HELP
from recant.cli.moments import METAVAR, note_zone
from recant.cli.output import Output
from recant.cli.selectors import Selection
from recant.cli.services import settings
from recant.cli.undo import Undoing, print_report, remark


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
    to: Annotated[str, typer.Option(metavar=METAVAR, help=MOMENT_HELP)],
    collection: Annotated[str | None, typer.Option(metavar="NAME", help="Default: RECANT_COLLECTION.")] = None,
    json: JsonFlag = False,
) -> None:
    """Make a collection look as it did then. Later work is hidden, not lost: `recant redo` brings it back."""
    import recant

    output = Output(json)
    note_zone(output, "--to", to)
    with recant.connect(settings=settings()) as kb:
        report = kb.restore(to, collection=collection, agent=undoing.by, message=undoing.message)
    print_report(output, report)
