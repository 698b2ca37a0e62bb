"""Directives that docutils doesn't know, or refuses, by their source: name, argument and body."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"\A\s*\.\. (?:\|[^|]*\| )?([\w:.+-]+)::[ \t]*(.*?)[ \t]*(?:\n|\Z)(.*)\Z", re.DOTALL)
_OPTION = re.compile(r"\A(?:[ \t]*:[\w-]+:[^\n]*(?:\n|\Z))+")
_CODE = frozenset({"code", "code-block", "sourcecode", "prompt", "parsed-literal", "ipython", "doctest", "testcode"})
_NOT_PROSE = re.compile(
    r"toctree|include|literalinclude|raw|auto\w+|(?:py:)?(?:current)?module|highlight|index|meta|image|figure|contents"
    r"|default-domain|tabularcolumns|sectnum|include-\w+|exampleinclude|jinja|click"
)
_LABELLED = {
    "versionadded": "Added in version",
    "versionchanged": "Changed in version",
    "deprecated": "Deprecated since version",
    "seealso": "See also:",
}
_SILENT_ARGUMENT = frozenset({"only", "ifconfig", "grid", "tab-set", "tabs", "container", "rst-class", "class"})


@dataclass(frozen=True, slots=True)
class Directive:
    """`.. name:: argument` with a body, options left out."""

    name: str
    argument: str
    body: str

    @property
    def is_code(self) -> bool:
        """Whether the body is a program's text."""
        return self.name in _CODE

    @property
    def is_prose(self) -> bool:
        """Whether there is text to read in it, rather than names of files and modules."""
        return _NOT_PROSE.fullmatch(self.name) is None

    @property
    def heading(self) -> str:
        """What the directive's first line says to a reader; empty when nothing."""
        if self.name in _SILENT_ARGUMENT:
            return ""
        return f"{_LABELLED.get(self.name, '')} {self.argument}".strip()


def directive_in(source: str) -> Directive | None:
    """The directive that a piece of source is; None when it is none."""
    found = _DIRECTIVE.match(source)
    if found is None:
        return None
    name, argument, rest = found.groups()
    body = _OPTION.sub("", textwrap.dedent(rest).lstrip("\n") if not rest.startswith("\n") else rest)
    return Directive(name, argument, textwrap.dedent(body).strip("\n"))
