"""How much work a reStructuredText may make: docutils needs seconds, or for ever, for a few hostile kilobytes.

The work is counted where docutils passes by, not timed, so a text is read the same way on every machine. A unit is about
ten microseconds of 2026; ordinary text takes half a one for a character, at most.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Parser, states

LEAST = 100_000
UNITS_PER_CHARACTER = 2
MOST = 2_000_000
LINE = 1
MESSAGE = 10
"""Both and a little more in a long text: much of docutils copies the rest of the lines to look at the next."""
NESTED_DOCUMENT = 50
COSTLY_WORDS = 5_000
"""Units above which a paragraph is taken as it is, without markup: it holds a word of 1,500 characters, base64 perhaps."""
WIDEST_TABLE = 2_000
"""Characters. docutils takes time by the square of a table's width."""
_LITERAL_BLOCK = re.compile(r"::[ \t]*$", re.MULTILINE)
_WIDE_TABLE = re.compile(rf"^[ \t]*(?:\+[-=]|=+ )[^\n]{{{WIDEST_TABLE}}}", re.MULTILINE)


class TooCostly(Exception):
    """No honest text of this length makes so much work. Never leaves the readers: it is read as plain text."""


class Work:
    """What may still be spent on one text."""

    def __init__(self, text: str) -> None:
        self.left: float = min(LEAST + len(text) * UNITS_PER_CHARACTER, MOST)
        if _WIDE_TABLE.search(text):
            raise TooCostly

    def spend(self, units: float) -> None:
        """Raises TooCostly when it is used up."""
        self.left -= units
        if self.left < 0:
            raise TooCostly


class BoundedParser(Parser):  # type: ignore[misc]
    """Docutils' parser, counting."""

    def __init__(self, work: Work) -> None:
        super().__init__(inliner=_bounded_inliner(work))
        self.work = work

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Counts lines as often as they are looked at, messages, what is left pending, and what substitutions put in."""
        note_source, lines = document.note_source, inputstring.count("\n")
        line_units, message_units = LINE + lines / 8_000, MESSAGE + lines / 1_000

        def note_line(source: Any, offset: int | None) -> None:
            self.work.spend(line_units)
            note_source(source, offset)

        document.note_source = note_line
        document.reporter.attach_observer(lambda message: self.work.spend(message_units))
        self.work.spend(len(_LITERAL_BLOCK.findall(inputstring)) * lines / 1_000)
        super().parse(inputstring, document)
        self.work.spend(sum(1 for _ in document.findall(nodes.pending)) ** 2 / 500)
        document.substitution_defs = _Substitutions(document.substitution_defs, self.work)


def _bounded_inliner(work: Work) -> Any:
    """Docutils' inliner, counting. Not a subclass: its patterns are made of its own class's attributes."""
    inliner = states.Inliner()
    parse = inliner.parse

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        """Each start of markup has its end looked for, up to the end of the paragraph."""

        def method_counted(inliner: Any, match: re.Match[str], lineno: int) -> Any:
            work.spend(2 + len(match.string) / 500)
            return method(inliner, match, lineno)

        return method_counted

    def parse_counted(text: str, lineno: int, memo: Any, parent: nodes.Element) -> Any:
        """Looking for names and addresses takes time by the square of the longest word."""
        units = sum(len(word) ** 2 for word in text.split()) / 500
        if units > COSTLY_WORDS:
            return [nodes.Text(text)], []
        work.spend(1 + units)
        return parse(text, lineno, memo, parent)

    inliner.dispatch = {start: counted(method) for start, method in inliner.dispatch.items()}
    inliner.parse = parse_counted
    return inliner


class _Substitutions(dict[str, Any]):
    """Counts what is put in: definitions that name each other grow without bound, and a long one may be used often."""

    def __init__(self, definitions: dict[str, Any], work: Work) -> None:
        super().__init__(definitions)
        self.work = work
        self.nested = 0

    def __getitem__(self, name: str) -> Any:
        """Docutils looks for circles by going through all nested references so far."""
        definition = super().__getitem__(name)
        references = sum(1 for _ in definition.findall(nodes.substitution_reference))
        self.nested += references
        self.work.spend(10 + len(definition.astext()) / 10 + references * self.nested / 500)
        return definition
