"""The log's statements by name, the conditions of a selector put in where they are asked for."""

from __future__ import annotations

from typing import Final

from recant.store import load

_NAMED = load(__package__, "oplog.sql")
_PARTS = {"conditions": _NAMED["conditions"], "wrote": _NAMED["wrote"]}
STATEMENTS: Final = dict(_NAMED) | {
    name: _NAMED[name].format(**_PARTS) for name in ("find_operations", "select_published")
}
