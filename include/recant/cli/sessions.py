"""`session open|limit|list|show|merge|discard`: work that only its session sees, until all of it is published, or none."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recant.cli.flags import JsonFlag, duration
from recant.cli.output import Output, amounts, local_time
from recant.cli.services import settings
from recant.cli.times import DURATION_HELP
from recant.errors import UsageError

if TYPE_CHECKING:
    from recant.oplog import Operation
    from recant.sessions import Session, SessionDetail, SessionReport

app = typer.Typer(help="Work that only its session sees, until it is merged or discarded.")


class Liftable(StrEnum):
    """A limit that a session may have."""

    RECORDS = "records"
    OPERATIONS = "operations"
    TIME = "time"

    @property
    def limit(self) -> str:
        """Its name in Python."""
        return "expires_in" if self is Liftable.TIME else f"max_{self.value}"


Name = Annotated[str, typer.Argument(metavar="NAME", help="The session.")]


@app.command("open")
def open_(
    name: Name,
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who opens it. Default: RECANT_AGENT, or the login name.")
    ] = None,
    explore: Annotated[bool, typer.Option("--explore", help="Hold its ingests until it is merged.")] = False,
    max_records: Annotated[
        int | None, typer.Option(metavar="N", help="It may write or remove so many records.", show_default=False)
    ] = None,
    max_operations: Annotated[
        int | None, typer.Option(metavar="N", help="It may write so many operations.", show_default=False)
    ] = None,
    expires_in: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="DURATION", help=f"It may write for so long: {DURATION_HELP}."),
    ] = None,
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="What it is for.", show_default=False)
    ] = "",
    json: JsonFlag = False,
) -> None:
    """Open a session, with limits on what it may write. (Without limits none needs opening: name it when you write.)"""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        opened = kb.sessions.open(
            name,
            agent=kb.settings.agent if agent is None else agent,
            explore=explore,
            max_records=max_records,
            max_operations=max_operations,
            expires_in=expires_in,
            message=message,
        )
    if json:
        output.document(opened.to_dict())
    else:
        limits = ", ".join(_limits(opened)) or "no limits"
        output.print(f'Session "{opened.name}" is open ({opened.mode}): {limits}.')


@app.command("limit")
def limit(
    name: Name,
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who changes it. Default: RECANT_AGENT, or the login name.")
    ] = None,
    max_records: Annotated[
        int | None, typer.Option(metavar="N", help="It may write or remove so many records.", show_default=False)
    ] = None,
    max_operations: Annotated[
        int | None, typer.Option(metavar="N", help="It may write so many operations.", show_default=False)
    ] = None,
    expires_in: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="DURATION", help="It may write for so long from now on, as 2h or 7d."),
    ] = None,
    lift: Annotated[
        list[Liftable] | None, typer.Option("--no-limit", help="It has no such limit any more.", show_default=False)
    ] = None,
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Why.", show_default=False)] = "",
    json: JsonFlag = False,
) -> None:
    """Give an open session other limits, from its next write on. Who did it stays with the session."""
    import recant

    output = Output(json)
    asked = {"max_records": max_records, "max_operations": max_operations, "expires_in": expires_in}
    limits: dict[str, int | timedelta | None] = {key: value for key, value in asked.items() if value is not None}
    limits |= {kind.limit: None for kind in lift or ()}
    with recant.connect(settings=settings()) as kb:
        changed = kb.sessions.limit(name, agent=agent or kb.settings.agent, message=message, **limits)
    if json:
        output.document(changed.to_dict())
    else:
        output.print(f'Session "{changed.name}" has now: {", ".join(_limits(changed)) or "no limits"}.')


@app.command("list")
def list_(
    closed: Annotated[bool, typer.Option("--all", help="Also those that are over, or hold nothing open.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
    json: JsonFlag = False,
) -> None:
    """List the sessions that are open or hold something open, the latest first."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found = kb.sessions.list(closed=closed, limit=limit)
    if json:
        output.document({"sessions": [session.to_dict() for session in found]})
    elif found:
        columns = ["session", "state", "mode", "agents", "open#", "records#", "age", "first lease until", "limits used"]
        output.table(columns, [_row(session) for session in found])
    else:
        output.print("No session." if closed else "No session is open: --all lists those that are over.")


@app.command("show")
def show(
    name: Name,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many operations.")] = 50,
    json: JsonFlag = False,
) -> None:
    """Show a session's operations, what a merge would publish, and what stands in its way."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found = kb.sessions.get(name, limit=limit)
    if json:
        output.document(found.to_dict())
    else:
        _show(output, found)


@app.command("merge")
def merge(name: Name, json: JsonFlag = False) -> None:
    """Publish all of a session's open operations, or none, and close it."""
    import recant

    with recant.connect(settings=settings()) as kb:
        report = kb.sessions.merge(name)
    _report(Output(json), report)


@app.command("discard")
def discard(
    name: Name,
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="Why, for the log.", show_default=False)
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    json: JsonFlag = False,
) -> None:
    """Abort all of a session's open operations, and close it. What it has published stays."""
    import recant

    if not (yes or sys.stdin.isatty()):
        raise UsageError("There is no terminal to confirm on: add --yes.")
    with recant.connect(settings=settings()) as kb:
        if not yes:
            _confirm(kb.sessions.get(name))
        report = kb.sessions.discard(name, reason=message)
    _report(Output(json), report)


def _confirm(found: SessionDetail) -> None:
    _show(Output(stream=sys.stderr), found)
    count = len(found.would_publish)
    if count and not typer.confirm(f"Abort {count} operation{'s' if count != 1 else ''}?", err=True):
        raise UsageError("Not confirmed: nothing was changed.")


def _report(output: Output, report: SessionReport) -> None:
    if output.as_json:
        output.document(report.to_dict())
        return
    output.print(report.message)
    if report.published:
        output.table(["op#", "position#"], report.published)


def _show(output: Output, found: SessionDetail) -> None:
    session = found.session
    facts: dict[str, object] = {
        "state": session.state,
        "mode": session.mode,
        "opened by": session.agent,
        "agents": ", ".join(session.agents),
        "message": session.message,
        "opened at": local_time(session.opened_at),
        "closed at": local_time(session.closed_at),
        "limits used": ", ".join(_limits(session)),
        "records": session.records,
        "a merge publishes": ", ".join(map(str, found.would_publish)) or "nothing",
    }
    rows = [[name, value] for name, value in facts.items() if value not in (None, "")]
    output.table(["", f"session {session.name}"], rows)
    if found.history:
        columns = ["op#", "position#", "state", "kind", "agent", "when", "lease until", "what"]
        output.table(columns, [_operation(operation) for operation in found.history], title="operations")
    if found.changes:
        changes = [[c["agent"], local_time(c["changed_at"]), _changed(c), c["message"]] for c in found.changes]
        output.table(["by", "when", "limit", "why"], changes, title="limits changed")
    if found.obstacles:
        obstacles = [[o.operation_id, o.obstacle.replace("_", " "), o.message] for o in found.obstacles]
        output.table(["op#", "", "what stands in the way of a merge"], obstacles)


def _changed(change: Mapping[str, Any]) -> str:
    before, after = change["before"], change["after"]
    return ", ".join(f"{name} {before[name]} → {after[name]}" for name in after if after[name] != before[name])


def _row(session: Session) -> list[object]:
    who = ", ".join(session.agents) or session.agent
    lease = local_time(session.lease_until)
    numbers = [session.open_operations, session.records, _age(session.opened_at), lease]
    return [session.name, session.state, session.mode, who, *numbers, ", ".join(_limits(session))]


def _limits(session: Session) -> Iterator[str]:
    if session.max_records is not None:
        yield f"{session.records:,} of {session.max_records:,} records"
    if session.max_operations is not None:
        yield f"{session.operations:,} of {session.max_operations:,} operations"
    if session.expires_at is not None:
        yield f"until {local_time(session.expires_at)}"


def _operation(operation: Operation) -> list[object]:
    when = local_time(operation.published_at or operation.opened_at)
    lease = local_time(operation.lease_until) + (" (ran out)" if operation.lease_expired else "")
    what = "; ".join(text for text in (operation.message, operation.reason, amounts(operation.counts)) if text)
    ids = [operation.operation_id, operation.position]
    return [*ids, "held" if operation.held else operation.state, operation.kind, operation.agent, when, lease, what]


def _age(opened_at: datetime | None) -> str:
    if opened_at is None:
        return ""
    minutes = max(0, int((datetime.now(opened_at.tzinfo) - opened_at).total_seconds())) // 60
    days, hours = divmod(minutes // 60, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
