"""One block, and how it is told to whom it stops."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from recant.store import Row


@dataclass(frozen=True, slots=True)
class Block:
    """What is to be left out: bytes, a source, or, where both are given, those bytes under that source."""

    block_id: int
    collection: str | None
    """None: in every collection."""
    source_hash: str | None
    """sha256 of the content as it is read, as hex."""
    source: str | None
    seen_as: str | None
    """The source under which blocked content stood when a rollback blocked it. Not tested."""
    reason: str
    control_id: int | None
    """The rollback, or the expiry, that set it. While that is taken back, so is the block."""
    agent: str
    created_at: datetime
    in_effect: bool
    lifted_at: datetime | None = None
    lifted_by: str | None = None
    lift_reason: str | None = None
    control_kind: str | None = None
    """Of the operation that set it: rollback or expire_documents."""

    @property
    def state(self) -> str:
        """`in effect`, `lifted`, `rollback redone`, or `expiry taken back`."""
        return (
            "in effect"
            if self.in_effect
            else "lifted"
            if self.lifted_at
            else _UNDONE.get(self.control_kind or "", "rollback redone")
        )

    @property
    def rejection(self) -> str:
        """Why a document is left out, by whom, and how to let it in."""
        what = "its content is" if self.source is None else "its source is" if self.source_hash is None else "it is"
        what_set_it = "expiry" if self.control_kind == "expire_documents" else "rollback"
        with_rollback = f" with {what_set_it} {self.control_id}" if self.control_id else ""
        set_by = f"block {self.block_id}, set by {self.agent} on {self.created_at:%Y-%m-%d}{with_rollback}"
        return f"{what} blocked ({set_by}: {self.reason}). Wanted after all: `recant block lift {self.block_id} -m WHY`"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        times = {name: value.isoformat() if (value := getattr(self, name)) else None for name in _TIMES}
        return asdict(self) | times | {"state": self.state}


_UNDONE = {"expire_documents": "expiry taken back"}
_TIMES = ("created_at", "lifted_at")


def stored_block(row: Row) -> Block:
    """The block that a query of `blocks.sql` found."""
    digest = row["source_hash"]
    return Block(**{**row, "source_hash": None if digest is None else bytes(digest).hex()})
