"""The commands of `recant lineage`; what they do is in `deliveries`."""

from __future__ import annotations

import typer

from recant.cli import deliveries

app = typer.Typer(help="Lineage: its events, and where they are delivered.")


@app.callback()
def _lineage() -> None:
    """Lineage: its events, and where they are delivered."""


app.command("status")(deliveries.status)
app.command("replay")(deliveries.replay)
app.command("export")(deliveries.export)
