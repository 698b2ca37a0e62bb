"""`evaluate`: how good searches are, on queries whose right answers are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recant.cli.flags import CollectionFlag, JsonFlag
from recant.cli.knowledge import Mode
from recant.cli.moments import METAVAR, note_zone
from recant.cli.output import Output, local_time
from recant.cli.ranking import Ranking
from recant.cli.services import settings
from recant.errors import UsageError

if TYPE_CHECKING:
    from recant.evaluation import EvaluationComparison
    from recant.evaluation.report import QueryChange

SHOWN_QUERIES = 10
Row = Mapping[str, Any]


def evaluate(
    ranking: Ranking,
    queries: Annotated[
        Path | None,
        typer.Argument(metavar="QUERIES", help="Judged queries: JSONL, CSV, TREC topics, or a BEIR folder."),
    ] = None,
    qrels: Annotated[Path | None, typer.Option(metavar="FILE", help="The judgements of TREC topics.")] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="Which of a BEIR folder's qrels.")] = "test",
    collection: CollectionFlag = None,
    mode: Annotated[list[Mode] | None, typer.Option(help="Again for further modes. Default: semantic.")] = None,
    as_of: Annotated[str | None, typer.Option(metavar=METAVAR, help="What was seen then. Default: now.")] = None,
    compare: Annotated[
        str | None, typer.Option(metavar=METAVAR, help="Before and after: as of then against --as-of, or now.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="nDCG of the first so many documents.")] = 10,
    where: Annotated[list[str] | None, typer.Option(metavar="FILTER", help="Search under a filter.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Put it into the history, and say if it dropped.")] = False,
    fail_under: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="NDCG", help="End with 1 where nDCG is lower.")
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="Only list what was kept.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So much of the history.")] = 20,
    json: JsonFlag = False,
) -> None:
    """Measure how good searches are, on judged queries: now, as of a position, or before and after."""
    import recant
    from recant.evaluation import read_queries
    from recant.search.filters import both

    output = Output(json)
    for flag, moment in (("--as-of", as_of), ("--compare", compare)):
        note_zone(output, flag, moment)
    if (queries is None) != history or (compare is not None and keep):
        raise UsageError("Give QUERIES, or --history alone; --keep is for what is seen now, not for a comparison.")
    with recant.connect(settings=settings()) as kb:
        if queries is None:
            _show_history(output, kb.evaluation.history(collection=collection, limit=limit))
            return
        judged = read_queries(queries, qrels=qrels, split=split)
        asked: dict[str, Any] = {
            "collection": collection, "k": k, "filters": both(*(where or [])), "fusion": ranking.weighed(),
            "refine": ranking.refinement(),
        }  # fmt: skip
        modes = [one.value for one in mode or [Mode.semantic]]
        if compare is not None:
            found = [kb.evaluation.compare(judged, compare, as_of, mode=one, **asked) for one in modes]
            reached = [comparison.after.measures["ndcg"] for comparison in found]
            show_comparisons(output, found)
        else:
            reports = [kb.evaluation.run(judged, mode=one, as_of=as_of, keep=keep, **asked) for one in modes]
            reached = [report.measures["ndcg"] for report in reports]
            _show_reports(output, [report.to_dict(per_query=json) for report in reports])
    if fail_under is not None and min(reached) < fail_under:
        output.note(f"nDCG {min(reached):.4f} is under {fail_under:g}.", style="bold red")
        raise typer.Exit(1)


def _show_reports(output: Output, reports: list[dict[str, Any]]) -> None:
    if output.as_json:
        output.document({"evaluations": reports})
        return
    first = reports[0]
    output.print(f"{first['queries']:,} queries of {first['queries_name']} in {first['collection']}.")
    _table(output, [("", report) for report in reports])
    if first["never_found"]:
        output.print(f"{first['never_found']:,} relevant documents were found by no query.")
    for report in reports:
        if report["drop"]:
            output.print(f"{report['mode']}: nDCG is {report['drop']:.4f} lower than it was. Published since:")
            _operations(output, report["since"])


def show_comparisons(output: Output, found: list[EvaluationComparison]) -> None:
    """Measures before and after, and the queries that lost."""
    if output.as_json:
        output.document({"comparisons": [comparison.to_dict() for comparison in found]})
        return
    for comparison in found:
        _table(output, [("before", comparison.before.to_dict()), ("after", comparison.after.to_dict())])
        output.print(f"{len(comparison.lost):,} queries lost, {len(comparison.gained):,} gained.")
        if comparison.lost:
            rows = [_changed(change) for change in comparison.lost[:SHOWN_QUERIES]]
            output.table(["query", "before#", "after#", "no more found", "shown instead"], rows)
        if comparison.since:
            output.print("Published in between:")
            _operations(output, comparison.since)


def _changed(change: QueryChange) -> list[object]:
    instead = ", ".join(f"{source} (operation {operation})" for source, operation in change.shown_instead[:3])
    return [change.text, change.before, change.after, ", ".join(change.lost), instead]


def _table(output: Output, reports: list[tuple[str, Row]]) -> None:
    k, depth = reports[0][1]["k"], reports[0][1]["depth"]
    columns = ["", "mode", "position#", f"nDCG@{k}#", "MAP#", f"recall@{depth}#", "MRR#", "p50 ms#", "p95 ms#"]
    rows = [[name, report["mode"], report["position"], *_numbers(report)] for name, report in reports]
    named = any(name for name, _ in reports)
    output.table(columns if named else columns[1:], rows if named else [row[1:] for row in rows])


def _numbers(report: Row) -> list[object]:
    measures, latency = report["measures"], report["latency"]
    times = [f"{1000 * latency[name]:.1f}" for name in ("p50", "p95")]
    return [*(measures[name] for name in ("ndcg", "map", "recall", "mrr")), *times]


def _operations(output: Output, operations: list[dict[str, Any]]) -> None:
    rows = [[o["operation_id"], o["position"], o["kind"], o["agent"], o["message"]] for o in operations]
    output.table(["op#", "position#", "kind", "agent", "message"], rows)


def _show_history(output: Output, kept: list[dict[str, Any]]) -> None:
    if output.as_json:
        output.document({"history": kept})
    elif kept:
        rows = [
            [local_time(e["evaluated_at"]), e["queries_name"], e["mode"], e["position"], *_numbers(e)] for e in kept
        ]
        columns = ["when", "queries", "mode", "position#", "nDCG#", "MAP#", "recall#", "MRR#", "p50 ms#", "p95 ms#"]
        output.table(columns, rows)
    else:
        output.print("Nothing was kept yet: `recant evaluate QUERIES --keep`.")
