"""How the demo tells its story: headings, sentences, tables, and bars for what takes long. In a pipe all is plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from recant.cli.hits import snippet
from recant.cli.output import Output, printable
from recant.demo.airflow_client import TaskState

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

WIDTH = 100
PLAIN_SNIPPET = 62
SHOWN_SOURCE = 44


class Narrator(Output):
    """Says everything on standard output, so that `make demo > log` holds the whole story."""

    @property
    def width(self) -> int:
        """Of a line of prose."""
        return min(self.console.width, WIDTH) if self.console.is_terminal else WIDTH

    def heading(self, number: int, total: int, name: str) -> None:
        """A step begins."""
        from rich.text import Text

        text = f"{number}/{total}  {name}"
        line = "─" * max(4, self.width - len(text) - 4)
        self.print("", Text.assemble(("── ", "cyan"), (text, "bold cyan"), (f" {line}", "cyan")))

    def say(self, text: str, style: str | None = None) -> None:
        """Prose, wrapped."""
        import textwrap

        from rich.text import Text

        for line in textwrap.wrap(text, self.width, break_long_words=False, break_on_hyphens=False):
            self.print(Text(line, style=style or ""))

    def markdown(self, text: str) -> None:
        """Markdown, rendered on a terminal."""
        from rich.markdown import Markdown

        if self.console.is_terminal:
            self.console.print(Markdown(printable(text)), width=self.width)
        else:
            self.print(text)

    def held(self, seconds: float) -> None:
        """A step ends well."""
        from rich.text import Text

        self.print(Text(f"✔ {seconds:.1f} s", style="green"))

    def broke(self, message: str) -> None:
        """A step ends badly."""
        from rich.text import Text

        self.print(Text(f"✘ {message}", style="bold red"))

    def hits(self, hits: Sequence[dict[str, Any]], marked: Collection[int] = ()) -> None:
        """Search hits as a table; those of the operations in `marked` are poison."""
        sources = [_shortened(hit["source"]) for hit in hits]
        width = self._left_of(max(map(len, sources), default=0))
        rows = [
            [str(h["rank"]), h["score"], h["operation_id"], source, self._said(h, width, h["operation_id"] in marked)]
            for h, source in zip(hits, sources, strict=True)
        ]
        self.table(["", "score#", "op#", "source", "what it says"], rows)

    def _left_of(self, source_width: int) -> int:
        """Columns left for a snippet beside rank, score, operation and source."""
        return max(24, self.console.width - source_width - 33) if self.console.is_terminal else PLAIN_SNIPPET

    def _said(self, hit: dict[str, Any], width: int, is_poison: bool) -> str:
        text = snippet(hit["text"], width, lines=2 if self.console.is_terminal else 1)
        return f"☠ {text}" if is_poison else text

    @contextmanager
    def steps_of(self, doing: str) -> Iterator[Callable[[str], None]]:
        """For work told in sentences: each is a line; on a terminal a spinner turns below."""
        began = time.monotonic()
        if not self.console.is_terminal:
            yield lambda message: self.print(f"  {time.monotonic() - began:6.1f} s  {message}")
            return
        with self.console.status(doing):
            yield lambda message: self.console.print(f"  {time.monotonic() - began:6.1f} s  {message}", markup=False)

    @contextmanager
    def tasks_of(self, told: Collection[str] = ()) -> Iterator[Callable[[list[TaskState]], None]]:
        """For a DAG run: a bar a task on a terminal, a line when a task is over elsewhere. Mapped tasks are counted.

        Tasks in `told` have been told of already.
        """
        if not self.console.is_terminal:
            yield _TaskLines(self, told)
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as bars:
            yield _TaskBars(bars, told)


class _TaskBars:
    """Bars that appear as tasks are scheduled."""

    def __init__(self, bars: Progress, told: Collection[str]) -> None:
        self._bars = bars
        self._told = told
        self._ids: dict[str, TaskID] = {}

    def __call__(self, tasks: list[TaskState]) -> None:
        for name, group in _by_name(tasks, self._told).items():
            if name not in self._ids and any(task.state for task in group):
                self._ids[name] = self._bars.add_task(name, total=len(group))
            if name in self._ids:
                done = sum(task.is_over for task in group)
                self._bars.update(self._ids[name], completed=done, total=len(group))


class _TaskLines:
    """A line whenever more of a task is over."""

    def __init__(self, narrator: Narrator, told: Collection[str]) -> None:
        self._narrator = narrator
        self._told = told
        self._said: dict[str, int] = {}
        self._began = time.monotonic()

    def __call__(self, tasks: list[TaskState]) -> None:
        for name, group in _by_name(tasks, self._told).items():
            done = sum(task.is_over for task in group)
            if done > self._said.get(name, 0):
                self._said[name] = done
                states = ", ".join(sorted({str(task.state) for task in group if task.is_over}))
                of = f" {done} of {len(group)}" if len(group) > 1 else ""
                self._narrator.print(f"  {time.monotonic() - self._began:6.1f} s  {name}{of}: {states}")


def _by_name(tasks: list[TaskState], told: Collection[str]) -> dict[str, list[TaskState]]:
    groups: dict[str, list[TaskState]] = {}
    for task in (task for task in tasks if task.task_id not in told):
        groups.setdefault(task.task_id, []).append(task)
    return groups


def _shortened(source: str) -> str:
    """A long name by its end, which tells more than its beginning."""
    return source if len(source) <= SHOWN_SOURCE else f"…{source[1 - SHOWN_SOURCE :]}"
