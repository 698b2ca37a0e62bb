"""A database's contents in a form that two runs of one script share: no times, no random ids."""

from __future__ import annotations

import re

import psycopg
from psycopg.rows import dict_row

Snapshot = dict[str, list[str]]
"""By table: its rows as JSON text, sorted."""

_VARYING = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[0-9.+:Z-]*"), "<time>"),
    (re.compile(r'"chain": "[^"]*"'), '"chain": "<follows from the times>"'),
)
_STORY = ("operation", "verdict", "record_verdict", "visibility_history", "record_visibility_history", "lineage_event")
_PROJECTIONS = ("chunk_quality", "quality_projection", "scored_collection")


def snapshot(dsn: str) -> Snapshot:
    """Every row of every table, in one state of the database."""
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        tables = connection.execute("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'recant' ORDER BY 1")
        return {row["name"]: _rows(connection, row["name"]) for row in tables.fetchall()}


def _rows(connection: psycopg.Connection, table: str) -> list[str]:
    rows = connection.execute(f'SELECT to_jsonb(t)::text AS row FROM recant."{table}" t').fetchall()
    return sorted(_steady(row["row"]) for row in rows)


def _steady(text: str) -> str:
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    return text


def story(found: Snapshot) -> Snapshot:
    """What others can tell of it: operations that are closed, what is seen of them, and what was told about them."""
    opened = {_number(row, "id") for row in found["operation"] if '"life": "open"' in row}
    rows = {name: found[name] for name in _STORY if name in found} | {"operation": found["operation"]}
    return {
        name: [row for row in kept if _number(row, "id" if name == "operation" else "operation_id") not in opened]
        for name, kept in rows.items()
    }


def without_projections(found: Snapshot) -> Snapshot:
    """What is not computed from the rest."""
    return {name: rows for name, rows in found.items() if name not in _PROJECTIONS}


def _number(row: str, column: str) -> int:
    found = re.search(rf'"{column}": (\d+)', row)
    assert found is not None, f"{column} is missing in {row}"
    return int(found[1])


def difference(found: Snapshot, expected: Snapshot) -> str:
    """Rows that only one of two has, table by table."""
    lines = []
    for name in sorted({*found, *expected}):
        extra, lacking = set(found.get(name, [])), set(expected.get(name, []))
        lines += [f"{name} has  {row}" for row in sorted(extra - lacking)]
        lines += [f"{name} lacks {row}" for row in sorted(lacking - extra)]
    return "\n".join(lines)
