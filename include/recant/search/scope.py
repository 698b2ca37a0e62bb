"""Where a search looks: the collection, the position, and which operations count. Read in the answering snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recant.errors import UnknownCollection, UsageError
from recant.oplog.positions import require_answerable
from recant.search.filters import is_storable
from recant.search.ranking import HIGHEST_QUALITY
from recant.store import Connection, Row, load

_SQL = load(__package__, "search.sql")
_OF_ONE_SPACE = {
    "text_hash": "",
    "written_with": _SQL["written_with_own"],
    "embedded": _SQL["embedded_own"],
    "place": _SQL["place_own"],
}
_OF_ANY_SPACE = {
    "text_hash": _SQL["text_hash_any"],
    "written_with": _SQL["written_with_any"],
    "embedded": _SQL["embedded_any"],
    "place": _SQL["place_any"],
}


@dataclass(frozen=True, slots=True)
class Scope:
    """One collection at one position."""

    collection: str
    collection_id: int
    space_id: int
    dimensions: int
    position: int
    visibility: str
    """`latest`, `as_of` or `session`: the name of the test in search.sql."""
    own: tuple[int, ...]
    """The session's open operations."""
    has_index: bool
    has_quality: bool
    """Whether quality has a say in which hits are best: wanted, and there is any."""
    highest_quality: float
    """No chunk of the collection has a better one."""
    quality: str
    """`stored`, `as_of` or `none`: where the quality that is shown comes from; the part in search.sql."""
    outside: int
    """Embeddings of the space that its index doesn't hold, or more: what nothing that was seen needed, when it was tended."""
    tended_position: int
    control_position: int
    """Of the last control operation: one after the tending may show again what is outside the index."""
    generation: int
    """Rises with each share that is taken out."""
    indexed: int = 0
    """About how many vectors the index holds, of all collections of the space."""
    model: str = ""
    model_digest: str = ""
    """Of the space: what a query's vector is made by."""
    spaces: tuple[int, ...] = ()
    """Of a collection that was re-embedded, those that its chunks may have been written in; they are found by their texts."""

    @property
    def parameters(self) -> dict[str, Any]:
        """What the visibility tests are bound to."""
        return {"collection_id": self.collection_id, "position": self.position, "own": list(self.own)}

    def in_space(self, part: str) -> str:
        """A part of a statement that says how chunks and the vectors of the space come together."""
        if not self.spaces:
            return _OF_ONE_SPACE[part]
        return _OF_ANY_SPACE[part].format(space_id=int(self.space_id), spaces=",".join(map(str, map(int, self.spaces))))


def read_scope(
    connection: Connection, collection: str, *, as_of: int | None, session: str | None, by_quality: bool = True,
    space_id: int | None = None,
) -> Scope:  # fmt: skip
    """Where a search looks; `by_quality`, whether quality is to weigh in. As of a position it is that position's quality.

    Raises UnknownCollection, UsageError for a position that isn't there yet, PastHorizon for one that was reclaimed.

    As of a position a session has nothing of its own: an open operation has no position. `space_id`: another embedding space
    than the one in use, to try it.
    """
    if not is_storable(session or ""):
        raise UsageError(f"{session!r} can't be a session's name")
    parameters = {"collection": collection, "session": session if as_of is None else None, "as_of": as_of}
    parameters["space_id"] = space_id
    known = is_storable(collection)
    row = connection.execute(_SQL["describe_scope"], parameters, prepare=True).fetchone() if known else None
    if row is None:
        raise _unknown(connection, collection)
    if as_of is not None and not 0 <= as_of <= row["position"]:
        raise UsageError(f"There is no position {as_of}: the log stands at {row['position']}", position=row["position"])
    if as_of is not None:
        require_answerable(connection, as_of, collection)
    visibility = "as_of" if as_of is not None else "session" if row["own"] else "latest"
    return Scope(
        collection=collection, collection_id=row["collection_id"], space_id=row["space_id"], dimensions=row["dimensions"],
        position=row["position"] if as_of is None else as_of, visibility=visibility, own=tuple(row["own"]),
        has_index=row["has_index"], outside=row["outside"], tended_position=row["tended_position"],
        control_position=row["control_position"], generation=row["generation"], indexed=row["indexed"],
        model=row["model"], model_digest=row["model_digest"], spaces=tuple(row["spaces"]),
        **_quality(row, as_of, by_quality),
    )  # fmt: skip


def _quality(row: Row, as_of: int | None, by_quality: bool) -> dict[str, Any]:
    """What was scored at an earlier position may have another bound than what is now."""
    if as_of is None:
        return {
            "has_quality": by_quality and row["has_quality"],
            "highest_quality": row["highest_quality"],
            "quality": "stored" if row["has_quality"] else "none",
        }
    source = "as_of" if row["had_quality"] else "none"
    return {"has_quality": by_quality and row["had_quality"], "highest_quality": HIGHEST_QUALITY, "quality": source}


def _unknown(connection: Connection, collection: str) -> UnknownCollection:
    names = [row["name"] for row in connection.execute(_SQL["list_collections"])]
    known = f"there are {', '.join(names)}" if names else "there are none yet: ingest something first"
    return UnknownCollection(f"There is no collection {collection!r}; {known}", collections=names)
