"""Keeping the store in shape: the vector index, what was left behind, and what nobody can ask about any more."""

from recant.upkeep.checking import IndexCheck
from recant.upkeep.tending import IndexTending
from recant.upkeep.upkeep import Upkeep, UpkeepReport

__all__ = ["IndexCheck", "IndexTending", "Upkeep", "UpkeepReport"]
