"""Another embedding model for a collection: built beside the one in use, evaluated, changed over to by one operation.

Offers `Reembedding`, and what it reports. Kept out: searching in a space and measuring how good that is, which are search's
and evaluation's; going back, which is a rollback like any other and computes nothing.
"""

from recant.reembedding.filling import Filled
from recant.reembedding.reembedding import DEFAULT_SOAK, Changeover, Reembedding, SpaceState

__all__ = ["DEFAULT_SOAK", "Changeover", "Filled", "Reembedding", "SpaceState"]
