"""reStructuredText by docutils, with nothing from outside: no file inclusion, no raw output, no configuration files.

What docutils doesn't know (Sphinx's directives and roles) keeps its text, and nothing is printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import roles

from recant.ingestion.document import Attributes, Block, Reading
from recant.ingestion.readers.html import html_blocks
from recant.ingestion.readers.rst_inline import inline_text, links_in
from recant.ingestion.readers.rst_unknown import Directive, directive_in
from recant.ingestion.readers.rst_work import NESTED_DOCUMENT, BoundedParser, Work
from recant.ingestion.readers.tables import table_block

SETTINGS: Mapping[str, object] = {
    "_disable_config": True,
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "halt_level": 5,
    # What docutils can't take it keeps in its messages; they are printed nowhere, and read here.
    "report_level": 1,
    "warning_stream": False,
    "doctitle_xform": False,
    "docinfo_xform": False,
    "sectsubtitle_xform": False,
    "syntax_highlight": "none",
    "smart_quotes": False,
    "line_length_limit": 10_000_000,
}

_SILENT = (
    nodes.comment,
    nodes.substitution_definition,
    nodes.target,
    nodes.pending,
    nodes.meta,
    nodes.transition,
    nodes.decoration,
    nodes.raw,
)
_LISTS = (
    nodes.bullet_list,
    nodes.enumerated_list,
    nodes.definition_list,
    nodes.field_list,
    nodes.option_list,
    nodes.docinfo,
)


_WORK: ContextVar[Work] = ContextVar("work")
"""Of the document that is being read, with whatever is read of it once more."""


def read_rst(text: str) -> Reading:
    """The blocks of a document; the underlined title is its first heading.

    Raises TooCostly for one that makes more work than a text of its length can be worth.
    """
    token = _WORK.set(Work(text))
    try:
        return Reading(tuple(_blocks_of_text(text, 0)))
    finally:
        _WORK.reset(token)


def _blocks_of_text(text: str, level: int) -> Iterator[Block]:
    work = _WORK.get()
    work.spend(NESTED_DOCUMENT)
    with _roles_kept():
        document = publish_doctree(text, parser=BoundedParser(work), settings_overrides=dict(SETTINGS))
    yield from _children(document, level)


@contextmanager
def _roles_kept() -> Iterator[None]:
    """Docutils registers a document's own roles for the whole process; the next document must not see them."""
    registered = roles._roles
    before = dict(registered)
    try:
        yield
    finally:
        registered.clear()
        registered.update(before)


def _children(node: nodes.Element, level: int) -> Iterator[Block]:
    for child in node.children:
        if isinstance(child, nodes.Element):
            yield from _block(child, level)


def _block(node: nodes.Element, level: int) -> Iterator[Block]:
    if isinstance(node, nodes.system_message):
        yield from _refused(node, level)
    elif isinstance(node, nodes.section):
        if "system-messages" not in node["classes"]:
            yield from _children(node, level + 1)
    elif isinstance(node, nodes.title | nodes.subtitle):
        yield from _heading(node, level)
    elif isinstance(node, nodes.literal_block | nodes.doctest_block | nodes.math_block):
        yield Block("code", node.astext().strip("\n"), language=_language(node))
    elif isinstance(node, _LISTS):
        yield from _texts("list", _list_text(node), node)
    elif isinstance(node, nodes.table):
        yield from _table(node, level)
    elif isinstance(node, nodes.topic) and "contents" in node["classes"]:
        return
    elif not isinstance(node, _SILENT):
        yield from _prose(node, level)


def _prose(node: nodes.Element, level: int) -> Iterator[Block]:
    if isinstance(node, nodes.paragraph | nodes.rubric | nodes.image | nodes.caption | nodes.reference):
        yield from _texts("paragraph", inline_text(node), node)
    elif isinstance(node, nodes.line_block):
        yield from _texts("paragraph", "\n".join(_lines(node)), node)
    elif isinstance(node, nodes.footnote | nodes.citation):
        yield from _texts("paragraph", _labelled(node), node)
    elif isinstance(node, nodes.Admonition) and not isinstance(node, nodes.admonition):
        yield from _prefixed(type(node).__name__.capitalize(), node, level)
    elif isinstance(node, nodes.block_quote) and all(isinstance(child, nodes.paragraph) for child in node.children):
        yield from _texts("quote", "\n".join(inline_text(child) for child in node.children), node)
    elif isinstance(node, nodes.admonition | nodes.topic | nodes.sidebar):
        yield from _titled(node, level)
    else:
        yield from _children(node, level)


def _heading(node: nodes.Element, level: int) -> Iterator[Block]:
    text = inline_text(node)
    if text:
        yield Block("heading", text, level=max(level, 1))


def _texts(kind: str, text: str, node: nodes.Element) -> Iterator[Block]:
    if text.strip():
        links = links_in(node)
        attributes: Attributes = {"links": [*links]} if links else {}
        yield Block(kind, text, attributes=attributes)


def _prefixed(label: str, node: nodes.Element, level: int) -> Iterator[Block]:
    """`Note: …` on the first paragraph of what the label is about."""
    for place, block in enumerate(_children(node, level)):
        if place == 0 and block.kind == "paragraph":
            yield Block("paragraph", f"{label}: {block.text}", attributes=block.attributes)
        else:
            if place == 0:
                yield Block("paragraph", f"{label}:")
            yield block


def _titled(node: nodes.Element, level: int) -> Iterator[Block]:
    """An aside with a title of its own: not a section, so the title goes before its text."""
    title, *rest = node.children or [nodes.title()]
    if isinstance(title, nodes.title):
        yield from _texts("paragraph", inline_text(title), title)
    else:
        rest = [title, *rest]
    for child in rest:
        yield from _block(child, level)


def _refused(message: nodes.Element, level: int) -> Iterator[Block]:
    """What docutils had to say no to, taken from the source that it quotes."""
    for quoted in message.findall(nodes.literal_block):
        directive = directive_in(quoted.astext())
        if directive is None:
            yield Block("code", quoted.astext().strip("\n"))
        else:
            yield from _unknown(directive, level)


def _unknown(directive: Directive, level: int) -> Iterator[Block]:
    if directive.name == "raw":
        yield from html_blocks(directive.body) if "html" in directive.argument else ()
    elif directive.is_code:
        yield Block("code", directive.body, language=directive.argument or None)
    elif directive.is_prose:
        if directive.heading:
            yield Block("paragraph", directive.heading)
        if directive.body:
            yield from _blocks_of_text(directive.body, level)


def _table(node: nodes.Element, level: int) -> Iterator[Block]:
    for title in node.children:
        if isinstance(title, nodes.title):
            yield from _texts("paragraph", inline_text(title), title)
    rows = [[_cell(entry) for entry in row.children] for row in node.findall(nodes.row)]
    headers = sum(len(head.children) for head in node.findall(nodes.thead))
    links = links_in(node)
    block = table_block(rows, headers, {"links": [*links]} if links else {})
    if block:
        yield block


def _cell(entry: nodes.Element) -> str:
    return " ".join(block.text for block in _children(entry, 1))


def _language(node: nodes.Element) -> str | None:
    if isinstance(node, nodes.doctest_block):
        return "pycon"
    return next((name for name in node["classes"] if name != "code"), None)


def _labelled(node: nodes.Element) -> str:
    label = next((child.astext() for child in node.children if isinstance(child, nodes.label)), "")
    rest = (inline_text(child) for child in node.children if not isinstance(child, nodes.label))
    return f"[{label}] {' '.join(rest)}"


def _lines(node: nodes.Element) -> Iterator[str]:
    for child in node.children:
        if isinstance(child, nodes.line_block):
            yield from _lines(child)
        elif text := inline_text(child):
            yield text


def _list_text(node: nodes.Element) -> str:
    return "\n".join(line for number, item in enumerate(_items(node)) if (line := _item(node, item, number)).strip())


def _items(node: nodes.Element) -> list[nodes.Element]:
    return [child for child in node.children if isinstance(child, nodes.Element)]


def _item(parent: nodes.Element, item: nodes.Element, number: int) -> str:
    if not isinstance(parent, nodes.bullet_list | nodes.enumerated_list):
        return _term(item)
    marker = f"{parent.get('start', 1) + number}. " if isinstance(parent, nodes.enumerated_list) else "- "
    text = "\n".join(block.text for block in _children(item, 1))
    return marker + text.replace("\n", "\n" + " " * len(marker)) if text.strip() else ""


def _term(item: nodes.Element) -> str:
    """`name: what it is` of definitions, fields and options."""
    named = (nodes.term, nodes.classifier, nodes.field_name, nodes.option_group)
    names = [inline_text(child) for child in item.children if isinstance(child, named)]
    bodies = [child for child in item.children if not isinstance(child, named)]
    if not names:
        return inline_text(item)
    blocks = [block for body in bodies for block in _children(body, 1)]
    text = "\n".join(block.text for block in blocks).replace("\n", "\n  ")
    between = " " if blocks and blocks[0].kind == "paragraph" else "\n  "
    return f"{' : '.join(names).rstrip(':')}:{between}{text}" if text else " : ".join(names)
