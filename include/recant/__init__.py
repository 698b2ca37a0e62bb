"""Recant: a knowledge base that can take it back.

import recant

with recant.connect() as kb:
    report = kb.ingest(["docs/"], agent="librarian")
    hits = kb.search("how is a rollback approved?").hits
    kb.rollback(recant.Selector(operations=(report.operation_id,)))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recant.knowledge_base import KnowledgeBase, connect
    from recant.oplog import Selector

__version__ = "0.1.0"
__all__ = ["KnowledgeBase", "Selector", "__version__", "connect"]

_HOMES = {"KnowledgeBase": "recant.knowledge_base", "connect": "recant.knowledge_base", "Selector": "recant.oplog"}


def __getattr__(name: str) -> Any:
    """Loads on first use: `import recant` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'recant' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
