"""Tables as text: one line a row, cells between bars."""

from __future__ import annotations

from collections.abc import Sequence

from recant.ingestion.document import Attributes, Block


def table_block(rows: Sequence[Sequence[str]], header_rows: int, attributes: Attributes) -> Block | None:
    """A table of cell texts (line breaks become spaces); None when all of them are blank."""
    lines = [[" ".join(cell.split()) for cell in row] for row in rows]
    kept = [line for line in lines if any(line)]
    if not kept:
        return None
    headed = sum(1 for line in lines[:header_rows] if any(line))
    text = "\n".join(f"| {' | '.join(line)} |" for line in kept)
    return Block("table", text, header_rows=headed, attributes=attributes)
