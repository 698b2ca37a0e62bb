"""`quality …`: a chunk's score with its parts, recalculating, policies and pins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from recant.cli.flags import CollectionFlag, JsonFlag, duration, with_flag_groups
from recant.cli.output import Output, local_time
from recant.cli.services import settings
from recant.cli.times import parse_time
from recant.cli.undo import Undoing
from recant.errors import UsageError

if TYPE_CHECKING:
    from recant.scores import RuleChange

DAY = timedelta(days=1)
app = typer.Typer(no_args_is_help=True, help="Quality scores: what feedback, use and age make of what is found.")
policy_app = typer.Typer(no_args_is_help=True, help="How documents age.")
DocTypeFlag = Annotated[
    str,
    typer.Option("--doc-type", metavar="TYPE", help="Only documents of this doc_type. Default: all without their own."),
]
SourceArgument = Annotated[str, typer.Argument(metavar="SOURCE", help="A document's source, as searches show it.")]


def show(
    chunk: Annotated[int, typer.Argument(metavar="CHUNK_ID", help="A hit's `chunk_id`, as `search --json` shows it.")],
    json: JsonFlag = False,
) -> None:
    """Show a chunk's score, what it is made of, and who said what."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        score = kb.quality.show(chunk)
    if json:
        output.document(score.to_dict())
        return
    parts = [["base", f"{score.base:.1f}"]]
    parts += [[name, f"{getattr(score, name):+.1f}"] for name in ("feedback", "access", "freshness")]
    output.table(["part", "points#"], parts, title=f"{score.source}, chunk {score.chunk_index}: {score.score:.1f}")
    if score.words:
        rows = [[word["given_by"], word["verdict"], word["operation_id"]] for word in score.words]
        output.table(["agent", "last word", "op#"], rows)
    if score.pinned:
        output.print("It is pinned at that score.")
    if score.holds_at:
        output.print(f"Access and freshness as of {local_time(score.holds_at)} (operation {score.recalculation}).")


def recalculate(
    undoing: Undoing,
    collection: CollectionFlag = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="The time that scores are to hold for. Default: now.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Work out the scores of a collection anew: age, accesses, policies. Writes those that changed, as one operation."""
    import recant

    output = Output(json)
    try:
        moment = None if at is None else parse_time(at)
    except ValueError as error:
        raise UsageError(f"--at {at!r}: {error}") from error
    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(agent=undoing.by, message=undoing.message)
        done = kb.quality.recalculate(who, collection=collection, at=moment)
    if json:
        output.document(done.to_dict())
    else:
        counted = f"{done.changed:,} scores changed, {done.scored:,} chunks aren't neutral"
        output.print(f"Operation {done.operation_id}, position {done.position}: {counted}, after {done.seconds:.1f} s.")


def check(collection: CollectionFlag = None, json: JsonFlag = False) -> None:
    """Compare the stored scores with those worked out from the log. Changes nothing; ends with 1 where they differ."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        wrong = kb.quality.check(collection)
    if json:
        rows = [{"chunk_id": w.chunk_id, "stored": w.stored, "expected": w.expected} for w in wrong]
        output.document({"ok": not wrong, "disagreements": rows})
    elif wrong:
        output.table(["chunk#", "stored#", "expected#"], [[w.chunk_id, w.stored, w.expected] for w in wrong])
    else:
        output.print("Every score is what the log says.")
    if wrong:
        raise typer.Exit(1)


def list_pins(collection: CollectionFlag = None, json: JsonFlag = False) -> None:
    """List what is pinned."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        pins = kb.quality.pins(collection)
    if json:
        output.document({"pins": [pin.to_dict() for pin in pins]})
    elif pins:
        rows = [
            [p.source, "doesn't age" if p.score is None else f"{p.score:.1f}", p.agent, p.operation_id] for p in pins
        ]
        output.table(["document", "score", "by", "op#"], rows)
    else:
        output.print("Nothing is pinned.")


def pin(
    source: SourceArgument,
    undoing: Undoing,
    score: Annotated[
        float | None, typer.Option(min=0, max=100, help="Keep it at this score, whatever its readers say.")
    ] = None,
    collection: CollectionFlag = None,
    json: JsonFlag = False,
) -> None:
    """Keep a document from ageing, in all of its versions."""
    import recant

    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(agent=undoing.by, message=undoing.message)
        _tell(Output(json), kb.quality.pin(source, who, score=score, collection=collection))


def unpin(source: SourceArgument, undoing: Undoing, collection: CollectionFlag = None, json: JsonFlag = False) -> None:
    """Let a document age again, and its readers decide."""
    import recant

    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(agent=undoing.by, message=undoing.message)
        _tell(Output(json), kb.quality.unpin(source, who, collection=collection))


def list_policies(collection: CollectionFlag = None, json: JsonFlag = False) -> None:
    """List how documents age."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found = kb.quality.policies(collection)
    if json:
        output.document({"policies": [policy.to_dict() for policy in found]})
    elif found:
        rows = [
            [
                p.doc_type or "all others",
                _days(p.half_life_days),
                f"{p.grace_days:g} d",
                f"{p.floor:g}",
                p.agent,
                p.operation_id,
            ]
            for p in found
        ]
        output.table(["doc_type", "half-life", "grace", "floor#", "by", "op#"], rows)
    else:
        output.print("There is no policy: nothing ages.")


def set_policy(
    undoing: Undoing,
    half_life: Annotated[
        timedelta | None,
        typer.Option(
            parser=duration, metavar="DURATION", help="What is left above the floor halves in this time: 180d."
        ),
    ] = None,
    never: Annotated[bool, typer.Option("--never", help="They don't age.")] = False,
    grace: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="DURATION", help="Before they begin to age. Default: none."),
    ] = None,
    floor: Annotated[float, typer.Option(min=0, max=50, help="The score that age alone comes to in the end.")] = 25.0,
    doc_type: DocTypeFlag = "",
    collection: CollectionFlag = None,
    json: JsonFlag = False,
) -> None:
    """Say how documents of a collection age, from the next recalculation on."""
    import recant
    from recant.scores import Policy

    if (half_life is None) != never:
        raise UsageError("Give either --half-life DURATION or --never.")
    days = None if half_life is None else half_life / DAY
    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(agent=undoing.by, message=undoing.message)
        policy = Policy(doc_type, days, (grace or timedelta(0)) / DAY, floor)
        _tell(Output(json), kb.quality.set_policy(policy, who, collection=collection))


def unset_policy(
    undoing: Undoing, doc_type: DocTypeFlag = "", collection: CollectionFlag = None, json: JsonFlag = False
) -> None:
    """Take a policy away, from the next recalculation on."""
    import recant

    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(agent=undoing.by, message=undoing.message)
        _tell(Output(json), kb.quality.unset_policy(doc_type, who, collection=collection))


def _tell(output: Output, change: RuleChange) -> None:
    if output.as_json:
        output.document(change.to_dict())
        return
    named = change.key or "all others"
    became = "taken away" if change.removed else "set"
    output.print(f"Operation {change.operation_id}, position {change.position}: {change.what} of {named} {became}.")


def _days(days: float | None) -> str:
    return "never" if days is None else f"{days:g} d"


COMMANDS: dict[str, Callable[..., None]] = {
    "show": show, "recalculate": recalculate, "check": check, "pin": pin, "unpin": unpin, "pins": list_pins,
}  # fmt: skip
POLICY_COMMANDS: dict[str, Callable[..., None]] = {"list": list_policies, "set": set_policy, "unset": unset_policy}
for name, command in COMMANDS.items():
    app.command(name)(with_flag_groups(command))
for name, command in POLICY_COMMANDS.items():
    policy_app.command(name)(with_flag_groups(command))
app.add_typer(policy_app, name="policy")
