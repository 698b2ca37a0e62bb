"""The commands of `recant lineage`: `traces` shows what was built on what, `deliveries` says where events go."""

from __future__ import annotations

import typer

from recant.cli import deliveries, traces
from recant.cli.flags import with_flag_groups

app = typer.Typer(help="Lineage: what was built on what, and where its events are delivered.")


@app.callback()
def _lineage() -> None:
    """What was built on what, and where lineage events are delivered."""


app.command("show")(with_flag_groups(traces.show))
app.command("failure")(with_flag_groups(traces.failure))
app.command("status")(deliveries.status)
app.command("replay")(deliveries.replay)
app.command("export")(deliveries.export)
