"""What of a keyword index a scope sees: which chunks of which segments count. Arrays only, no database.

A view is made of the heads that are seen and of segments. Another one is made of it by what has changed in between: heads of
records that were written or spoken of, segments that came and went. It is then the view that would be made from nothing,
which is made that way, too: of a view in which there is nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from recant.search.bm25 import Floats, Mask, Part, part_of, seen_in
from recant.search.segments import Header, Longs, Posting, Segment
from recant.search.tokens import DEFAULT_LANGUAGE, Hash

NOBODY = 0
"""Owns what is in no segment: stored ones have keys above, those in memory below."""
MEMO_FREQUENCIES = 50_000


@dataclass(frozen=True, slots=True)
class Heads:
    """The document versions that are seen, by record."""

    records: Longs
    """Rising."""
    operations: Longs

    def changed(self, records: Longs, heads: Heads) -> Heads:
        """With other heads for these records: those given, and none for the rest of them."""
        kept = ~self.among(records)
        places = np.searchsorted(self.records[kept], heads.records)
        return Heads(
            np.insert(self.records[kept], places, heads.records),
            np.insert(self.operations[kept], places, heads.operations),
        )

    def among(self, records: Longs) -> Mask:
        """Which of them are of these records, rising."""
        found = np.zeros(len(self.records), np.bool_)
        if len(self.records) and len(records):
            places = np.minimum(np.searchsorted(self.records, records), len(self.records) - 1)
            found[places[self.records[places] == records]] = True
        return found

    def __len__(self) -> int:
        return len(self.records)


NO_HEADS = Heads(np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class Source:
    """A segment that chunks are looked up in."""

    key: int
    """Its id; below 0 for one in memory."""
    header: Header
    lengths: Floats
    bucket_bits: int = 0
    memory: Segment | None = None

    @property
    def bytes(self) -> int:
        """What it holds in memory, about."""
        return 12 * len(self.lengths) + 32 * len(self.header.records)


def source_of(key: int, header: Header, bucket_bits: int = 0, memory: Segment | None = None) -> Source:
    """Ready to be looked up."""
    return Source(key, header, header.lengths.astype(np.float64), bucket_bits, memory)


@dataclass(frozen=True, slots=True)
class View:
    """A collection as a scope sees it."""

    position: int
    heads: Heads
    owners: Longs
    """Of each head, the key of the segment that it is read from: the highest of those that have it."""
    sources: Mapping[int, Source]
    """By key, rising."""
    all_parts: Mapping[int, Part]
    parts: Sequence[Part]
    """Those in which something is seen."""
    chunks: int
    """That are seen: N of the formula."""
    average_length: float
    languages: tuple[str, ...]
    """Of the documents that are seen."""
    frequencies: dict[Hash, int] = field(default_factory=dict)
    """In how many chunks terms are seen, as far as that was asked."""

    @property
    def stored(self) -> tuple[int, ...]:
        """The ids of the stored segments, rising."""
        return tuple(key for key in self.sources if key > 0)

    @property
    def absent(self) -> Mask:
        """Which of the heads are in no segment."""
        found: Mask = self.owners == NOBODY
        return found

    def language_of(self, operation: int, record: int) -> str:
        """The language of a document that is seen."""
        if len(self.languages) == 1 or not len(self.heads):
            return self.languages[0]
        place = int(np.searchsorted(self.heads.records, record))
        part = self.all_parts.get(int(self.owners[min(place, len(self.heads) - 1)]))
        if part is None:
            return DEFAULT_LANGUAGE
        if len(part.languages) == 1:
            return next(iter(part.languages))
        header = part.header
        found = np.flatnonzero((header.records == record) & (header.operations == operation))
        return header.languages[int(header.tongues[found[-1]])] if len(found) else DEFAULT_LANGUAGE

    def frequency(self, term: Hash, postings: Sequence[Posting]) -> int:
        """In how many of the chunks that are seen a term occurs; `postings`: its, in each of the parts."""
        known = self.frequencies.get(term)
        if known is None:
            if len(self.frequencies) >= MEMO_FREQUENCIES:
                self.frequencies.clear()
            known = self.frequencies[term] = seen_in(self.parts, postings)
        return known

    @property
    def bytes(self) -> int:
        """About what it holds in memory by itself."""
        hidden = sum(9 * len(part.lengths) for part in self.all_parts.values() if part.seen is not None)
        return hidden + 24 * len(self.heads) + 1


NOTHING = View(0, NO_HEADS, np.zeros(0, np.int64), {}, {}, (), 0, 1.0, (DEFAULT_LANGUAGE,))


def advanced(before: View, position: int, heads: Heads, changed: Longs, sources: Mapping[int, Source]) -> View:
    """The view of other heads and other segments; `changed`: the records, rising, whose heads may not be what they were.

    What has changed is looked up in all segments, as is what a new segment has, and what one had that is gone.
    """
    old = _owners_before(before, heads)
    gone = heads.among(changed)
    for key in before.sources.keys() - sources.keys():
        gone |= old == key
    owners = np.where(gone, NOBODY, old)
    for key in sources.keys() - before.sources.keys():
        places, found = _places(heads, sources[key].header)
        taken = places[found]
        owners[taken[owners[taken] < key]] = NOBODY
    _resolve(heads, owners, sources)
    parts = _parts(before, heads, owners, sources, _other_owners(before, heads, old, owners, changed))
    return _assembled(position, heads, owners, sources, parts)


def _owners_before(before: View, heads: Heads) -> Longs:
    if not len(before.heads) or not len(heads):
        return np.full(len(heads), NOBODY, np.int64)
    places = np.minimum(np.searchsorted(before.heads.records, heads.records), len(before.heads) - 1)
    return np.where(before.heads.records[places] == heads.records, before.owners[places], NOBODY)


def _resolve(heads: Heads, owners: Longs, sources: Mapping[int, Source]) -> None:
    """Gives heads that nobody owns to the last segment that has them."""
    pending = np.flatnonzero(owners == NOBODY)
    wanted = Heads(heads.records[pending], heads.operations[pending])
    for key, source in sorted(sources.items()) if len(pending) else ():
        places, found = _places(wanted, source.header)
        owners[pending[places[found]]] = key


def _other_owners(before: View, heads: Heads, old: Longs, owners: Longs, changed: Longs) -> set[int]:
    """Segments of which other documents are seen than were."""
    moved = (owners != old) | heads.among(changed)
    return {*old[moved].tolist(), *owners[moved].tolist(), *before.owners[before.heads.among(changed)].tolist()}


def _places(heads: Heads, header: Header) -> tuple[Longs, Mask]:
    """Where each of a header's documents would be among the heads, and whether it is one."""
    if not len(heads):
        return np.zeros(len(header.records), np.int64), np.zeros(len(header.records), np.bool_)
    places = np.minimum(np.searchsorted(heads.records, header.records), len(heads) - 1)
    return places, (heads.records[places] == header.records) & (heads.operations[places] == header.operations)


def _parts(
    before: View, heads: Heads, owners: Longs, sources: Mapping[int, Source], others: set[int]
) -> dict[int, Part]:
    return {
        key: before.all_parts[key] if key in before.all_parts and key not in others else _part(source, heads, owners)
        for key, source in sorted(sources.items())
    }


def _part(source: Source, heads: Heads, owners: Longs) -> Part:
    """The segment with those of its documents that are heads and its own."""
    header = source.header
    places, found = _places(heads, header)
    if len(heads):
        found &= owners[places] == source.key
    languages = frozenset(header.languages[number] for number in np.unique(header.tongues[found]))
    return part_of(
        source.key, header, source.lengths, None if found.all() else np.repeat(found, np.diff(header.starts)), languages
    )


def _assembled(
    position: int, heads: Heads, owners: Longs, sources: Mapping[int, Source], parts: Mapping[int, Part]
) -> View:
    kept = [part for part in parts.values() if part.languages]
    chunks = sum(part.seen_chunks for part in kept)
    average = sum(part.seen_terms for part in kept) / chunks if chunks else 1.0
    languages = {language for part in kept for language in part.languages} or {DEFAULT_LANGUAGE}
    return View(position, heads, owners, sources, parts, kept, chunks, average or 1.0, tuple(sorted(languages)))
