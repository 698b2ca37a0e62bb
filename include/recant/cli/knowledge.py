"""`ingest`, `search`, `collections`: bringing documents in, and finding what they say."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from recant.cli.flags import Authorship, CollectionFlag, JsonFlag, duration
from recant.cli.hits import show_hits
from recant.cli.moments import METAVAR, note_zone
from recant.cli.output import Output, amounts, json_text, local_time, write
from recant.cli.progress import counted
from recant.cli.ranking import Around, Ranking
from recant.cli.services import settings
from recant.errors import UsageError

if TYPE_CHECKING:
    from recant.ingestion.request import IngestReport

SHOWN_REJECTIONS = 20


class Policy(StrEnum):
    """What a critical finding of the quality gate does."""

    strict = "strict"
    quarantine = "quarantine"


class Mode(StrEnum):
    """How a query is answered."""

    semantic = "semantic"
    keyword = "keyword"
    hybrid = "hybrid"


def ingest(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE", help="Files, folders, globs, URLs, dist:NAME, dist:*.")
    ],
    authorship: Authorship,
    collection: CollectionFlag = None,
    policy: Annotated[
        Policy, typer.Option(help="Documents that fail the gate: abort everything, or leave only those out.")
    ] = Policy.strict,
    suite: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The gate's suite of expectations. Default: Recant's own.")
    ] = None,
    hold: Annotated[
        bool, typer.Option("--hold", help="Keep it open for its session to be merged: only the session sees it.")
    ] = False,
    hold_for: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="DURATION", help="Hold it so long, then upkeep aborts it. --hold: 7d."),
    ] = None,
    based_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ITEM",
            help="What it was made from: a hit's chunk id, or the source of a document of the collection. Repeatable.",
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Bring documents in as one operation: all of it is seen at once, or nothing."""
    import recant
    from recant.ingestion.request import citation

    output = Output(json)
    with recant.connect(settings=settings()) as kb, counted(output) as progress:
        report = kb.ingest(
            sources,
            collection=collection,
            agent=authorship.agent,
            session=authorship.session,
            run=authorship.run,
            message=authorship.message,
            policy=policy.value,
            suite=suite,
            hold=hold or hold_for is not None,
            hold_seconds=None if hold_for is None else hold_for.total_seconds(),
            based_on=map(citation, based_on or ()),
            progress=progress,
        )
    if json:
        output.document(report.to_dict())
    else:
        _show_report(output, report)


def search(
    ranking: Ranking,
    around: Around,
    query: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    batch: Annotated[
        str | None,
        typer.Option("--batch", metavar="FILE|-", help="One query a line in, one JSON document a line out."),
    ] = None,
    collection: CollectionFlag = None,
    mode: Annotated[Mode, typer.Option(help="By meaning, by words, or both.")] = Mode.hybrid,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many hits.")] = 10,
    as_of: Annotated[
        str | None, typer.Option(metavar=METAVAR, help="Search what was seen then: at a position, a tag, or a time.")
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="See this session's open operations too, and record what it is shown."),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="KEY=VALUE", help="Only documents with it; the same key again widens."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="FILTER", help="Only what it holds for: 'doc_type = \"adr\" and year >= 2024'."),
    ] = None,
    by_quality: Annotated[
        bool | None,
        typer.Option("--quality/--no-quality", help="Whether quality weighs in. Default: RECANT_QUALITY_RANKING."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Find the passages that answer a query best. By words: "exact phrase", -without."""
    import recant
    from recant.search.filters import both

    if (query is None) == (batch is None):
        raise UsageError("Give either a query or --batch FILE (- for standard input).")
    asked: dict[str, Any] = {
        "collection": collection, "mode": mode.value, "limit": limit, "as_of": as_of, "session": session,
        "filters": both(parse_filters(filters or []), *(where or [])), "by_quality": by_quality,
        "fusion": ranking.weighed(), "refine": ranking.refinement(around.context, around.section),
    }  # fmt: skip
    output, queries = Output(json), _queries(batch) if batch is not None else None
    note_zone(output, "--as-of", as_of)
    with recant.connect(settings=settings()) as kb:
        if queries is not None:
            for result in kb.search_many(queries, **asked):
                write(json_text(result.to_dict()) + "\n")
            return
        result = kb.search(query or "", **asked)
    if json:
        output.document(result.to_dict())
        return
    for word, instead in result.corrected.items():
        output.print(f"Nothing has {word!r}: searched for {instead!r}.")
    show_hits(output, result)


def collections(json: JsonFlag = False) -> None:
    """List the collections."""
    from dataclasses import asdict

    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found = [asdict(collection) for collection in kb.collections()]
    if json:
        output.document({"collections": found})
    elif found:
        output.table(["name", "model", "dimensions#"], [[c["name"], c["model"], c["dimensions"]] for c in found])
    else:
        output.print("No collection yet: the first ingest makes one.")


def parse_filters(given: Iterable[str]) -> dict[str, str | list[str]]:
    """`KEY=VALUE` texts as the library takes them. Raises UsageError for one without a key or a `=`."""
    values: dict[str, list[str]] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"--filter {text!r}: write KEY=VALUE, doc_type=readme, say.")
        values.setdefault(key, []).append(value)
    return {key: found[0] if len(found) == 1 else found for key, found in values.items()}


def _queries(batch: str) -> Iterator[str]:
    """The lines of the file that aren't blank. Raises UsageError at once when there is no such file."""
    try:
        file: TextIO = sys.stdin if batch == "-" else Path(batch).open(encoding="utf-8")  # noqa: SIM115 - _lines closes it
    except OSError as error:
        raise UsageError(f"--batch {batch}: {error.strerror}.") from error
    return _lines(batch, file)


def _lines(batch: str, file: TextIO) -> Iterator[str]:
    try:
        with file:
            yield from (line.strip() for line in file if line.strip())
    except UnicodeDecodeError as error:
        raise UsageError(f"--batch {batch}: it isn't UTF-8 ({error}).") from error


def _show_report(output: Output, report: IngestReport) -> None:
    names = ("documents", "unchanged", "removed", "chunks", "embedded", "reused")
    counts = amounts({name: getattr(report, name) for name in names}) or "nothing new"
    became = f"published at position {report.position}"
    if report.held:
        became = f"held for its session, at most until {local_time(report.lease_until)},"
    output.print(f"Operation {report.operation_id} is {became} after {report.seconds:.1f} s: {counts}.")
    if report.rejected:
        shown = report.rejected[:SHOWN_REJECTIONS]
        rows = [[left_out["source"], left_out["code"], left_out["reason"]] for left_out in shown]
        output.table(["left out", "code", "why"], rows)
    if report.rejected_count > SHOWN_REJECTIONS:
        more = report.rejected_count - SHOWN_REJECTIONS
        output.print(f"… and {more:,} more: `recant show {report.operation_id}` lists them.")
