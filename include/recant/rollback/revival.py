"""What a plan needs of payloads that were reclaimed: where they are, or a refusal; and the plan's answer with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recant.artifacts.payloads import Found, Needed, Payloads, Source
from recant.errors import PastHorizon
from recant.rollback.blast_radius import Changes, summarised
from recant.store import Connection, Row, load

_SQL = load(__package__, "rollback.sql")
NAMED_RECORDS = 20


@dataclass(frozen=True, slots=True)
class Revival:
    """What has to be brought back before a plan is applied."""

    sources: tuple[Source, ...] = ()
    bare: tuple[int, ...] = ()
    """Versions that need no payload: their mark is taken away."""

    @property
    def versions(self) -> list[int]:
        """All of them."""
        return sorted({*self.bare, *(version for source in self.sources for version in source.versions)})

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"sources": [source.to_dict() for source in self.sources], "bare": list(self.bare)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any] | None) -> Revival:
        """The reverse of to_dict."""
        found = given or {"sources": (), "bare": ()}
        return cls(tuple(Source.from_dict(source) for source in found["sources"]), tuple(found["bare"]))


NO_REVIVAL = Revival()


def find_revival(connection: Connection, payloads: Payloads) -> Revival:
    """What the heads that `changes` has worked out need. Raises PastHorizon, naming documents, for what is nowhere."""
    rows = connection.execute(_SQL["reclaimed_revivals"]).fetchall()
    bare = tuple(row["version_id"] for row in rows if row["bare"] and not row["erased"])
    needed = [_needed(row) for row in rows if not row["bare"] and not row["erased"]]
    erased = tuple(_needed(row) for row in rows if row["erased"])
    found = payloads.find(connection, needed) if needed else Found(())
    if found.missing or erased:
        raise _past_horizon((*erased, *found.missing), found.reasons)
    return Revival(found.sources, bare)


def with_revived(connection: Connection, change: Changes, revival: Revival) -> Changes:
    """The same change, with what comes back seen."""
    if not revival.versions:
        return change
    connection.execute(_SQL["imagine_revived"], {"versions": revival.versions})
    now = summarised(connection)
    chunks = now.revived.get("chunk", 0) + sum(source.chunks for source in revival.sources)
    return replace(now, revived=now.revived | ({"chunk": chunks} if chunks else {}))


def _needed(row: Row) -> Needed:
    own = {name: row[name] for name in ("version_id", "position", "collection", "kind", "key")}
    return Needed(operation_id=row["after_operation"], content_hash=bytes(row["content_hash"]), **own)


def _past_horizon(missing: Sequence[Needed], reasons: Sequence[str]) -> PastHorizon:
    first = missing[0]
    others = f", as that of {len(missing) - 1} others" if len(missing) > 1 else ""
    why = "".join(f" {reason}" for reason in reasons)
    records = [{"kind": n.kind, "key": n.key, "after_operation": n.operation_id} for n in missing[:NAMED_RECORDS]]
    return PastHorizon(
        f"{first.kind} {first.key} would be seen again as operation {first.operation_id} wrote it, but its text was "
        f"reclaimed{others}, and no archive at hand holds it.{why} Nothing was changed; ingest it anew instead.",
        records=records,
        archives=list(reasons),
    )
