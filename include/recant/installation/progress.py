"""How work of some length tells what it is doing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Called with one sentence at each step."""


def silent(message: str) -> None:
    """Tells nobody."""
