"""`tag`, `erase`, `reclaim`: what is kept whatever happens, what is destroyed for good, and what makes room."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recant.cli.flags import CollectionFlag, JsonFlag, with_flag_groups
from recant.cli.moments import HELP as MOMENT_HELP
from recant.cli.moments import METAVAR, note_zone
from recant.cli.output import Output, local_time
from recant.cli.services import settings
from recant.cli.undo import Undoing
from recant.errors import UsageError

if TYPE_CHECKING:
    from recant.storage import Erasure

tag_commands = typer.Typer(no_args_is_help=True, help="Name positions of the log, and so keep what was seen there.")
TagName = Annotated[str, typer.Argument(metavar="NAME", help="Begins with a letter.")]


def tag_add(
    name: TagName,
    undoing: Undoing,
    at: Annotated[str | None, typer.Option(metavar=METAVAR, help=f"Default: now. {MOMENT_HELP}")] = None,
    json: JsonFlag = False,
) -> None:
    """Name a position. What was seen there is kept for as long as the tag stands."""
    import recant

    output = Output(json)
    note_zone(output, "--at", at)
    with recant.connect(settings=settings()) as kb:
        tag = kb.storage.tag(name, at, by=undoing.by, message=undoing.message)
    if json:
        output.document(tag.to_dict())
    else:
        output.print(f"{tag.name} is position {tag.position:,}.")


def tag_list(json: JsonFlag = False) -> None:
    """List the tags, and the horizon."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        tags, horizon = kb.storage.tags(), kb.storage.horizon()
    if json:
        output.document({"tags": [tag.to_dict() for tag in tags], "horizon": horizon.to_dict()})
        return
    if tags:
        rows = [[t.name, t.position, t.created_by, local_time(t.created_at), t.message] for t in tags]
        output.table(["tag", "position#", "by", "when", "message"], rows)
    else:
        output.print("No tag yet: `recant tag add NAME` makes one.")
    if horizon.position:
        output.print(f"Positions before {horizon.position:,} were reclaimed, except those that are tagged.")


def tag_remove(name: TagName, json: JsonFlag = False) -> None:
    """Take a name away. What only it kept can be reclaimed then."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        kb.storage.untag(name)
    if json:
        output.document({"name": name, "removed": True})
    else:
        output.print(f"{name} is no tag any more.")


def erase(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The document's source, as searches show it.")],
    undoing: Undoing,
    collection: CollectionFlag = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    json: JsonFlag = False,
) -> None:
    """Destroy a document for good: every version of it, at every position. Nothing brings it back."""
    import recant
    from recant.ingestion.origin import named_source

    output, source = Output(json), named_source(source)
    if not undoing.message.strip():
        raise UsageError("Say why: --message TEXT. An erasure can't be undone, and the reason is all that stays of it.")
    if not (yes or sys.stdin.isatty()):
        raise UsageError("There is no terminal to confirm on: add --yes.")
    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(agent=undoing.by, message=undoing.message)
        if not yes:
            _confirm(source, collection or kb.settings.collection)
        erasure = kb.storage.erase(source, who, collection=collection)
    _print_erasure(output, erasure)


def reclaim(
    undoing: Undoing,
    older_than: Annotated[
        int | None,
        typer.Option(
            metavar="DAYS", min=0, help="Free what was last seen so long ago. Default: RECANT_RETENTION_DAYS."
        ),
    ] = None,
    horizon: Annotated[
        str | None,
        typer.Option(metavar=METAVAR, help="Free what was last seen before: a position, a tag, or a time."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be freed.")] = False,
    expiry: Annotated[
        bool, typer.Option("--expiry/--no-expiry", help="Retire what has expired by a retention rule.")
    ] = True,
    json: JsonFlag = False,
) -> None:
    """Free the storage of what nobody can be shown any more. Positions before the horizon can't be searched then.

    What a retention rule covers goes by the rule, whatever is given here.
    """
    import recant

    output = Output(json)
    note_zone(output, "--horizon", horizon)
    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(agent=undoing.by, message=undoing.message)
        report = kb.storage.reclaim(
            who, older_than_days=older_than, horizon=horizon, dry_run=dry_run, expiry=expiry
        ).to_dict()  # fmt: skip
    if json:
        output.document(report)
    else:
        output.print(report["message"])
        _print_expired(output, report)
        _print_rules(output, report)
        _print_amounts(output, report, ("versions", "chunks", "embeddings", "orphans", "finished", "forgotten"))


COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (("add", tag_add), ("list", tag_list), ("remove", tag_remove))
for name, command in COMMANDS:
    tag_commands.command(name)(with_flag_groups(command))


def _confirm(source: str, collection: str) -> None:
    asked = f"Destroy every version of {source} in {collection}, at every position, for good?"
    if not typer.confirm(asked, err=True):
        raise UsageError("Not confirmed: nothing was changed.")


def _print_erasure(output: Output, erasure: Erasure) -> None:
    document = erasure.to_dict()
    if output.as_json:
        output.document(document)
        return
    output.print(erasure.message)
    if erasure.applied:
        _print_amounts(output, document, ("versions", "chunks", "embeddings", "shared_embeddings"))
        output.print("What stays: " + "; ".join(erasure.stays) + ".")
    if erasure.files:
        rows = [[file["artifact_id"], file["kind"], file["path"]] for file in erasure.files]
        output.table(["id#", "kind", "file"], rows, title="These files hold it still:")
        output.print(
            "`recant archive rewrite --erased` writes archives again without it, `recant export refresh --stale` exports."
        )


def _print_expired(output: Output, report: dict[str, Any]) -> None:
    rows = [
        [
            e["collection"],
            _class_of(e),
            f"{e['expire_days']} d",
            e["documents"],
            e["operation_id"] or "-",
            e["sources"][0],
        ]
        for e in report["expired"]
    ]
    if rows:
        output.table(["collection", "class", "expire after", "documents#", "op#", "the oldest"], rows, title="Expired:")


def _print_rules(output: Output, report: dict[str, Any]) -> None:
    """Why what goes does, where there are rules."""
    rows = [
        [r["collection"] or "no rule", _class_of(r), "-" if r["history_days"] is None else f"{r['history_days']} d",
         r["horizon"], r["versions"], r["chunks"]]
        for r in report["rules"]
    ]  # fmt: skip
    if len(rows) > 1:
        output.table(["collection", "class", "history", "horizon#", "versions#", "chunks#"], rows, title="By rule:")


def _class_of(rule: dict[str, Any]) -> str:
    return rule["classification"] or ("all others" if rule["collection"] else "-")


def _print_amounts(output: Output, report: dict[str, Any], names: tuple[str, ...]) -> None:
    rows = [[name.replace("_", " "), report[name]] for name in names if report[name]]
    if rows:
        output.table(["", "number#"], rows)
