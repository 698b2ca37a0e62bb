"""`lineage status`: what each destination of lineage events has been given, and what it is still owed.

`lineage show` and `lineage failure` are in `traces`.
"""

from __future__ import annotations

from typing import Any

import typer

from recant.cli import traces
from recant.cli.flags import JsonFlag, with_flag_groups
from recant.cli.output import Output
from recant.cli.services import settings

app = typer.Typer(help="Lineage: what was built on what, and its events.")


@app.callback()
def _lineage() -> None:
    """What was built on what, and where lineage events are delivered."""


@app.command("status")
def status(json: JsonFlag = False) -> None:
    """How many events each destination has, is owed, and will never take."""
    import recant
    from recant.lineage import lineage_status

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found = lineage_status(kb.database)
    if json:
        output.document({"destinations": found})
    elif found:
        output.table(["destination", "delivered#", "pending#", "dead#", "oldest", "last error"], [*map(_row, found)])
    else:
        output.print("No destination yet: `recant up` starts the relay, which makes its destinations known.")


app.command("show")(with_flag_groups(traces.show))
app.command("failure")(with_flag_groups(traces.failure))


def _row(destination: dict[str, Any]) -> list[object]:
    oldest = destination["oldest_pending_seconds"]
    waiting = None if oldest is None else f"{oldest:.0f} s"
    counts = (destination[name] for name in ("delivered", "pending", "dead"))
    return [destination["destination"], *counts, waiting, destination["last_error"]]
