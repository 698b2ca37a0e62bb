"""The list of commands, and how one is run. What they do is in services, knowledge, sessions, history, undo, holds and lineage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Annotated

import typer

from recant.cli import (
    analytics,
    archives,
    backups,
    blocks,
    comparison,
    evaluation,
    exports,
    history,
    holds,
    knowledge,
    lineage,
    monitoring,
    plan,
    proposals,
    quality,
    reembedding,
    retention,
    services,
    sessions,
    storage,
    undo,
    upkeep,
    weights,
)
from recant.cli.failures import Invocation, failed, interrupted, terminable
from recant.cli.flags import with_flag_groups
from recant.cli.output import write

SERVICES = "The installation"
KNOWLEDGE = "The knowledge"
HISTORY = "What happened"
UNDO = "Taking it back"
STORAGE = "What is kept"
COMMANDS: tuple[tuple[str, str, Callable[..., None]], ...] = (
    (SERVICES, "up", services.up),
    (SERVICES, "down", services.down),
    (SERVICES, "status", services.status),
    (SERVICES, "doctor", services.doctor),
    (SERVICES, "migrate", services.migrate),
    (KNOWLEDGE, "ingest", knowledge.ingest),
    (KNOWLEDGE, "search", knowledge.search),
    (KNOWLEDGE, "evaluate", evaluation.evaluate),
    (KNOWLEDGE, "collections", knowledge.collections),
    (KNOWLEDGE, "feedback", proposals.feedback),
    (KNOWLEDGE, "audit", proposals.audit),
    (HISTORY, "log", history.log),
    (HISTORY, "show", history.show),
    (HISTORY, "diff", comparison.diff),
    (UNDO, "propose", proposals.propose),
    (UNDO, "blast-radius", undo.blast_radius),
    (UNDO, "rollback", undo.rollback),
    (UNDO, "redo", undo.redo),
    (UNDO, "quarantine", holds.quarantine),
    (UNDO, "release", holds.release),
    (UNDO, "restore", holds.restore),
    (UNDO, "verify", undo.verify),
    (STORAGE, "erase", storage.erase),
    (STORAGE, "reclaim", storage.reclaim),
)

app = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})


def _show_version(wanted: bool) -> None:
    if wanted:
        write(f"recant {metadata.version('recant')}\n")
        raise typer.Exit


@app.callback()
def recant(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", envvar="RECANT_DEBUG", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A knowledge base that can take it back."""
    context.find_object(Invocation).debug = debug  # type: ignore[union-attr]


for panel, name, command in COMMANDS:
    app.command(name, rich_help_panel=panel)(with_flag_groups(command))
app.add_typer(sessions.app, name="session", rich_help_panel=KNOWLEDGE)
app.add_typer(quality.app, name="quality", rich_help_panel=KNOWLEDGE)
app.add_typer(weights.app, name="weights", rich_help_panel=KNOWLEDGE)
app.add_typer(reembedding.app, name="reembed", rich_help_panel=KNOWLEDGE)
app.add_typer(blocks.app, name="block", rich_help_panel=UNDO)
app.add_typer(lineage.app, name="lineage", rich_help_panel=HISTORY)
app.add_typer(storage.tag_commands, name="tag", rich_help_panel=STORAGE)
app.add_typer(retention.app, name="retention", rich_help_panel=STORAGE)
app.add_typer(archives.app, name="archive", rich_help_panel=STORAGE)
app.add_typer(plan.app, name="plan", rich_help_panel=UNDO)
app.add_typer(upkeep.app, name="tend", rich_help_panel=STORAGE)
app.add_typer(backups.app, name="backup", rich_help_panel=STORAGE)
app.add_typer(monitoring.app, name="metrics", rich_help_panel=SERVICES)
app.add_typer(exports.export_commands, name="export", rich_help_panel=STORAGE)
app.add_typer(analytics.analytics_commands, name="analytics", rich_help_panel=HISTORY)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; errors are said, never raised."""
    invocation = Invocation(as_json=_wants_json(arguments))
    try:
        with terminable(invocation):
            return _run(list(arguments), invocation)
    except typer.Exit as ended:  # the reader of what we had to say is gone
        return ended.exit_code


def _run(arguments: list[str], invocation: Invocation) -> int:
    try:
        code = typer.main.get_command(app).main(
            arguments or ["--help"], prog_name="recant", standalone_mode=False, obj=invocation
        )
    except (KeyboardInterrupt, typer.Abort):
        return interrupted(invocation)
    except Exception as error:
        return failed(invocation, error)
    return interrupted(invocation) if code == 130 else int(code or 0)


def _wants_json(arguments: Sequence[str]) -> bool:
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in flags
