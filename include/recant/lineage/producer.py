"""Who makes the events, and where the schemas of our own facets are published."""

from __future__ import annotations

PRODUCER = "https://github.com/recant/recant"
SCHEMAS = "https://raw.githubusercontent.com/recant/recant/main/docs/reference/schemas/"
