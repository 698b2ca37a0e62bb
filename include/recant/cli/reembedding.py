"""`reembed build`, `compare`, `switch`, `fill`, `settle`, `drop`, `status`: another embedding model for a collection."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recant.cli.evaluation import show_comparisons
from recant.cli.flags import Authorship, CollectionFlag, JsonFlag, duration, with_flag_groups
from recant.cli.knowledge import Mode
from recant.cli.output import Output, local_time
from recant.cli.progress import counted
from recant.cli.services import settings

if TYPE_CHECKING:
    from recant.reembedding import Changeover, Filled

app = typer.Typer(no_args_is_help=True, help="Another embedding model for a collection, beside the one in use.")
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A name among RECANT_MODELS, or the path of a model's folder.")
]
MaxDropFlag = Annotated[
    float, typer.Option(min=0, max=1, metavar="N", help="How far nDCG and recall may fall on --queries.")
]


@app.command("build")
def build(model: ModelArgument, collection: CollectionFlag = None, json: JsonFlag = False) -> None:
    """Embed every text with another model, beside the one in use. Interrupted, it goes on where it stopped."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb, counted(output) as progress:
        filled = kb.reembedding.build(model, collection=collection, progress=progress)
    _tell_filled(output, filled)


@app.command("fill")
def fill(
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODEL", help="One built or used before. Default: the one in use.")
    ] = None,
    collection: CollectionFlag = None,
    json: JsonFlag = False,
) -> None:
    """Embed what texts have no vector: after a change-over that overtook an ingest, or before going back to a model."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb, counted(output) as progress:
        filled = kb.reembedding.fill(model, collection=collection, progress=progress)
    _tell_filled(output, filled)


@app.command("compare")
def compare(
    model: ModelArgument,
    queries: Annotated[
        Path, typer.Argument(metavar="QUERIES", help="Judged queries: JSONL, CSV, TREC topics, or a BEIR folder.")
    ],
    collection: CollectionFlag = None,
    mode: Annotated[Mode, typer.Option(help="How it is searched.")] = Mode.semantic,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="nDCG of the first so many documents.")] = 10,
    json: JsonFlag = False,
) -> None:
    """Measure searches by the model in use and by one that was built, on judged queries. Nothing is changed."""
    import recant
    from recant.evaluation import read_queries

    with recant.connect(settings=settings()) as kb:
        found = kb.reembedding.compare(model, read_queries(queries), collection=collection, mode=mode.value, k=k)
    show_comparisons(Output(json), [found])


def switch(
    model: ModelArgument,
    authorship: Authorship,
    collection: CollectionFlag = None,
    queries: Annotated[
        Path | None, typer.Option(metavar="QUERIES", help="Evaluate on these first; worse, and nothing is changed.")
    ] = None,
    max_drop: MaxDropFlag = 0.0,
    soak: Annotated[
        timedelta | None,
        typer.Option(
            parser=duration, metavar="TIME", help="How long the model before is kept up (7d, 12h, 0s). Default: 7d."
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Change over to another model by one operation; `recant rollback` goes back, and computes nothing."""
    import recant
    from recant.evaluation import read_queries
    from recant.reembedding import DEFAULT_SOAK

    output = Output(json)
    asked: dict[str, Any] = {"queries": read_queries(queries) if queries else None, "max_drop": max_drop}
    asked["soak"] = DEFAULT_SOAK if soak is None else soak
    with recant.connect(settings=settings()) as kb, counted(output) as progress:
        who = kb.attribution(
            agent=authorship.agent, session=authorship.session, run=authorship.run, message=authorship.message
        )
        done = kb.reembedding.switch(model, who, collection=collection, progress=progress, **asked)
    _tell_changeover(output, done)


def settle(authorship: Authorship, collection: CollectionFlag = None, json: JsonFlag = False) -> None:
    """End the soak now: what is ingested is no longer embedded with the model before."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(
            agent=authorship.agent, session=authorship.session, run=authorship.run, message=authorship.message
        )
        done = kb.reembedding.settle(who, collection=collection)
    if json:
        output.document(done.to_dict())
    else:
        output.print(f"Operation {done.operation_id}: {done.collection} is embedded with {done.model} only.")


app.command("switch")(with_flag_groups(switch))
app.command("settle")(with_flag_groups(settle))


@app.command("drop")
def drop(model: ModelArgument, collection: CollectionFlag = None, json: JsonFlag = False) -> None:
    """Give up a model that isn't in use, and delete its vectors."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        deleted = kb.reembedding.drop(model, collection=collection)
    if json:
        output.document({"model": model, "deleted": deleted})
    else:
        output.print(f"{deleted:,} vectors were deleted.")


@app.command("status")
def status(collection: CollectionFlag = None, json: JsonFlag = False) -> None:
    """The models of a collection (by default: of all), which one is in use, and what each still lacks."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        spaces = kb.reembedding.status(collection)
    if json:
        output.document({"spaces": [space.to_dict() for space in spaces]})
        return
    columns = ["collection", "model", "dimensions#", "state", "texts#", "missing#", "soak until", "known here"]
    rows = [
        [
            s.collection, s.model, s.dimensions, s.state, s.texts, s.missing,
            local_time(s.soak_until), "yes" if s.known else "no",
        ]
        for s in spaces
    ]  # fmt: skip
    output.table(columns, rows)


def _tell_filled(output: Output, filled: Filled) -> None:
    if output.as_json:
        output.document(filled.to_dict())
        return
    output.print(
        f"{filled.collection}: {filled.texts:,} texts have vectors of {filled.model} ({filled.dimensions} dimensions); "
        f"{filled.embedded:,} were computed now, in {filled.seconds:.1f} s."
    )
    if filled.cut:
        output.note(f"{filled.cut:,} of them are longer than the model sees: it leaves out their ends.")


def _tell_changeover(output: Output, done: Changeover) -> None:
    if output.as_json:
        output.document(done.to_dict())
        return
    output.print(
        f"Operation {done.operation_id}, position {done.position}: {done.collection} is searched by {done.model} "
        f"({done.dimensions} dimensions), no more by {done.previous_model}."
    )
    if done.evaluation:
        before, after = done.evaluation["before"], done.evaluation["after"]
        told = [
            f"{name} {before[key]:.4f} → {after[key]:.4f}" for name, key in (("nDCG", "ndcg"), ("recall", "recall"))
        ]
        output.print(f"{', '.join(told)}.")
    until = local_time(done.soak_until)
    output.print(
        f"`recant rollback --operation {done.operation_id}` goes back. {done.previous_model} is kept up until {until}."
    )
