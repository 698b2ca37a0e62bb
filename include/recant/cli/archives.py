"""`archive`: knowledge in HDF5 files. Made, listed, checked, searched where they lie, restored from, written again."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from recant.cli.flags import Authorship, CollectionFlag, JsonFlag, with_flag_groups
from recant.cli.hits import show_hits
from recant.cli.knowledge import parse_filters
from recant.cli.moments import HELP as MOMENT_HELP
from recant.cli.moments import METAVAR, note_zone
from recant.cli.output import Output, local_time
from recant.cli.services import settings
from recant.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Archives in HDF5: make, list, check, search, restore, write again.")
GZIP_LEVEL = 4
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The archive.")]


class Method(StrEnum):
    """How datasets are compressed."""

    gzip = "gzip"
    lzf = "lzf"
    none = "none"


class State(StrEnum):
    """What has become of an archive."""

    current = "current"
    stale = "stale"
    erased = "erased"
    withdrawn = "withdrawn"
    replaced = "replaced"
    removed = "removed"


def create(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written whole, or left as it was.")],
    authorship: Authorship,
    collection: CollectionFlag = None,
    at: Annotated[str | None, typer.Option(metavar=METAVAR, help=f"As of then. Default: now. {MOMENT_HELP}")] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Every version, also what was superseded, removed or taken back.")
    ] = False,
    first: Annotated[
        int | None,
        typer.Option("--from", metavar="POSITION", min=1, help="With --history: of what was published from there on."),
    ] = None,
    compression: Annotated[Method, typer.Option(help="gzip is smallest, none is fastest.")] = Method.gzip,
    level: Annotated[int, typer.Option(min=1, max=9, help="Of gzip: 1 is fast, 9 is small.")] = GZIP_LEVEL,
    json: JsonFlag = False,
) -> None:
    """Write what is seen of a collection into a file: texts, metadata, vectors and their log."""
    import recant

    output = Output(json)
    note_zone(output, "--at", at)
    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(
            agent=authorship.agent, session=authorship.session, run=authorship.run, message=authorship.message
        )
        made = kb.archives.create(
            file,
            who,
            collection=collection,
            at=at,
            holds="history" if history else "seen",
            first_position=first,
            compression=compression.value,
            level=level,
        )
    if json:
        output.document(made.to_dict())
        return
    output.print(_made(made.to_dict()))


def list_archives(
    collection: CollectionFlag = None,
    state: Annotated[list[State] | None, typer.Option(help="Only in this state; may be given again.")] = None,
    json: JsonFlag = False,
) -> None:
    """List the archives that were made here, and whether each still holds what it should."""
    import recant

    output = Output(json)
    states = [one.value for one in state] if state else None
    with recant.connect(settings=settings()) as kb:
        found = kb.archives.find(states=states, collection=collection)
    rows = [artifact.to_dict() | {"at_hand": Path(artifact.path).is_file()} for artifact in found]
    if json:
        output.document(rows)
    elif rows:
        columns = ["id#", "state", "collection", "holds", "position#", "bytes#", "made", "file"]
        output.table(columns, [_row(row) for row in rows])
    else:
        output.print("No archive: `recant archive create FILE` makes one.")


def show(file: FileArgument, json: JsonFlag = False) -> None:
    """Show what an archive says of itself, and what has happened since it was made."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found = kb.archives.show(file)
    if json:
        output.document(found)
        return
    named = ("path", "collection", "position", "created_at", "model", "dimensions", "compression", "size_bytes")
    output.table(["", "value"], [[name.replace("_", " "), str(found[name])] for name in named])
    output.table(["table", "rows#"], [[name, count] for name, count in found["rows"].items() if count])
    artifact = found["artifact"]
    if artifact is None:
        output.print("It wasn't made by this installation.")
    else:
        output.print(
            f"Archive {artifact['artifact_id']}, by operation {artifact['operation_id']}: {artifact['state']}."
        )
    for reason in found["reasons"]:
        output.print(f"Operation {reason['operation_id']} was {reason['reason']} by operation {reason['control_id']}.")


def verify(file: FileArgument, json: JsonFlag = False) -> None:
    """Hold every dataset of a file against its checksum; ends with 1 when something is damaged. Needs no database."""
    from recant.archive import verify_archive

    output = Output(json)
    report = verify_archive(file.expanduser().absolute())
    if json:
        output.document(report.to_dict())
    elif report.ok:
        output.print(f"{report.path} is whole: {report.datasets} datasets are as they were written.")
    else:
        rows = [[damage.dataset or "the file", damage.detail] for damage in report.damaged]
        output.table(["damaged", "what is wrong"], rows)
    if not report.ok:
        raise typer.Exit(1)


def query(
    file: FileArgument,
    words: Annotated[str, typer.Argument(metavar="QUERY", help="What to search for.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many hits.")] = 10,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="KEY=VALUE", help="By source, title or format; the same key again widens."),
    ] = None,
    every_version: Annotated[
        bool, typer.Option("--every-version", help="Of a history, also what wasn't seen.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Search an archive where it lies. Needs no database."""
    from recant.archive import search_archive

    output = Output(json)
    given = parse_filters(filters or [])
    path = file.expanduser().absolute()
    result = search_archive(path, words, settings(), limit=limit, filters=given, every_version=every_version)
    if json:
        output.document(result.to_dict())
    else:
        show_hits(output, result)


def restore(
    file: FileArgument,
    authorship: Authorship,
    collection: Annotated[
        str | None, typer.Option("--collection", metavar="NAME", help="Into which. Default: the archive's.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(metavar="SOURCE", help="Only this document; may be given again.")
    ] = None,
    operation: Annotated[
        list[int] | None,
        typer.Option(metavar="OP", help="What this operation wrote, as it wrote it; may be given again."),
    ] = None,
    trust_vectors: Annotated[
        bool, typer.Option("--trust-vectors", help="You vouch for the vectors of a file that was made elsewhere.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Write what an archive holds back, as one operation that can be rolled back."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(
            agent=authorship.agent, session=authorship.session, run=authorship.run, message=authorship.message
        )
        report = kb.archives.restore(
            file,
            who,
            collection=collection,
            sources=source or (),
            operations=operation or (),
            trust_vectors=trust_vectors,
        )
    if json:
        output.document(report.to_dict())
        return
    output.print(report.message)
    if report.missing:
        output.print("Not in the archive: " + ", ".join(report.missing) + ".")
    if report.state_equal:
        output.print(f"What is seen of {report.collection} is exactly what was seen when the archive was made.")


def rewrite(
    authorship: Authorship,
    archive: Annotated[
        list[int] | None, typer.Option("--id", metavar="ID", help="This one; may be given again. Default: by state.")
    ] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Those that hold what is hidden now, or lack what is seen.")
    ] = False,
    erased: Annotated[bool, typer.Option("--erased", help="Those that hold what was erased.")] = False,
    json: JsonFlag = False,
) -> None:
    """Write archives again, as they were asked for: without what was taken back or erased since."""
    import recant

    states = ["stale"] * stale + ["erased"] * erased
    if bool(archive) == bool(states):
        raise UsageError("Say which: --stale, --erased, or both; or one by its --id.")
    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(
            agent=authorship.agent, session=authorship.session, run=authorship.run, message=authorship.message
        )
        made = [found.to_dict() for found in kb.archives.rewrite(who, artifacts=archive, states=states)]
    if json:
        output.document(made)
    else:
        output.print(*(map(_made, made) if made else ["There is none to be written again."]))


def remove(
    archive: Annotated[int, typer.Argument(metavar="ID", help="As `recant archive list` shows it.")],
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who. Default: RECANT_AGENT, or the login.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Though another file stands there now: that one is left.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Delete an archive's file, and note that it is gone."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        removed = kb.archives.remove(archive, by=by or kb.settings.agent, force=force)
    if json:
        output.document(removed.to_dict())
    else:
        output.print(f"Archive {archive} is removed: {removed.path}.")


COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("create", create), ("list", list_archives), ("show", show), ("verify", verify), ("query", query),
    ("restore", restore), ("rewrite", rewrite), ("remove", remove),
)  # fmt: skip
for name, command in COMMANDS:
    app.command(name)(with_flag_groups(command))


def _made(made: dict[str, Any]) -> str:
    rows, left_out = made["rows"], made["left_out"]
    lacking = "".join(f" Not in it: {count:,} {kind} records." for kind, count in left_out.items())
    return (
        f"{made['path']} holds {made['collection']} as of position {made['position']:,}: {rows['documents']:,} document "
        f"versions, {rows['chunks']:,} chunks, {rows['vectors']:,} vectors, in {made['size_bytes']:,} bytes.{lacking}"
    )


def _row(row: dict[str, Any]) -> list[object]:
    where = row["path"] if row["at_hand"] or row["state"] == "removed" else f"{row['path']} (not there)"
    made = local_time(row["created_at"])
    holds = row["scope"].get("holds", "seen")
    return [row["artifact_id"], row["state"], row["collection"], holds, row["position"], row["size_bytes"], made, where]
