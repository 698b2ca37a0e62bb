"""Arrays in the form that COPY reads as text."""

from __future__ import annotations

from collections.abc import Iterable


def array_text(values: Iterable[str]) -> str:
    """A text[] as PostgreSQL writes it: every element quoted, quotes and backslashes escaped."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"
