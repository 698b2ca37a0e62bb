"""`tend all`, `tend index`, `tend keywords`, `tend check`, `tend searches`: keeping the store in shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from recant.cli.flags import JsonFlag
from recant.cli.output import Output
from recant.cli.services import settings

if TYPE_CHECKING:
    from recant.search.keyword_index import Tended
    from recant.upkeep import IndexCheck, IndexTending

app = typer.Typer(no_args_is_help=True, help="Keep the store in shape, beside whoever writes or searches.")
QueriesFlag = Annotated[
    int, typer.Option(metavar="N", min=1, max=10_000, help="Compare the index with exact search on so many questions.")
]

LeastShare = Annotated[
    float,
    typer.Option(
        metavar="SHARE", min=0, max=1, help="Take vectors out of an index where they are this share of its entries."
    ),
]


@app.command("all")
def tend_all(queries: QueriesFlag = 20, least_share: LeastShare = 0.1, json: JsonFlag = False) -> None:
    """All of it: abort what was left behind, tend the indexes and check the vector index, forget old searches, vacuum."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        report = kb.upkeep.run(queries=queries, least_share=least_share)
    if json:
        output.document(report.to_dict())
        return
    _show_tended(output, report.indexes)
    _show_keywords(output, report.keywords)
    _show_checked(output, report.checks)
    for text, done in (
        ("Aborted, because their worker is gone: operations", report.aborted),
        ("Built anew: the index of space", report.rebuilt),
        ("Vacuumed:", report.vacuumed),
    ):
        if done:
            output.print(f"{text} {', '.join(map(str, done))}.")
    output.print(f"{report.pruned_searches:,} searches of sessions were forgotten.")
    for hint in report.hints:
        output.note(hint)


@app.command("index")
def tend_index(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build it anew, too; the old one serves meanwhile.")
    ] = False,
    least_share: LeastShare = 0.1,
    json: JsonFlag = False,
) -> None:
    """Take out of the vector index what nothing seen needs, and put back what does again."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        tended = kb.upkeep.tend_indexes(follow_up=not rebuild, least_share=least_share)
        rebuilt = kb.upkeep.rebuild_indexes() if rebuild else []
    if json:
        output.document({"indexes": [one.to_dict() for one in tended], "rebuilt": rebuilt})
        return
    _show_tended(output, tended)
    if rebuilt:
        output.print(f"Built anew: the index of space {', '.join(map(str, rebuilt))}.")


@app.command("keywords")
def tend_keywords(json: JsonFlag = False) -> None:
    """Bring keyword indexes up to date: index what is missing, merge small segments, drop old ones."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        tended = kb.upkeep.tend_keywords()
    if json:
        output.document({"keywords": [one.to_dict() for one in tended]})
    else:
        _show_keywords(output, tended)


@app.command("check")
def check(queries: QueriesFlag = 20, json: JsonFlag = False) -> None:
    """Compare the vector index with exact search: its recall, its size, how it has grown."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        checks = kb.upkeep.check_indexes(queries=queries)
    if json:
        output.document({"checks": [one.to_dict() for one in checks]})
    else:
        _show_checked(output, checks)


@app.command("searches")
def searches(
    older_than: Annotated[
        int | None, typer.Option(metavar="DAYS", min=0, help="Default: RECANT_RETENTION_DAYS.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Forget what sessions were shown long ago, unless somebody may still be asked about it."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        pruned = kb.upkeep.prune_searches(older_than_days=older_than)
    if json:
        output.document({"pruned_searches": pruned})
    else:
        output.print(f"{pruned:,} searches of sessions were forgotten.")


def _show_tended(output: Output, tended: list[IndexTending]) -> None:
    if not tended:
        output.print("There is no vector index yet: an embedding space gets one from 20,000 vectors on.")
        return
    rows = [[t.space_id, t.taken_out, t.left_in, t.put_back, t.outside, t.followed_by, t.position] for t in tended]
    output.table(["space#", "taken out#", "left in#", "put back#", "outside#", "then", "as of#"], rows)


def _show_keywords(output: Output, tended: list[Tended]) -> None:
    if tended:
        rows = [[t.collection, t.indexed, t.merged, t.purged, t.dropped, t.segments] for t in tended]
        output.table(["keyword index", "indexed#", "merged#", "purged#", "dropped#", "segments#"], rows)


def _show_checked(output: Output, checks: list[IndexCheck]) -> None:
    if not checks:
        output.print("No collection is searched by an index now: everything is compared, so nothing is missed.")
        return
    rows = [[c.space_id, c.collection, c.queries, c.recall, f"{c.size_bytes / 1e6:,.0f} MB", c.bloat] for c in checks]
    output.table(["space#", "collection", "questions#", "recall#", "size", "bloat#"], rows)
