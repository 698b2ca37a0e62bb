"""Text within a reStructuredText paragraph, without its markup."""

from __future__ import annotations

import re

from docutils import nodes

from recant.ingestion.readers.formats import is_badge

_ROLE = re.compile(r":[A-Za-z][\w:.+-]*:`([^`]*)`|`([^`]*)`:[A-Za-z][\w:.+-]*:")
_TARGET = re.compile(r"^(.*?)\s*<[^<>]*>$", re.DOTALL)
_PHRASE = re.compile(r"^`(.*)`__?$", re.DOTALL)


def inline_text(node: nodes.Node) -> str:
    """A node's text on one line; an image says its alternative text, unless it is a link (a badge, a logo)."""
    return " ".join(_text(node).split())


def links_in(node: nodes.Element) -> list[str]:
    """The web addresses that a node's text leads to, each once."""
    found = (reference.get("refuri", "") for reference in node.findall(nodes.reference) if _text(reference).strip())
    return list(dict.fromkeys(uri for uri in found if uri.startswith(("http://", "https://"))))


def _text(node: nodes.Node) -> str:
    if isinstance(node, nodes.Text):
        return str(node.astext())
    if isinstance(node, nodes.literal):
        return f"`{node.astext()}`"
    if isinstance(node, nodes.image):
        return _alternative(node)
    if isinstance(node, nodes.problematic):
        return _unmarked(node.astext())
    if isinstance(node, nodes.footnote_reference | nodes.citation_reference):
        return f"[{node.astext()}]"
    if isinstance(node, nodes.raw | nodes.system_message | nodes.substitution_definition):
        return ""
    if isinstance(node, nodes.option):
        return f"{node.astext()} "
    text = "".join(_text(child) for child in node.children)
    return f"{text} " if isinstance(node, nodes.paragraph | nodes.option_group) else text


def _alternative(image: nodes.Element) -> str:
    silent = isinstance(image.parent, nodes.reference) or is_badge(image.get("uri", ""))
    return "" if silent else f" {image.get('alt', '')} "


def _unmarked(source: str) -> str:
    """Markup that docutils couldn't resolve (Sphinx's roles, missing targets and substitutions) as what it shows."""
    if role := _ROLE.fullmatch(source):
        shown = role.group(1) or role.group(2) or ""
    elif phrase := _PHRASE.fullmatch(source):
        shown = phrase.group(1)
    else:
        return source.strip("|").removesuffix("_").removesuffix("_")
    target = _TARGET.match(shown)
    return (target.group(1) if target and target.group(1) else shown).lstrip("~!")
