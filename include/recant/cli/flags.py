"""Flags that several commands share, declared once: a dataclass whose fields are typer options.

`with_flag_groups` gives a command the fields of such a dataclass as flags of its own, and hands it the dataclass.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from typing import Annotated, Any, get_type_hints

import typer

from recant.cli.times import parse_duration

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else there.")]
CollectionFlag = Annotated[
    str | None,
    typer.Option("--collection", metavar="NAME", help="The collection. Default: RECANT_COLLECTION, or knowledge."),
]


@dataclass(frozen=True, slots=True)
class Authorship:
    """Who writes, in which session and run, and why."""

    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who writes. Default: RECANT_AGENT, or the login name.")
    ] = None
    session: Annotated[str | None, typer.Option(metavar="NAME", help="The session that the write belongs to.")] = None
    run: Annotated[
        str | None, typer.Option(metavar="ID", help="The run that the write belongs to, an Airflow run id, say.")
    ] = None
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="Why, for the log.", show_default=False)
    ] = ""


def duration(text: str) -> timedelta:
    """The length of time that a flag's value means."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def with_flag_groups(command: Callable[..., None]) -> Callable[..., None]:
    """The command with flags in place of each parameter whose type is a dataclass of typer options."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {p.name: p.annotation for p in parameters if is_dataclass(p.annotation)}

    @functools.wraps(command)
    def with_flags(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{f.name: given.pop(f.name) for f in fields(group)})
        command(**given)

    flat = [flag for p in parameters for flag in (_flags(groups[p.name]) if p.name in groups else [p])]
    named = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in flat]
    with_flags.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    with_flags.__annotations__ = {p.name: p.annotation for p in named}
    return with_flags


def _flags(group: Any) -> list[inspect.Parameter]:
    annotations = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=annotations[f.name])
        for f in fields(group)
    ]
