"""Markdown (CommonMark with tables and front matter) as plain text: links and emphasis lose their marks, badges go."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml  # type: ignore[import-untyped]
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from recant.ingestion.document import Attributes, Block, Reading
from recant.ingestion.readers.attributes import Repairs, document_attributes
from recant.ingestion.readers.formats import is_badge
from recant.ingestion.readers.html import html_blocks
from recant.ingestion.readers.tables import table_block

MAX_NESTING = 40
"""Beyond it markdown-it drops content, so such a document is taken as plain text instead (RecursionError)."""
MAX_FRONT_MATTER_CHARACTERS = 64 * 1024
MAX_FRONT_MATTER_BRACKETS = 500
"""The YAML scanner's time grows with the square of how many are open."""

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_ALERT = re.compile(r"\A\[!(\w+)\]\s*")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_PARSER = MarkdownIt("commonmark", {"maxNesting": MAX_NESTING}).enable(["table", "strikethrough"])


def read_markdown(text: str) -> Reading:
    """Blocks with their line numbers; what the front matter says becomes title and attributes."""
    front = _FRONT_MATTER.match(text)
    fields = _front_matter(front.group(1)) if front else None
    body = text[front.end() :] if front else text
    offset = front.group(0).count("\n") if front else 0
    blocks = _blocks(body, offset)
    if front and fields is None:
        blocks.insert(0, Block("code", front.group(1).rstrip("\n"), language="yaml"))
    repairs = Repairs()
    found = dict(fields or {})
    title = found.pop("title", None)
    attributes = document_attributes(found, repairs, synonyms=True) | repairs.noted()
    return Reading(tuple(blocks), repairs.text(str(title)).strip() or None if title else None, attributes)


def _front_matter(text: str) -> dict[str, object] | None:
    """The fields between the `---` lines; None when they aren't a YAML mapping."""
    if len(text) > MAX_FRONT_MATTER_CHARACTERS or text.count("[") + text.count("{") > MAX_FRONT_MATTER_BRACKETS:
        return None
    try:
        fields = yaml.load(text, _FrontMatterLoader)  # noqa: S506 - it derives from SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return {str(name): value for name, value in fields.items()} if isinstance(fields, dict) else None


class _FrontMatterLoader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML without aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read in front matter")
        return super().compose_node(parent, index)


def _blocks(text: str, offset: int) -> list[Block]:
    tokens = _PARSER.parse(text)
    if max((token.level for token in tokens), default=0) >= MAX_NESTING - 2:
        raise RecursionError("nested too deeply for markdown-it")
    root = SyntaxTreeNode(tokens)
    return [block for node in root.children for block in _block(node, offset)]


def _block(node: SyntaxTreeNode, offset: int) -> Iterator[Block]:
    if node.type == "html_block":
        yield from html_blocks(node.content)
        return
    attributes = _attributes(node, offset)
    if node.type == "table":
        table = table_block(*_rows(node), attributes)
        if table:
            yield table
        return
    text = _text(node)
    if not text.strip():
        return
    if node.type == "heading":
        yield Block("heading", " ".join(text.split()), level=int(node.tag[1]), attributes=attributes)
    else:
        kind = _KINDS.get(node.type, "paragraph")
        yield Block(kind, text, language=_language(node), attributes=attributes)


_KINDS = {
    "fence": "code",
    "code_block": "code",
    "bullet_list": "list",
    "ordered_list": "list",
    "blockquote": "quote",
}


def _attributes(node: SyntaxTreeNode, offset: int) -> Attributes:
    attributes: Attributes = {}
    if node.map:
        attributes = {"line_start": node.map[0] + 1 + offset, "line_end": node.map[1] + offset}
    links = [str(link.attrs["href"]) for link in node.walk() if link.type == "link" and _inline(link)]
    kept = [link for link in dict.fromkeys(links) if link.startswith(("http://", "https://"))]
    return attributes | ({"links": [*kept]} if kept else {})


def _language(node: SyntaxTreeNode) -> str | None:
    if node.type != "fence":
        return None
    words = re.split(r"[\s,{}]+", node.info.strip().removeprefix("{"), maxsplit=1)
    return words[0].lstrip(".") or None


def _rows(table: SyntaxTreeNode) -> tuple[list[list[str]], int]:
    headers = sum(len(part.children) for part in table.children if part.type == "thead")
    rows = [row for part in table.children for row in part.children]
    return [[_text(cell) for cell in row.children] for row in rows], headers


def _text(node: SyntaxTreeNode) -> str:
    if node.type in ("fence", "code_block"):
        return node.content.rstrip("\n")
    if node.type in ("bullet_list", "ordered_list"):
        return _list(node)
    if node.type == "inline":
        return _tidy("".join(_inline(child) for child in node.children))
    if node.type == "html_block":
        return "\n".join(block.text for block in html_blocks(node.content))
    if node.type == "table":
        table = table_block(*_rows(node), {})
        return table.text if table else ""
    parts = [text for child in node.children if (text := _text(child)).strip()]
    text = "\n".join(parts)
    return _ALERT.sub(lambda found: f"{found.group(1).capitalize()}: ", text) if node.type == "blockquote" else text


def _list(node: SyntaxTreeNode) -> str:
    first = int(node.attrs.get("start", 1))
    lines = []
    for number, item in enumerate(node.children, start=first):
        marker = f"{number}. " if node.type == "ordered_list" else "- "
        text = _text(item)
        if text.strip():
            lines.append(marker + text.replace("\n", "\n" + " " * len(marker)))
    return "\n".join(lines)


def _inline(node: SyntaxTreeNode) -> str:
    if node.type == "text":
        return node.content
    if node.type == "code_inline":
        return f"`{node.content}`"
    if node.type in ("softbreak", "hardbreak"):
        return " " if node.type == "softbreak" else "\n"
    if node.type == "image":
        return "" if is_badge(str(node.attrs.get("src", ""))) else _alternative(node)
    if node.type == "html_inline":
        return "\n" if _BREAK.fullmatch(node.content) else ""
    if node.type == "link" and all(child.type in ("image", "html_inline", "softbreak") for child in node.children):
        return ""
    return "".join(_inline(child) for child in node.children)


def _alternative(image: SyntaxTreeNode) -> str:
    return "".join(_inline(child) for child in image.children) if image.children else image.content


def _tidy(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.split("\n")).strip()
