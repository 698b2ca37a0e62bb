"""`log` and `show`: what was written, by whom, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recant.cli.flags import JsonFlag
from recant.cli.output import Output, amounts, local_time
from recant.cli.selectors import Selection
from recant.cli.services import settings

if TYPE_CHECKING:
    from recant.oplog import Operation

EXPECTATION = ("severity", "name", "checked", "unexpected", "description")


def log(
    selection: Selection,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
    json: JsonFlag = False,
) -> None:
    """List operations, newest first."""
    import recant

    output = Output(json)
    for remark in selection.zoneless:
        output.note(remark)
    with recant.connect(settings=settings()) as kb:
        operations = kb.log(selection.selector(), limit=limit)
    if json:
        output.document({"operations": [operation.to_dict() for operation in operations]})
    elif operations:
        columns = ["op#", "position#", "state", "kind", "agent", "session", "run", "when", "what"]
        output.table(columns, [_log_row(operation) for operation in operations])
    else:
        output.print("No such operation.")


def show(
    operation: Annotated[int, typer.Argument(metavar="OP", help="Operation id.")],
    json: JsonFlag = False,
) -> None:
    """Everything known of one operation: counts, what was left out and why, quality, verdicts about it."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found = kb.show(operation)
    if json:
        output.document(found)
    else:
        _show(output, found)


def _log_row(operation: Operation) -> list[object]:
    when = local_time(operation.published_at or operation.opened_at)
    told = [operation.message, operation.reason, _lease(operation), amounts(operation.counts)]
    who = [operation.agent, operation.session, operation.run_id]
    what = "; ".join(text for text in told if text)
    return [operation.operation_id, operation.position, operation.state, operation.kind, *who, when, what]


def _lease(operation: Operation) -> str:
    if operation.lease_until is None:
        return ""
    until = local_time(operation.lease_until)
    if operation.lease_expired:
        return f"lease ran out {until}"
    return f"held until {until}" if operation.held else f"lease until {until}"


def _show(output: Output, found: Mapping[str, Any]) -> None:
    facts = [[_label(name), _fact(name, value)] for name, value in found.items() if _is_fact(value)]
    output.table(["", f"operation {found['operation_id']}"], facts)
    for name, rows in found.items():
        if isinstance(rows, list) and rows:
            _show_rows(output, _label(name), _expectations(rows) if name == "quality_checks" else rows)


def _show_rows(output: Output, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_fact(key, row.get(key)) for key in columns] for row in rows]
    output.table([_label(column) for column in columns], cells, title=title)


def _expectations(checks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each expectation of each check, instead of one long result."""
    return [
        {"held": expectation["success"], **{name: expectation.get(name) for name in EXPECTATION}}
        for check in checks
        for expectation in check["result"].get("expectations", [])
    ]


def _label(name: str) -> str:
    return name.replace("_", " ")


def _is_fact(value: object) -> bool:
    return value not in (None, "", [], {}) and value is not False and not isinstance(value, list)


def _fact(name: str, value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith(("_at", "_until")) and isinstance(value, str):
        return local_time(value)
    if name == "counts" and isinstance(value, Mapping):
        return amounts(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(key)}: {_fact(key, item)}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else value
