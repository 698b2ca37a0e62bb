"""A document's blocks under their headings, and how much of those headings a chunk can carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from recant.ingestion.document import Block
from recant.ingestion.splitting import EDGES, Ruler, split


@dataclass(slots=True)
class Section:
    """Blocks that stand under the same headings, in order."""

    path: tuple[Block, ...]
    """The headings, outermost first."""
    blocks: list[Block] = field(default_factory=list)


def sections(blocks: Sequence[Block]) -> list[Section]:
    """The document cut at its headings. A heading with nothing under it is a paragraph of the section around it."""
    found = [Section(())]
    for place, block in enumerate(blocks):
        path = found[-1].path
        if block.kind != "heading":
            found[-1].blocks.append(block)
            continue
        outer = tuple(heading for heading in path if heading.level < block.level)
        if _has_content(blocks, place):
            found.append(Section((*outer, block)))
        else:
            found.append(Section(outer, [Block("paragraph", block.text, attributes=block.attributes)]))
    return [section for section in _joined(found) if section.blocks]


def _has_content(blocks: Sequence[Block], place: int) -> bool:
    following = blocks[place + 1] if place + 1 < len(blocks) else None
    return following is not None and (following.kind != "heading" or following.level > blocks[place].level)


def _joined(found: list[Section]) -> Iterator[Section]:
    last: Section | None = None
    for section in found:
        if last is not None and _same(last.path, section.path):
            last.blocks += section.blocks
            continue
        if last is not None:
            yield last
        last = section
    if last is not None:
        yield last


def _same(path: tuple[Block, ...], other: tuple[Block, ...]) -> bool:
    return len(path) == len(other) and all(one is another for one, another in zip(path, other, strict=True))


class Headers:
    """Chooses what of a path of headings is shown above a chunk, and remembers which were never shown whole."""

    def __init__(self, budget_tokens: int, ruler: Ruler) -> None:
        self._budget, self._ruler = budget_tokens, ruler
        self._told: set[int] = set()

    def fit(self, path: tuple[Block, ...]) -> tuple[tuple[str, ...], list[Block]]:
        """The headers within the budget, and the headings that must be told in the text since no header does.

        When there are too many, long ones are cut, then those between the outermost and the innermost left out.
        """
        texts = [heading.text for heading in path]
        shown = [text for place, text in enumerate(texts) if place == 0 or text != texts[place - 1]]
        if not self._fits(shown):
            shown = self._shortened(shown)
        untold = [heading for heading in path if heading.text not in shown and id(heading) not in self._told]
        self._told.update(id(heading) for heading in path)
        return tuple(shown), [Block("paragraph", heading.text, attributes=heading.attributes) for heading in untold]

    def _fits(self, texts: list[str]) -> bool:
        return self._ruler.size(" > ".join(texts) + "\n", self._budget) <= self._budget

    def _shortened(self, texts: list[str]) -> list[str]:
        half = max(1, self._budget // 2 - 4)
        shown = [self._cut(text, half) for text in texts]
        while not self._fits(shown) and shown:
            shown.pop(1 if len(shown) > 2 else 0)
        return shown

    def _cut(self, text: str, limit: int) -> str:
        if self._ruler.size(text, limit) <= limit:
            return text
        return next(split(text, EDGES["text"], limit, self._ruler))[0].rstrip() + "…"
