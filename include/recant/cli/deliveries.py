"""`lineage status`, `lineage replay`, `lineage export`: what each destination of lineage events has had and is owed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from recant.cli.flags import JsonFlag
from recant.cli.output import Output
from recant.cli.services import settings
from recant.errors import UsageError

SHOWN_DEAD = 20
OperationFlag = Annotated[int | None, typer.Option(metavar="ID", help="Of this operation only.")]
RunFlag = Annotated[
    str | None, typer.Option(metavar="ID", help="Of this run only: as its writer calls it, or OpenLineage's id.")
]


def status(json: JsonFlag = False) -> None:
    """How many events each destination has, is owed, and will never take; since when, and why."""
    import recant

    output, configuration = Output(json), settings()
    with recant.connect(settings=configuration) as kb:
        found, running, dead = kb.deliveries.status(), kb.deliveries.relay_runs(), kb.deliveries.dead(limit=SHOWN_DEAD)
    if json:
        output.document({"relay": {"running": running}, "destinations": found, "dead": dead})
        return
    if not found:
        output.print("No destination yet: `recant up` starts the relay, which makes its destinations known.")
        return
    columns = ["destination", "at", "delivered#", "pending#", "failing#", "dead#", "oldest", "last error"]
    output.table(columns, [*map(_row, found)])
    if dead:
        columns = ["event#", "of operation#", "type", "destination", "attempts#", "set aside because"]
        output.table(columns, [*map(_dead_row, dead)], title="Never taken")
    if not running:
        output.print("The relay isn't running: events wait. `recant up` starts it.")
    if not any(str(row["destination"]).startswith("marquez") and row["attached"] for row in found):
        output.print(
            "No Marquez is attached: set MARQUEZ_URL, or `recant up --marquez-jar FILE`. It will be given the whole history."
        )


def replay(
    dead: Annotated[bool, typer.Option("--dead", help="What was set aside as never taken.")] = False,
    operation: OperationFlag = None,
    run: RunFlag = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole history.")] = False,
    to: Annotated[str | None, typer.Option(metavar="NAME", help="To this destination only. Default: to each.")] = None,
    json: JsonFlag = False,
) -> None:
    """Have events delivered once more. Receivers know those that they had by run and type."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        owed = kb.deliveries.replay(destination=to, dead=dead, operation=operation, run=run, everything=everything)
    if json:
        output.document({"owed": owed})
    elif owed:
        output.print("Owed anew: " + ", ".join(f"{number:,} events to {name}" for name, number in owed.items()) + ".")
    else:
        output.print("No such events.")


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; `-` is standard output.")],
    operation: OperationFlag = None,
    run: RunFlag = None,
    json: JsonFlag = False,
) -> None:
    """Write events as lines of JSON, as a destination would be sent them. Nothing is noted as delivered."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        lines = kb.deliveries.export(operation=operation, run=run)
        if str(file) == "-":
            for line in lines:
                sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            return
        try:
            with file.open("xb") as target:
                number = sum(bool(target.write(line)) for line in lines)
        except OSError as error:
            raise UsageError(f"{file} can't be written: {error.strerror}") from error
    if json:
        output.document({"events": number, "file": str(file)})
    else:
        output.print(f"{number:,} events in {file}.")


def _row(destination: dict[str, Any]) -> list[object]:
    oldest = destination["oldest_pending_seconds"]
    waiting = None if oldest is None else f"{oldest:.0f} s"
    where = destination["address"] or ""
    counts = (destination[name] for name in ("delivered", "pending", "failing", "dead"))
    at = where if destination["attached"] else f"{where} (detached)".strip()
    return [destination["destination"], at, *counts, waiting, destination["last_error"]]


def _dead_row(event: dict[str, Any]) -> list[object]:
    return [event[name] for name in ("event_id", "operation_id", "event_type", "destination", "attempts", "error")]
