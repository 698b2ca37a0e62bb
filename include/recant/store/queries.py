"""SQL by name: a room keeps its statements in `.sql` files beside it, each under a line `-- name: verb_noun`."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)\s*$", re.MULTILINE)


@cache
def load(package: str, filename: str) -> MappingProxyType[str, LiteralString]:
    """The statements of a package's `.sql` file by name. Raises ValueError for a name given twice or an empty file."""
    parts = _NAME.split(files(package).joinpath(filename).read_text("utf-8"))
    names, bodies = parts[1::2], parts[2::2]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{package}/{filename}: every statement needs a name of its own (-- name: …)")
    return MappingProxyType({n: cast(LiteralString, b.strip()) for n, b in zip(names, bodies, strict=True)})
