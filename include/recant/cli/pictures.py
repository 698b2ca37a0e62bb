"""`--format` and `--output`: an answer as a picture, to standard output or into a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recant.cli.output import Output, write
from recant.errors import UsageError

if TYPE_CHECKING:
    from recant.drawing import Picture

PANEL = "As a picture"
_BY_SUFFIX = {".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot", ".svg": "svg", ".html": "html"}


class Form(StrEnum):
    """How a picture is written down."""

    mermaid = "mermaid"
    dot = "dot"
    svg = "svg"
    html = "html"


@dataclass(frozen=True, slots=True)
class Drawing:
    """Whether an answer is drawn, and where to."""

    format: Annotated[
        Form | None,
        typer.Option(
            help="Mermaid text, Graphviz text, SVG, or a page that pans, zooms and folds.", rich_help_panel=PANEL
        ),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            dir_okay=False,
            help="Write it there; the ending says the form.",
            rich_help_panel=PANEL,
        ),
    ] = None

    def form(self, *, as_json: bool) -> Form | None:
        """None: no picture is asked for. Raises UsageError where it can't be told which."""
        if as_json and (self.format or self.output):
            raise UsageError("Either --json or a picture.")
        if self.format or self.output is None:
            return self.format
        form = _BY_SUFFIX.get(self.output.suffix.lower())
        if form is None:
            raise UsageError(f"{self.output.name}: say which form with --format ({', '.join(Form)}).")
        return Form(form)

    def write(self, output: Output, picture: Picture, form: Form) -> None:
        """Draws it. Text and SVG have large fans folded; the page folds and opens them itself."""
        from recant.drawing import fold, to_dot, to_html, to_mermaid, to_svg

        still: dict[Form, Callable[[Picture], str]] = {Form.mermaid: to_mermaid, Form.dot: to_dot, Form.svg: to_svg}
        text = to_html(picture) if form is Form.html else still[form](fold(picture))
        if self.output is None:
            write(text)
            return
        try:
            self.output.write_text(text, "utf-8")
        except OSError as error:
            raise UsageError(f"{self.output} can't be written: {error.strerror}") from error
        output.note(f"Written to {self.output}")
