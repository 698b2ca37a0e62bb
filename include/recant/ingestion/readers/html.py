"""HTML: title, meta data and the main content, without navigation, scripts and styles."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable

from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, XMLParsedAsHTMLWarning
from bs4.element import Comment, Doctype, NavigableString, PageElement, ProcessingInstruction, Tag

from recant.ingestion.document import Attributes, Block, Reading
from recant.ingestion.readers.attributes import Repairs, document_attributes
from recant.ingestion.readers.formats import is_badge
from recant.ingestion.readers.tables import table_block
from recant.ingestion.readers.text import paragraphs

DROPPED = frozenset(
    {"nav", "script", "style", "noscript", "template", "svg", "iframe", "footer", "aside", "form", "button", "head"}
)
"""Elements that are the page's, not the document's."""

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_INLINE = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd"}
    | {"label", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var"}
    | {"wbr"}
)
_META = {
    "author": "author",
    "article:author": "author",
    "description": "summary",
    "og:description": "summary",
    "keywords": "topics",
    "date": "created_at",
    "dcterms.created": "created_at",
    "article:published_time": "created_at",
    "last-modified": "updated_at",
    "dcterms.modified": "updated_at",
    "article:modified_time": "updated_at",
}
_LANGUAGE = re.compile(r"\b(?:language|lang|highlight(?:-source)?)-([\w+#-]+)")
_PARAGRAPH_SIGN = re.compile(r"\s*[¶🔗]\s*$")


def read_html(text: str) -> Reading:
    """The page's main content: `<main>`, else a single `<article>`, else the body without what frames it."""
    soup = _soup(text)
    attributes = _attributes(soup)
    title = soup.title.get_text(" ", strip=True) if soup.title else None
    body = soup.find("main") or soup.find(role="main") or _only(soup.find_all("article")) or soup.body
    blocks = _blocks_of(body if isinstance(body, Tag) else soup)
    return Reading(tuple(blocks), title or None, attributes)


def html_blocks(fragment: str) -> list[Block]:
    """The blocks in a piece of HTML, as it stands in Markdown and reStructuredText."""
    return _blocks_of(_soup(fragment))


def _soup(text: str) -> BeautifulSoup:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
        return BeautifulSoup(text, "lxml")


def _blocks_of(element: Tag) -> list[Block]:
    try:
        walk = _Walk()
        walk.children(element)
        walk.end_paragraph()
        return walk.blocks
    except RecursionError:
        return paragraphs(element.get_text("\n"))


def _only(found: Iterable[PageElement]) -> PageElement | None:
    elements = list(found)
    return elements[0] if len(elements) == 1 else None


def _attributes(soup: BeautifulSoup) -> Attributes:
    fields: dict[str, object] = {}
    for meta in soup.find_all("meta"):
        name = _META.get(str(meta.get("name") or meta.get("property") or "").lower())
        if name and str(meta.get("content") or "").strip():
            fields.setdefault(name, str(meta["content"]))
    language = soup.html.get("lang") if soup.html else None
    return document_attributes({**fields, "language": language}, Repairs())


class _Walk:
    """Goes through the elements in order and cuts their text into blocks."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._run: list[str] = []
        self._links: list[str] = []

    def children(self, element: Tag) -> None:
        """Everything in an element."""
        for child in element.children:
            if isinstance(child, Tag):
                self._tag(child)
            elif isinstance(child, NavigableString) and not _unspoken(child):
                self._run.append(str(child))

    def end_paragraph(self) -> None:
        """What text has gathered becomes a paragraph."""
        text = _joined(self._run)
        if text:
            self._add("paragraph", text)
        self._run, self._links = [], []

    def _tag(self, tag: Tag) -> None:
        if tag.name in DROPPED or tag.get("hidden") is not None or tag.get("aria-hidden") == "true":
            return
        if tag.name == "br":
            self._run.append("\v")
        elif tag.name == "img":
            self._run.append(f" {_alternative(tag)} ")
        elif tag.name in _INLINE:
            self._inline(tag)
        else:
            self.end_paragraph()
            self._block(tag)
            self.end_paragraph()

    def _inline(self, tag: Tag) -> None:
        address = str(tag.get("href") or "")
        if address.startswith(("http://", "https://")) and tag.get_text(strip=True):
            self._links.append(address)
        self.children(tag)

    def _block(self, tag: Tag) -> None:
        if tag.name in _HEADINGS:
            text = _PARAGRAPH_SIGN.sub("", _inline_text(tag))
            if text:
                self.blocks.append(Block("heading", text, level=_HEADINGS[tag.name]))
        elif tag.name == "pre":
            self._code(tag)
        elif tag.name in ("ul", "ol"):
            self._list(tag)
        elif tag.name == "table" and _is_data(tag):
            self._table(tag)
        elif tag.name == "blockquote":
            self._add("quote", "\n".join(block.text for block in _blocks_of(tag)))
        else:
            self.children(tag)

    def _code(self, tag: Tag) -> None:
        text = tag.get_text().strip("\n")
        if text.strip():
            self.blocks.append(Block("code", text, language=_code_language(tag)))

    def _list(self, tag: Tag) -> None:
        lines = _list_lines(tag)
        if lines:
            self._add("list", "\n".join(lines))

    def _table(self, tag: Tag) -> None:
        rows = list(tag.find_all("tr"))
        cells = [[_inline_text(cell) for cell in row.find_all(["td", "th"])] for row in rows]
        headed = next((place for place, row in enumerate(rows) if row.find("td")), 0)
        caption = tag.find("caption")
        if isinstance(caption, Tag) and (text := _inline_text(caption)):
            self._add("paragraph", text)
        block = table_block(cells, headed, {})
        if block:
            self.blocks.append(block)

    def _add(self, kind: str, text: str) -> None:
        if text.strip():
            links: Attributes = {"links": list(dict.fromkeys(self._links))} if self._links else {}
            self.blocks.append(Block(kind, text, attributes=links))


def _unspoken(text: NavigableString) -> bool:
    return isinstance(text, Comment | Doctype | ProcessingInstruction)


def _joined(run: list[str]) -> str:
    """Whitespace collapsed as browsers do; a vertical tab stands for a line break."""
    lines = (" ".join(line.split()) for line in "".join(run).split("\v"))
    return "\n".join(line for line in lines if line)


def _inline_text(tag: Tag) -> str:
    return " ".join(" ".join(block.text for block in _blocks_of(tag)).split())


def _alternative(image: Tag) -> str:
    """An image's text; one that is a link is a badge or a logo, and says nothing."""
    silent = image.find_parent("a") or is_badge(str(image.get("src") or ""))
    return "" if silent else str(image.get("alt") or "").strip()


def _code_language(tag: Tag) -> str | None:
    inner = tag.find("code")
    around = [tag, inner, tag.parent, tag.parent.parent if tag.parent else None]
    classes = (
        " ".join(map(str, element.get_attribute_list("class"))) for element in around if isinstance(element, Tag)
    )
    return next((found.group(1) for text in classes if (found := _LANGUAGE.search(text))), None)


def _list_lines(tag: Tag) -> list[str]:
    lines: list[str] = []
    for number, item in enumerate(tag.find_all("li", recursive=False), start=1):
        marker = f"{number}. " if tag.name == "ol" else "- "
        text = "\n".join(block.text for block in _blocks_of(item))
        if text:
            first, *rest = text.split("\n")
            lines += [marker + first, *(" " * len(marker) + line for line in rest)]
    return lines


def _is_data(table: Tag) -> bool:
    """A table within a table, or with a single column, lays the page out."""
    widest = max((len(row.find_all(["td", "th"])) for row in table.find_all("tr")), default=0)
    return table.find("table") is None and widest > 1
