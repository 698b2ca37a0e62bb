"""Measuring: rows of monitoring.sql made into metrics. Reads in one snapshot, and changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from recant.monitoring.activity import BOUNDS, quantile
from recant.monitoring.metrics import Metric, Point
from recant.store import Connection, Database, Row, load

_SQL = load(__package__, "monitoring.sql")
Found = Iterable[Metric]


def collect(database: Database, home: Path, *, window_seconds: float) -> list[Metric]:
    """All metrics of one moment; rates and latencies are over the window."""
    with database.snapshot(on_primary=True) as connection:
        connection.execute(_SQL["limit_time"])
        read = _Reader(connection, window_seconds)
        found = [metric for measure in MEASURES for metric in measure(read)]
    return [*found, *_disk(home)]


class _Reader:
    def __init__(self, connection: Connection, window_seconds: float) -> None:
        self.connection = connection
        self.window_seconds = window_seconds

    def rows(self, name: str) -> list[Row]:
        return self.connection.execute(_SQL[name], {"window": self.window_seconds}).fetchall()

    def row(self, name: str) -> dict[str, Any]:
        return next(iter(self.rows(name)), {})


def _log(read: _Reader) -> Found:
    row = read.row("log")
    yield _one("log_position", "The last position given out.", row.get("position", 0), kind="counter")
    yield _one("log_age_seconds", "Time since anything was published.", row.get("age_seconds"))


def _published(read: _Reader) -> Found:
    rows = read.rows("published")
    shown = {
        "operations": ("published_operations", "Operations published within the window."),
        "mean_seconds": ("operation_seconds_mean", "From opening to publishing, within the window."),
        "longest_seconds": ("operation_seconds_max", "The longest of them."),
        "documents": ("written_documents", "Documents that they wrote."),
        "chunks": ("written_chunks", "Chunks that they wrote."),
    }
    for column, (name, text) in shown.items():
        yield _many(name, text, [(row[column], {"kind": row["kind"]}) for row in rows])


def _aborted(read: _Reader) -> Found:
    row = read.row("aborted")
    reasons = [(row[name], {"reason": name}) for name in ("conflicts", "gate", "leases")]
    other = row["aborted"] - sum(value for value, _ in reasons)
    yield _many(
        "aborted_operations", "Operations given up within the window.", [*reasons, (other, {"reason": "other"})]
    )
    yield _one("write_conflicts", "Those that had lost a race against another write or an undo.", row["conflicts"])


def _open(read: _Reader) -> Found:
    row = read.row("open_operations")
    yield _one("open_operations", "Operations that are being written or held.", row["open"])
    yield _one("held_operations", "Those that wait for their session to be merged.", row["held"])
    yield _one("leases_expired", "Open operations whose worker is gone.", row["expired"])
    yield _one("open_operation_oldest_seconds", "Age of the oldest that isn't held.", row["oldest_seconds"] or 0)
    yield _one(
        "open_sessions", "Sessions that were opened, and neither merged nor discarded.", read.row("sessions")["open"]
    )


def _collections(read: _Reader) -> Found:
    rows = [(row["age_seconds"], {"collection": row["collection"]}) for row in read.rows("collections")]
    yield _many("collection_age_seconds", "Time since a collection was written to.", rows)


def _lineage(read: _Reader) -> Found:
    rows = read.rows("lineage")
    shown = {"pending": "lineage_pending", "dead": "lineage_dead", "oldest_seconds": "lineage_oldest_seconds"}
    texts = ("Events that a destination is owed.", "Events that it will never take.", "How long the oldest has waited.")
    for (column, name), text in zip(shown.items(), texts, strict=True):
        yield _many(name, text, [(row[column], {"destination": row["destination"]}) for row in rows])


def _undo(read: _Reader) -> Found:
    plans, horizon = read.row("plans"), read.row("horizon")
    yield _one("rollback_plans_open", "Rollback plans that could be applied.", plans["open"])
    yield _one("rollback_proposals_open", "Those that were proposed, and await an answer.", plans["proposed"])
    yield _one("horizon_position", "From here on every position can be answered.", horizon.get("position", 0))
    reach = horizon or read.row("oldest")
    yield _one("undo_reach_seconds", "How far back undoing goes.", reach.get("age_seconds"))


def _storage(read: _Reader) -> Found:
    rows, server = read.rows("tables"), read.row("server")
    yield _one("database_bytes", "Size of the database.", server["database_bytes"])
    texts = {
        "table_bytes": "Size of a table without its indexes.",
        "index_bytes": "Size of a table's indexes.",
        "rows": "Rows, as PostgreSQL estimates them.",
        "dead_ratio": "Share of a table's rows that VACUUM will free; 0 below ten thousand rows.",
    }
    for column, text in texts.items():
        name = f"table_{column}" if not column.startswith("table_") else column
        yield _many(name, text, [(row[column], {"table": row["name"]}) for row in rows])
    yield _one("connections", "Clients connected to the server.", server["connections"])
    used = server["connections"] / server["connections_allowed"]
    yield _one("connections_ratio", "Share of the connections that the server allows.", used)
    longest = server["longest_transaction_seconds"]
    yield _one("longest_transaction_seconds", "Age of the oldest transaction in this database.", longest)
    yield _one("transaction_age", "Transactions since the oldest one that isn't frozen.", server["transaction_age"])
    yield _one("deadlocks", "Deadlocks since the statistics were reset.", server["deadlocks"], kind="counter")


def _indexes(read: _Reader) -> Found:
    rows = [row for row in read.rows("vector_indexes") if row["indexed"]]
    shown = {
        "bytes": ("vector_index_bytes", "Size of a space's vector index."),
        "entries": ("vector_index_entries", "Its entries, as PostgreSQL estimates them."),
        "outside": ("vector_index_outside", "Embeddings that nothing seen needs, and that were taken out of it."),
        "untended": ("vector_index_untended", "Positions between the last tending and the last control operation."),
        "bloat": ("vector_index_bloat_ratio", "How much larger an entry is than when the index was built."),
        "recall": ("vector_index_recall", "Share of the ten nearest that the index found, when last compared."),
        "checked_seconds": ("vector_index_checked_seconds", "Time since it was compared."),
    }
    for column, (name, text) in shown.items():
        yield _many(name, text, [(row[column], {"space": row["space"]}) for row in rows])


def _backups(read: _Reader) -> Found:
    rows = [(row["age_seconds"], {"kind": row["kind"]}) for row in read.rows("backups")]
    yield _many("backup_age_seconds", "Time since the last backup.", rows)


def _relevance(read: _Reader) -> Found:
    rows = read.rows("relevance")
    labels = [{name: row[name] for name in ("collection", "mode", "queries")} for row in rows]
    texts = {
        "ndcg": ("search_ndcg", "How good searches were on judged queries, when last evaluated: nDCG, from 0 to 1."),
        "drop": ("search_ndcg_drop", "How far that is below the best of the ten evaluations before."),
    }
    for column, (name, text) in texts.items():
        yield _many(name, text, [(row[column], of) for row, of in zip(rows, labels, strict=True)])


def _audits(read: _Reader) -> Found:
    rows = read.rows("last_audits")
    texts = {
        "age_seconds": "Time since a collection was last audited.",
        "failed": "1 where something critical failed, when last audited, 0 where nothing did.",
        "failing_documents": "Documents that failed something critical, when last audited.",
        "failing_rows": "Rows that failed anything, when last audited; one counts once for each expectation.",
        "reject_rate": "Share of the documents that recent ingests looked at and left out, when last audited.",
        "drift_p_value": "How often chance alone tells recent vectors from those before as well, when last audited.",
    }
    for column, text in texts.items():
        yield _many(f"audit_{column}", text, [(row[column], {"collection": row["collection"]}) for row in rows])


def _artifacts(read: _Reader) -> Found:
    rows = read.rows("stale_artifacts")
    told = [(row["stale"], {"kind": row["kind"]}) for row in rows]
    yield _many("artifacts_stale", "Archives and exports that no longer say what is seen, of the last hundred.", told)


def _activity(read: _Reader) -> Found:
    recent: dict[str, list[int]] = {}
    for row in read.rows("recent_activity"):
        known = recent.get(row["what"], [0] * len(row["buckets"]))
        recent[row["what"]] = [a + b for a, b in zip(known, row["buckets"], strict=True)]
    for row in read.rows("activity"):
        what, buckets = row["what"], recent.get(row["what"], [])
        yield Metric(f"recant_{what}_seconds", f"How long a {what} took.", tuple(_histogram(row)), "histogram")
        yield _one(f"{what}_calls", f"Calls of {what} within the window.", sum(buckets))
        for share in (50, 95, 99):
            found = quantile(buckets, share / 100)
            yield _one(f"{what}_p{share}_seconds", f"{share} % of them took at most so long.", found)


def _histogram(row: Row) -> Iterable[Point]:
    total = 0
    for bound, count in zip([*map(str, BOUNDS), "+Inf"], row["buckets"], strict=True):
        total += count
        yield Point(total, {"le": bound}, "_bucket")
    yield Point(row["seconds"], suffix="_sum")
    yield Point(row["calls"], suffix="_count")


def _disk(home: Path) -> Found:
    there = next((path for path in (home, *home.parents) if path.exists()), None)
    if there is not None:
        usage = shutil.disk_usage(there)
        yield _one("disk_free_bytes", "Free where the installation keeps its data.", usage.free)
        yield _one("disk_free_ratio", "Share of that disk that is free.", usage.free / usage.total)


def _one(name: str, text: str, value: Any, kind: Any = "gauge") -> Metric:
    return Metric(f"recant_{name}", text, () if value is None else (Point(float(value)),), kind)


def _many(name: str, text: str, values: Sequence[tuple[Any, dict[str, str]]]) -> Metric:
    points = tuple(Point(float(value), labels) for value, labels in values if value is not None)
    return Metric(f"recant_{name}", text, points)


MEASURES: tuple[Callable[[_Reader], Found], ...] = (
    _log, _published, _aborted, _open, _collections, _lineage, _undo, _activity, _indexes, _backups, _storage, _relevance, _audits,
    _artifacts,
)  # fmt: skip
