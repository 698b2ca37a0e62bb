"""What is not wanted: content and sources that an ingest is to leave out until the block is lifted.

Offers adding, listing and lifting blocks, and whether a document is blocked. Keeps out what is done about one (ingestion)
and what a rollback withdraws (rollback).
"""

from recant.blocks.block import Block
from recant.blocks.blocks import Blocks, block_withdrawn, would_block

__all__ = ["Block", "Blocks", "block_withdrawn", "would_block"]
