"""Which operations: the selector flags, the same in every command."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from recant.cli.times import HELP as TIME_HELP
from recant.cli.times import Zoneless, parse_time
from recant.errors import EmptySelector

if TYPE_CHECKING:
    from recant.oplog import Selector

PANEL = "Which operations (each flag narrows, the same flag again widens)"
FLAGS = "--operation --run --agent --session --kind --source --document --touching --collection --since --until --positions --all"


def _time(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@dataclass(frozen=True, slots=True)
class Positions:
    """A range of positions, both ends included; None: from the first, or to the last."""

    first: int | None
    last: int | None


def _positions(text: str) -> Positions:
    first, dots, last = text.partition("..")
    ends = [int(end) if end.isdecimal() and end.isascii() else None for end in (first, last or ("" if dots else first))]
    if not text.strip(".") or any(end is None and part for end, part in zip(ends, (first, last), strict=True)):
        raise typer.BadParameter(
            f"{text!r} is no range of positions: 10..20, 10.. and ..20 are, and 10 for one of them"
        )
    return Positions(*ends)


def _named(sources: list[str] | None) -> tuple[str, ...]:
    """Paths and addresses as documents are named."""
    if not sources:
        return ()
    from recant.ingestion.origin import named_source

    return tuple(map(named_source, sources))


@dataclass(frozen=True, slots=True)
class Selection:
    """The selector flags as they were given."""

    operation: Annotated[list[int] | None, typer.Option(help="Operation id.", metavar="OP", rich_help_panel=PANEL)] = (
        None
    )
    run: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Run id: Airflow's or OpenLineage's.", rich_help_panel=PANEL)
    ] = None
    agent: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Who wrote.", rich_help_panel=PANEL)] = None
    session: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Session written in.", rich_help_panel=PANEL)
    ] = None
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Kind of operation, ingest for one.", rich_help_panel=PANEL)
    ] = None
    source: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="This document alone, by source.", rich_help_panel=PANEL),
    ] = None
    document: Annotated[
        list[int] | None,
        typer.Option(metavar="ID", help="The same by the document id of a hit.", rich_help_panel=PANEL),
    ] = None
    touching: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE", help="All that wrote that document or built on it, whole.", rich_help_panel=PANEL
        ),
    ] = None
    collection: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Collection written.", rich_help_panel=PANEL)
    ] = None
    since: Annotated[
        datetime | None,
        typer.Option(parser=_time, metavar="TIME", help=f"Published then or later: {TIME_HELP}", rich_help_panel=PANEL),
    ] = None
    until: Annotated[
        datetime | None,
        typer.Option(parser=_time, metavar="TIME", help="Published before then.", rich_help_panel=PANEL),
    ] = None
    positions: Annotated[
        Positions | None,
        typer.Option(
            parser=_positions,
            metavar="FIRST..LAST",
            help="Published at these positions.",
            rich_help_panel=PANEL,
        ),
    ] = None
    all: Annotated[
        bool, typer.Option("--all", help="Everything ever published (of the collection named).", rich_help_panel=PANEL)
    ] = False

    def selector(self) -> Selector:
        """What the library is asked with. Raises UsageError when `since` is not before `until`."""
        from recant.oplog import Selector

        return Selector(
            operations=tuple(self.operation or ()),
            runs=tuple(self.run or ()),
            agents=tuple(self.agent or ()),
            sessions=tuple(self.session or ()),
            kinds=tuple(self.kind or ()),
            sources=_named(self.source),
            collections=tuple(self.collection or ()),
            since=self.since,
            until=self.until,
            documents=tuple(self.document or ()),
            touching=_named(self.touching),
            first_position=self.positions.first if self.positions else None,
            last_position=self.positions.last if self.positions else None,
            everything=self.all,
        )

    def required(self) -> Selector:
        """The same; raises EmptySelector when no flag was given."""
        selector = self.selector()
        if selector.is_empty:
            raise EmptySelector(f"Say which operations, with one or more of {FLAGS}: no flag never means all of them.")
        return selector

    @property
    def zoneless(self) -> list[str]:
        """What to say about times that were given without a zone."""
        times = {"--since": self.since, "--until": self.until}
        return [f"{flag}: taken as {t.isoformat()} (UTC)" for flag, t in times.items() if isinstance(t, Zoneless)]
