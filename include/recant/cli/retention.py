"""`retention`: how long what a collection holds of one class is kept. What goes by it is `reclaim`'s."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from recant.cli.flags import CollectionFlag, JsonFlag, with_flag_groups
from recant.cli.output import Output
from recant.cli.services import settings
from recant.cli.undo import Undoing

if TYPE_CHECKING:
    from recant.storage import RetentionChange

app = typer.Typer(no_args_is_help=True, help="Say how long history is kept, and when documents expire, by class.")
ClassFlag = Annotated[
    str,
    typer.Option(
        "--class",
        metavar="CLASS",
        help="public, internal or confidential: the documents' attribute `classification`. Default: all without a rule of their own.",
    ),
]


def list_rules(
    collection: Annotated[
        str | None, typer.Option("--collection", metavar="NAME", help="Only of this collection. Default: of all.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """List the retention rules."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found, days = kb.storage.retention.rules(collection), kb.settings.retention_days
    if json:
        output.document({"rules": [rule.to_dict() for rule in found], "installation_days": days})
        return
    if found:
        rows = [
            [r.collection, r.classification or "all others", _days(r.history_days), _days(r.expire_days), r.agent, r.operation_id]
            for r in found
        ]  # fmt: skip
        output.table(["collection", "class", "history", "expire after", "by", "op#"], rows)
    rest = "kept for ever" if days is None else f"reclaimed {days} days after it was last seen"
    output.print(f"What no rule covers is {rest} (RECANT_RETENTION_DAYS).")


def set_rule(
    undoing: Undoing,
    history_days: Annotated[
        int | None, typer.Option(metavar="DAYS", help="What was last seen so long ago is reclaimed.")
    ] = None,
    expire_days: Annotated[
        int | None, typer.Option(metavar="DAYS", help="What was published so long ago, and not since, is retired.")
    ] = None,
    classification: ClassFlag = "",
    collection: CollectionFlag = None,
    json: JsonFlag = False,
) -> None:
    """Set the rule of a class, from the next reclaim on. A rollback of it brings the rule before it back."""
    import recant
    from recant.storage import RetentionRule

    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(agent=undoing.by, message=undoing.message)
        rule = RetentionRule(classification, history_days, expire_days)
        _tell(Output(json), kb.storage.retention.set(rule, who, collection=collection))


def unset_rule(
    undoing: Undoing, classification: ClassFlag = "", collection: CollectionFlag = None, json: JsonFlag = False
) -> None:
    """Take a rule away, from the next reclaim on."""
    import recant

    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(agent=undoing.by, message=undoing.message)
        _tell(Output(json), kb.storage.retention.unset(classification, who, collection=collection))


def _tell(output: Output, change: RetentionChange) -> None:
    if output.as_json:
        output.document(change.to_dict())
        return
    became = "taken away" if change.removed else "set"
    named = f"{change.collection}, {change.classification or 'all others'}"
    output.print(f"Operation {change.operation_id}, position {change.position}: the rule of {named} is {became}.")


def _days(days: int | None) -> str:
    return "-" if days is None else f"{days} d"


COMMANDS: dict[str, Callable[..., None]] = {"list": list_rules, "set": set_rule, "unset": unset_rule}
for name, command in COMMANDS.items():
    app.command(name)(with_flag_groups(command))
