"""`weights …`: what meaning counts against words in a collection's hybrid searches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recant.cli.flags import CollectionFlag, JsonFlag, with_flag_groups
from recant.cli.output import Output
from recant.cli.ranking import FusionFlag, WeightFlag, chosen_fusion
from recant.cli.services import settings
from recant.cli.undo import Undoing
from recant.errors import UsageError

if TYPE_CHECKING:
    from recant.evaluation import Tuning, Weights, WeightsChange

app = typer.Typer(no_args_is_help=True, help="What meaning counts against words in hybrid searches.")
QueriesArgument = Annotated[
    Path, typer.Argument(metavar="QUERIES", help="Judged queries: JSONL, CSV, TREC topics, or a BEIR folder.")
]


def show(collection: CollectionFlag = None, json: JsonFlag = False) -> None:
    """Show what holds for a collection."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        weights = kb.search_weights.show(collection)
    if json:
        output.document(weights.to_dict())
    elif weights.operation_id is None:
        output.print("Nothing is set: by scores, with the weight that suits most collections.")
    else:
        output.print(f"{_named(weights)}, set by {weights.agent} with operation {weights.operation_id}.")


def set_weights(
    undoing: Undoing, fusion: FusionFlag = None, semantic_weight: WeightFlag = None, collection: CollectionFlag = None,
    json: JsonFlag = False,
) -> None:  # fmt: skip
    """Set it, for every hybrid search that doesn't say. A rollback of the operation gives back what held before."""
    import recant

    chosen = chosen_fusion(fusion, semantic_weight)
    if chosen is None:
        raise UsageError("Give --semantic-weight, --fusion, or both.")
    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(agent=undoing.by, message=undoing.message)
        _tell(Output(json), kb.search_weights.set(chosen, who, collection=collection))


def unset(undoing: Undoing, collection: CollectionFlag = None, json: JsonFlag = False) -> None:
    """Take it away: what holds where nothing is set does again."""
    import recant

    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(agent=undoing.by, message=undoing.message)
        _tell(Output(json), kb.search_weights.unset(who, collection=collection))


def tune(
    queries: QueriesArgument,
    undoing: Undoing,
    qrels: Annotated[Path | None, typer.Option(metavar="FILE", help="The judgements of TREC topics.")] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="Which of a BEIR folder's qrels.")] = "test",
    collection: CollectionFlag = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="nDCG of the first so many documents.")] = 10,
    apply: Annotated[bool, typer.Option("--apply", help="Set what was found, where it is surely better.")] = False,
    json: JsonFlag = False,
) -> None:
    """Find the weights that suit judged queries: chosen on one half of them, judged by the other."""
    import recant
    from recant.evaluation import read_queries
    from recant.search import Fusion

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found = kb.search_weights.tune(read_queries(queries, qrels=qrels, split=split), collection=collection, k=k)
        change = None
        if apply and found.is_better:
            who = kb.attribution(agent=undoing.by, message=undoing.message or f"tuned on {queries.name}")
            fusion = Fusion(found.best.method, found.best.semantic_weight)  # type: ignore[arg-type]
            change = kb.search_weights.set(fusion, who, collection=collection)
    if json:
        output.document(found.to_dict() | {"applied": None if change is None else change.to_dict()})
        return
    _show_tuning(output, found, k)
    if change is not None:
        _tell(output, change)
    elif apply:
        output.print("It isn't surely better, so nothing was set.")


def _show_tuning(output: Output, found: Tuning, k: int) -> None:
    rows = [[method, f"{weight:.1f}", f"{ndcg:.4f}"] for method, weight, ndcg in found.tried]
    output.table(["fusion", "weight of meaning#", f"nDCG@{k}#"], rows, title=f"Tried on {found.chosen_on:,} queries")
    output.print(
        f"{_named(found.best)} did best. On the {found.held_out:,} queries held out: {found.ndcg_before:.4f} now, "
        f"{found.ndcg_after:.4f} with it; chance does as much in {found.p_value:.1%} of cases."
    )


def _named(weights: Weights) -> str:
    share = "its own weights" if weights.semantic_weight is None else f"meaning {weights.semantic_weight:g}"
    return f"{weights.method}, {share}"


def _tell(output: Output, change: WeightsChange) -> None:
    if output.as_json:
        output.document(change.to_dict())
        return
    became = "taken away" if change.removed else "set"
    output.print(
        f"Operation {change.operation_id}, position {change.position}: weights of {change.collection} {became}."
    )


COMMANDS: dict[str, Callable[..., None]] = {"show": show, "set": set_weights, "unset": unset, "tune": tune}
for name, command in COMMANDS.items():
    app.command(name)(with_flag_groups(command))
