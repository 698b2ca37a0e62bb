"""`backup create`, `list`, `verify`, `restore`, `prune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recant.cli.flags import JsonFlag
from recant.cli.output import Output, local_time
from recant.cli.progress import told
from recant.cli.services import settings

if TYPE_CHECKING:
    from recant.backups import Backup

app = typer.Typer(no_args_is_help=True, help="Backups: made, listed, verified, restored.")
KindFlag = Annotated[
    str, typer.Option(metavar="KIND", help="logical: the schema, from any server. physical: the embedded server whole.")
]
PlaceFlag = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Default: backups in RECANT_HOME.")]
NameArgument = Annotated[str, typer.Argument(metavar="BACKUP", help="A name as listed, a folder, or `latest`.")]


@app.command("create")
def create(kind: KindFlag = "logical", to: PlaceFlag = None, json: JsonFlag = False) -> None:
    """Make a backup, beside whoever writes or searches."""
    from recant.backups import Backups

    output = Output(json)
    with told(output, "Backing up"):
        backup = Backups(settings()).create(kind, to=to)
    _tell(output, backup, f"{backup.folder} holds the log up to position {backup.position:,} ({_size(backup)}).")


@app.command("list")
def list_backups(place: PlaceFlag = None, json: JsonFlag = False) -> None:
    """What backups there are, newest first."""
    from recant.backups import Backups

    output, backups = Output(json), Backups(settings())
    found = backups.find(place=place)
    if json:
        output.document({"backups": [backup.to_dict() for backup in found]})
    elif found:
        rows = [[b.name, b.kind, local_time(b.taken_at), b.position, _size(b), f"{b.seconds:.1f} s"] for b in found]
        output.table(["backup", "kind", "taken", "position#", "size", "took"], rows)
    else:
        output.print(f"There is no backup in {backups.place(place)}.")


@app.command("verify")
def verify(backup: NameArgument, json: JsonFlag = False) -> None:
    """Read all of a backup: whether every file is what was written, and understood."""
    from recant.backups import Backups

    output, backups = Output(json), Backups(settings())
    found = backups.get(backup)
    with told(output, "Reading"):
        backups.verify(found)
    _tell(output, found, f"{found.name} is whole: the log up to position {found.position:,}.")


@app.command("restore")
def restore(
    backup: NameArgument,
    wal: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Bring a physical one forward with the WAL archived here.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="As far as this time, with its zone. Default: all there is.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Put a backup into the installation that RECANT_HOME or RECANT_DSN names, which has to be empty."""
    from recant.backups import Backups

    output, backups = Output(json), Backups(settings())
    found = backups.get(backup)
    with told(output, "Restoring"):
        restored = backups.restore(found, wal_archive=wal, until=until)
    _tell(
        output,
        restored,
        f"Restored: the log stands at position {restored.position:,}. `recant verify` checks all of it.",
    )


@app.command("prune")
def prune(
    keep: Annotated[int, typer.Option(metavar="N", min=1, help="Keep the newest so many of the kind.")] = 7,
    kind: KindFlag = "logical",
    place: PlaceFlag = None,
    json: JsonFlag = False,
) -> None:
    """Delete old backups."""
    from recant.backups import Backups

    output = Output(json)
    gone = Backups(settings()).prune(keep, kind=kind, place=place)
    if json:
        output.document({"pruned": gone})
    else:
        output.print(f"Deleted: {', '.join(gone)}." if gone else "There is none too many.")


def _tell(output: Output, backup: Backup, sentence: str) -> None:
    if output.as_json:
        output.document(backup.to_dict())
    else:
        output.print(sentence)


def _size(backup: Backup) -> str:
    return f"{backup.size_bytes / 1e6:,.1f} MB"
