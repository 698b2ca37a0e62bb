"""Cuts a parsed document into chunks that fit the embedding model, along its structure.

Paragraphs, lists, code and tables under one heading share a chunk as far as they fit; none is torn that fits one of its
own. Embeds nothing, and knows a model only by how it counts tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from recant.ingestion.document import JSON, Attributes, Block, Chunk, ParsedDocument, RawDocument, with_headers
from recant.ingestion.readers.opening import VOLATILE_ATTRIBUTES
from recant.ingestion.sections import Headers, sections
from recant.ingestion.splitting import EDGES, MAX_CHARACTERS_PER_TOKEN, Ruler, last_sentences, split, split_table

CHUNKER_VERSION = 1
"""Raised whenever readers or chunking give other chunks for the same document: all are read again then."""
MAX_TOKENS = 200
"""Of the 256 that all-MiniLM-L6-v2 reads."""
OVERLAP_TOKENS = 30
LEAST_MAX_TOKENS = 24

_TYPES = {"paragraph": "text", "quote": "text", "heading": "text"}
_CHARACTERS_WORTH_COUNTING = 4
"""A text with more of them per token allowed hardly ever fits whole."""


def chunk(
    parsed: ParsedDocument,
    *,
    count_tokens: Callable[[str], int],
    max_tokens: int = MAX_TOKENS,
    overlap_tokens: int = OVERLAP_TOKENS,
) -> tuple[Chunk, ...]:
    """The chunks of a document, in order. No word is lost, and no `embedding_text` has more than `max_tokens`.

    `count_tokens` counts as the embedding model does, its special tokens included, without truncation. Between two
    text chunks of one section the second begins with the last sentences of the first, `overlap_tokens` at most.
    Raises ValueError for sizes that leave no room for text.
    """
    if max_tokens < LEAST_MAX_TOKENS or not 0 <= overlap_tokens <= max_tokens // 3:
        raise ValueError(
            f"max_tokens={max_tokens} must be {LEAST_MAX_TOKENS} or more, and overlap_tokens={overlap_tokens} between "
            "0 and a third of it"
        )
    cutter = _Cutter(Ruler(count_tokens), max_tokens, overlap_tokens)
    return tuple(replace(found, index=index) for index, found in enumerate(cutter.chunks(parsed.blocks)))


def fingerprint(raw: RawDocument, *, max_tokens: int = MAX_TOKENS, overlap_tokens: int = OVERLAP_TOKENS) -> bytes:
    """What decides whether a document is unchanged: sha256 (32 bytes) of all that its chunks and attributes depend on.

    Left out is what changes by itself (a file's time, a server's ETag).
    """
    steady = {name: value for name, value in raw.attributes.items() if name not in VOLATILE_ATTRIBUTES}
    told = [CHUNKER_VERSION, max_tokens, overlap_tokens, raw.content_hash.hex(), raw.format, raw.title, steady]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()


@dataclass(frozen=True, slots=True)
class _Piece:
    """A block, or a part of one that is too long."""

    text: str
    size: int
    """Tokens, without special ones."""
    block: Block
    continues: bool = False
    """Whether it follows another part of the same block."""

    @property
    def is_prose(self) -> bool:
        return self.block.kind in ("paragraph", "quote")


class _Cutter:
    def __init__(self, ruler: Ruler, max_tokens: int, overlap_tokens: int) -> None:
        self._ruler, self._max_tokens, self._overlap_tokens = ruler, max_tokens, overlap_tokens
        self._headers = Headers((max_tokens - ruler.special_tokens) // 3, ruler)

    def chunks(self, blocks: Sequence[Block]) -> Iterator[Chunk]:
        for section in sections(blocks):
            headers, untold = self._headers.fit(section.path)
            for group in _groups([*untold, *section.blocks]):
                yield from self._group(group, headers)

    def _group(self, group: list[Block], headers: tuple[str, ...]) -> Iterator[Chunk]:
        """Blocks that may share a chunk: all in one where they fit, which is counted once; else as they fit."""
        whole = [_Piece(block.text, 0, block) for block in group]
        if sum(len(block.text) for block in group) <= self._max_tokens * _CHARACTERS_WORTH_COUNTING:
            found = self._chunk(whole, headers)
            if found:
                yield found
                return
        limit = self._limit(headers)
        for pack in self._packs([piece for block in group for piece in self._pieces(block, limit)], limit):
            yield from self._fitted(pack, headers, limit)

    def _limit(self, headers: tuple[str, ...]) -> int:
        """Tokens left for the text."""
        line = with_headers(headers, "")
        used = self._ruler.size(line, self._max_tokens) if line else 0
        return max(1, self._max_tokens - self._ruler.special_tokens - used)

    def _pieces(self, block: Block, limit: int) -> Iterator[_Piece]:
        size = self._ruler.size(block.text, limit)
        if size <= limit:
            yield _Piece(block.text, size, block)
            return
        position = 0
        for place, (part, part_size) in enumerate(self._parts(block, limit)):
            text = part.strip("\n").rstrip() if block.kind == "code" else part.strip()
            if text:
                located = _located(block, position, part)
                yield _Piece(text, part_size, located, continues=place > 0)
            position += len(part)

    def _parts(self, block: Block, limit: int) -> Iterator[tuple[str, int]]:
        if block.kind == "table":
            return split_table(block.text, block.header_rows, limit, self._ruler)
        if block.kind in EDGES:
            return split(block.text, EDGES[block.kind], limit, self._ruler)
        return split(block.text, EDGES["text"], max(1, limit - self._overlap_tokens), self._ruler)

    def _packs(self, pieces: list[_Piece], limit: int) -> Iterator[list[_Piece]]:
        """Pieces that go together, in order, each pack as full as it gets."""
        pack: list[_Piece] = []
        used = characters = 0
        for piece in pieces:
            full = used + piece.size > limit or characters + len(piece.text) > limit * MAX_CHARACTERS_PER_TOKEN
            if pack and full:
                introduction = _introduction(pack, piece, limit)
                yield pack[: len(pack) - len(introduction)]
                pack = introduction or self._overlap(pack[-1], piece, limit)
                used, characters = sum(part.size for part in pack), sum(len(part.text) for part in pack)
            pack.append(piece)
            used, characters = used + piece.size, characters + len(piece.text)
        if pack:
            yield pack

    def _overlap(self, last: _Piece, following: _Piece, limit: int) -> list[_Piece]:
        """The end of the last chunk's text, to begin the next one with; nothing where there is no room or no prose."""
        room = min(self._overlap_tokens, limit - following.size)
        if not last.is_prose or not following.is_prose or room < 1:
            return []
        text = last_sentences(last.text, room, self._ruler)
        return [_Piece(text, self._ruler.size(text, room), last.block)] if text else []

    def _fitted(self, pack: list[_Piece], headers: tuple[str, ...], limit: int) -> Iterator[Chunk]:
        """The pack as a chunk. Where a tokenizer finds more tokens in the whole than in its parts, as several."""
        found = self._chunk(pack, headers)
        if found:
            yield found
        elif len(pack) > 1:
            half = len(pack) // 2
            yield from self._fitted(pack[:half], headers, limit)
            yield from self._fitted(pack[half:], headers, limit)
        elif limit > 1:
            tighter = limit * 3 // 4
            for piece in self._pieces(replace(pack[0].block, text=pack[0].text), tighter):
                yield from self._fitted([piece], headers, tighter)
        else:
            yield from self._fitted(pack, (), self._max_tokens)

    def _chunk(self, pack: list[_Piece], headers: tuple[str, ...]) -> Chunk | None:
        """None when it has too many tokens."""
        text = _joined(pack)
        token_count = self._ruler.count(with_headers(headers, text))
        if token_count > self._max_tokens:
            return None
        blocks = [piece.block for piece in pack]
        return Chunk(0, text, _type(pack), headers, token_count, _attributes(blocks))


def _groups(blocks: list[Block]) -> Iterator[list[Block]]:
    """A block that stands for a named thing has its chunk for itself."""
    group: list[Block] = []
    for block in blocks:
        if "symbol" not in block.attributes:
            group.append(block)
            continue
        if group:
            yield group
        yield [block]
        group = []
    if group:
        yield group


def _introduction(pack: list[_Piece], following: _Piece, limit: int) -> list[_Piece]:
    """A last paragraph that ends with a colon goes with what it announces, where both fit."""
    last = pack[-1]
    announces = last.is_prose and last.text.endswith(":") and not following.continues
    return [last] if announces and len(pack) > 1 and last.size + following.size <= limit else []


def _joined(pack: list[_Piece]) -> str:
    text = pack[0].text
    for piece in pack[1:]:
        text += (" " if piece.continues and piece.is_prose else "\n\n") + piece.text
    return text


def _located(block: Block, position: int, part: str) -> Block:
    """A part's own lines, where the block is a verbatim stretch of a file."""
    if "symbol" not in block.attributes:
        return block
    start = int(str(block.attributes["line_start"])) + block.text.count("\n", 0, position)
    own: Attributes = {"line_start": start, "line_end": start + part.rstrip("\n").count("\n")}
    return replace(block, attributes=block.attributes | own)


def _type(pack: list[_Piece]) -> str:
    weights: dict[str, int] = {}
    for piece in pack:
        kind = _TYPES.get(piece.block.kind, piece.block.kind)
        weights[kind] = weights.get(kind, 0) + len(piece.text)
    return max(weights, key=lambda kind: weights[kind])


def _attributes(blocks: list[Block]) -> Attributes:
    """Of several blocks: lines and pages from the first to the last, links all, the rest of whoever has it first."""
    merged: Attributes = {}
    for block in blocks:
        named: Attributes = {"language": block.language} if block.language else {}
        for name, value in (named | block.attributes).items():
            if name == "line_end":
                merged[name] = value
            elif name == "links":
                merged[name] = _united(merged.get(name), value)
            else:
                merged.setdefault(name, value)
        if block.attributes.get("page", merged.get("page")) != merged.get("page"):
            merged["page_end"] = block.attributes["page"]
    return merged


def _united(first: object, second: object) -> JSON:
    lists = [value if isinstance(value, list) else [] for value in (first, second)]
    return list(dict.fromkeys(lists[0] + lists[1]))
