"""How long work is told on standard error: bars on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recant.cli.output import Output

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 5.0

Counted = Callable[[str, int, int | None], None]
"""Told (what, done, total); total is None where it isn't known."""
Told = Callable[[str], None]
"""Told one sentence at each step."""


@contextmanager
def counted(output: Output) -> Iterator[Counted]:
    """A callback for counted work. Nothing is left on a terminal when it is done."""
    if not output.aside.is_terminal:
        yield _lines(output)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.aside, transient=True) as bars:
        yield _bars(bars)


@contextmanager
def told(output: Output, doing: str) -> Iterator[Told]:
    """A callback for steps in words: each is a line with the seconds since the start, below which a spinner turns."""
    began = time.monotonic()
    with output.aside.status(f"{doing} …"):
        yield lambda message: output.note(f"{time.monotonic() - began:6.1f} s  {message}")


def _bars(bars: Bars) -> Counted:
    tasks: dict[str, TaskID] = {}

    def show(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total)

    return show


def _lines(output: Output) -> Counted:
    said_at = time.monotonic()

    def show(what: str, done: int, total: int | None) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= SECONDS_BETWEEN_LINES:
            said_at = time.monotonic()
            output.note(f"{what}: {done:,}" + (f" of {total:,}" if total is not None else ""))

    return show
