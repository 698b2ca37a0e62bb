"""Python by definition: the module's docstring as prose, then every function, class head and method as a block."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from recant.ingestion.document import Attributes, Block, Reading
from recant.ingestion.readers.text import paragraphs, read_text

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def read_python(text: str) -> Reading:
    """Code blocks with `symbol`, `line_start` and `line_end`; headings are the names of what is defined.

    Comments right above a definition belong to it. What can't be compiled is read as plain text.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return read_text(text)
    lines = ast_lines(text)
    docstring, first = _docstring(module, lines)
    blocks = paragraphs(docstring) + list(_blocks(_pieces(module.body, lines, first, len(lines), ""), lines))
    return Reading(tuple(blocks))


def ast_lines(text: str) -> list[str]:
    """Lines as `ast` numbers them: only `\\n` ends one, a form feed doesn't."""
    return text.split("\n")


@dataclass(frozen=True, slots=True)
class _Piece:
    """Lines `start` to `end` (0-based, end excluded) that belong to one definition, or to none."""

    start: int
    end: int
    symbol: str
    is_top: bool


def _blocks(pieces: Iterator[_Piece], lines: list[str]) -> Iterator[Block]:
    for piece in pieces:
        text = "\n".join(lines[piece.start : piece.end])
        start = piece.start + len(text) - len(text.lstrip("\n"))
        text = text.strip("\n").rstrip()
        if not text.strip():
            continue
        if piece.is_top:
            yield Block("heading", piece.symbol, level=1)
        end = start + text.count("\n") + 1
        attributes: Attributes = {"symbol": piece.symbol or "<module>", "line_start": start + 1, "line_end": end}
        yield Block("code", text, language="python", attributes=attributes)


def _pieces(body: list[ast.stmt], lines: list[str], start: int, end: int, prefix: str) -> Iterator[_Piece]:
    """The lines from `start` to `end`, cut before and after each definition in `body`."""
    here = start
    loose = prefix
    for node in body:
        if not isinstance(node, _DEFINITIONS):
            continue
        begin = max(_first_line(node, lines), here)
        if begin > here:
            yield _Piece(here, begin, loose, bool(loose) and "." not in loose and here == start)
        here = _last_line(node)
        yield from _definition(node, lines, begin, here, prefix)
    if here < end:
        yield _Piece(here, end, loose, bool(loose) and "." not in loose and here == start)


def _definition(node: _Definition, lines: list[str], start: int, end: int, prefix: str) -> Iterator[_Piece]:
    symbol = f"{prefix}.{node.name}" if prefix else node.name
    if isinstance(node, ast.ClassDef):
        yield from _pieces(node.body, lines, start, end, symbol)
    else:
        yield _Piece(start, end, symbol, not prefix)


def _first_line(node: _Definition, lines: list[str]) -> int:
    """0-based, with its decorators and the comments right above."""
    line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
    return line


def _last_line(node: ast.stmt) -> int:
    """0-based, excluded."""
    return node.end_lineno or node.lineno


def _docstring(module: ast.Module, lines: list[str]) -> tuple[str, int]:
    """The module's docstring, and the first line after it (0-based); a comment above it stays with the code."""
    first = module.body[0] if module.body else None
    text = ast.get_docstring(module)
    if text is None or first is None:
        return "", 0
    return text, _last_line(first)
