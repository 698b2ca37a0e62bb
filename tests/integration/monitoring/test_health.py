"""Measuring, history, alerts and the endpoint, on a real database."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from recant.errors import ConfigurationError, DatabaseUnreachable, UsageError
from recant.lineage.outbox import Outbox, attach_destination, detach_destinations
from recant.monitoring import ActivityRecorder, Health, MetricsServer, collection, prometheus_text
from recant.monitoring.health import values
from recant.oplog import Attribution, Selector
from recant.settings import read_settings
from recant.store import Database
from tests.integration.library import Library


@pytest.fixture
def health(library: Library, tmp_path: Path) -> Health:
    """Of the library's database, with a home of its own."""
    return Health(library.database, read_settings({"RECANT_HOME": str(tmp_path)}))


def rules(folder: Path, text: str) -> Path:
    """A file that turns the built-in rule about disks off, which this machine may fail, and adds others."""
    path = folder / "alerts.yml"
    path.write_text(
        "alerts:\n  disk_nearly_full: {enabled: false}\n  connections_nearly_all: {enabled: false}\n" + text
    )
    return path


def age_alerts(library: Library, minutes: int) -> None:
    """As if that much time had passed."""
    with Database(library.database.dsn, role="recant_owner") as owner, owner.transaction() as connection:
        connection.execute("UPDATE alert SET seen_at = seen_at - make_interval(mins => %s)", [minutes])


def test_what_happened_is_in_the_metrics(library: Library, health: Health) -> None:
    """Writes and rollbacks by kind, what was given up and why, what is open, how old a collection is."""
    first = library.publish({"a": "one", "b": "two"})
    library.publish({"a": "three"})
    plan = library.rollback.plan(Selector(operations=(first,)), policy="force", agent="tester")
    library.rollback.run(plan, Attribution("tester"))
    library.log.abort(library.open(), "WriteConflict: somebody was first", failed=True)
    library.log.abort(library.open(), "changed my mind")
    library.open(lease_seconds=0.0)
    found = values(health.metrics())
    assert found["recant_log_position"] == 3
    assert found['recant_published_operations{kind="ingest"}'] == 2
    assert found['recant_published_operations{kind="rollback"}'] == 1
    assert found['recant_written_documents{kind="ingest"}'] == 3
    assert found['recant_aborted_operations{reason="conflicts"}'] == found["recant_write_conflicts"] == 1
    assert found['recant_aborted_operations{reason="other"}'] == 1
    assert (found["recant_open_operations"], found["recant_leases_expired"]) == (1, 1)
    assert 0 <= found['recant_collection_age_seconds{collection="library"}'] < 3600
    assert found["recant_database_bytes"] > found['recant_table_index_bytes{table="chunk"}'] > 0
    assert found["recant_horizon_position"] == 0
    assert found["recant_disk_free_bytes"] > 0


def test_an_empty_database_can_be_measured(database: str, tmp_path: Path) -> None:
    """And the text is what Prometheus understands."""
    with Database(database) as db:
        found = Health(db, read_settings({"RECANT_HOME": str(tmp_path)})).metrics()
    families = {family.name for family in text_string_to_metric_families(prometheus_text(found))}
    assert {"recant_log_position", "recant_open_operations", "recant_database_bytes"} <= families
    assert "recant_log_age_seconds" not in families


def test_lineage_that_nobody_takes_shows(library: Library, health: Health) -> None:
    """How much a destination is owed, since when, and what it refused, for as long as it is attached."""
    name = attach_destination(library.database, "marquez", None)
    library.publish({"a": "one"})
    outbox = Outbox(library.database, name)
    due, _ = outbox.due(10)
    outbox.bury(due[:1], "422")
    found = values(health.metrics())
    assert (
        found['recant_lineage_pending{destination="marquez"}'],
        found['recant_lineage_dead{destination="marquez"}'],
    ) == (1, 1)
    assert found['recant_lineage_oldest_seconds{destination="marquez"}'] >= 0
    detach_destinations(library.database, [])
    assert not [series for series in values(health.metrics()) if series.startswith("recant_lineage")]


def test_searches_are_counted_and_timed(library: Library, health: Health) -> None:
    """By whoever makes them, added up over processes; a call that raises doesn't count."""
    now = [100.0]
    recorders = [ActivityRecorder(library.database, clock=lambda: now[0]) for _ in range(2)]
    for recorder, seconds in zip(recorders * 2, (0.004, 0.03, 0.03, 20.0), strict=True):
        recorder.add("search", seconds)
    with pytest.raises(ValueError, match="no"), recorders[0].timed("search"):
        raise ValueError("no")
    assert values(health.metrics())["recant_search_calls"] == 2, "the first of each is written at once"
    for recorder in recorders:
        recorder.write()
        recorder.write()
    found = values(health.metrics())
    assert (found["recant_search_calls"], found["recant_search_seconds_count"]) == (4, 4)
    assert found["recant_search_seconds_sum"] == pytest.approx(20.064)
    assert 0.025 < found["recant_search_p50_seconds"] <= 0.05
    assert found["recant_search_p99_seconds"] == 10
    text = prometheus_text(health.metrics())
    assert 'recant_search_seconds_bucket{le="0.05"} 3' in text
    assert 'recant_search_seconds_bucket{le="+Inf"} 4' in text
    with recorders[0].timed("search"):
        now[0] += 6
    assert values(health.metrics())["recant_search_calls"] == 5, "written once enough time has passed"


def test_counting_never_makes_a_search_fail() -> None:
    """A database that is gone, or lacks the table, loses the counts and nothing else."""
    with Database("postgresql://nobody:nothing@127.0.0.1:1/none") as db:
        ActivityRecorder(db).add("search", 1.0)
        with pytest.raises(DatabaseUnreachable), db.transaction():
            pass


def test_alerts_fire_and_are_resolved(library: Library, health: Health, tmp_path: Path) -> None:
    """Pending for as long as the rule says, firing once, resolved once; a pending one that passes leaves nothing."""
    many = (
        "  many: {metric: recant_published_operations, labels: {kind: ingest}, above: 0, for: 5m, severity: critical}\n"
    )
    none = "  none: {metric: recant_log_position, below: 1}\n"
    file = rules(tmp_path, many + none)
    first = health.check()
    assert [(a.rule, a.state) for a in first.fired] == [("none", "firing")]
    library.publish({"a": "one"})
    second = health.check()
    assert [(a.rule, a.state) for a in second.resolved] == [("none", "resolved")]
    assert [(a.rule, a.state, a.series) for a in second.pending] == [
        ("many", "pending", 'recant_published_operations{kind="ingest"}')
    ]
    age_alerts(library, 6)
    third = health.check()
    assert [(a.rule, a.value, a.threshold, a.severity) for a in third.fired] == [("many", 1, 0, "critical")]
    again = health.check()
    assert (again.fired, again.resolved, [a.rule for a in again.firing]) == ([], [], ["many"])
    rules(tmp_path, many.replace("above: 0", "above: 5"))
    assert [a.rule for a in health.check(rules=file).resolved] == ["many"]
    assert health.alerts() == []
    assert [(a.rule, a.state) for a in health.alerts(include_resolved=True)] == [
        ("many", "resolved"),
        ("none", "resolved"),
    ]
    rules(tmp_path, many)
    assert [a.rule for a in health.check().pending] == ["many"]
    rules(tmp_path, "")
    assert health.check().pending == []
    assert len(health.alerts(include_resolved=True)) == 2


def test_two_checks_at_once_tell_of_an_alert_once(library: Library, health: Health, tmp_path: Path) -> None:
    """Whoever comes second finds it firing already."""
    rules(tmp_path, "  none: {metric: recant_log_position, below: 1}\n")
    told: list[str] = []
    threads = [threading.Thread(target=lambda: told.extend(a.rule for a in health.check().fired)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["none"]


def test_history_is_kept_and_forgotten(library: Library, health: Health, tmp_path: Path) -> None:
    """A series' values, newest first, for as many days as the last check says; minutes and old alerts go too."""
    rules(tmp_path, "")
    begin = datetime.now(UTC) - timedelta(days=1)
    health.check()
    library.publish({"a": "one"})
    report = health.check()
    assert [value for _, value in health.history("recant_log_position", begin)] == [1, 0]
    assert health.history("recant_log_position", datetime.now(UTC) + timedelta(hours=1)) == []
    assert health.history("recant_no_such", begin) == []
    assert health.checked_at() == report.taken_at
    with Database(library.database.dsn, role="recant_owner") as owner, owner.transaction() as connection:
        connection.execute("UPDATE health_sample SET taken_at = taken_at - interval '3 days'")
        connection.execute("INSERT INTO activity_minute VALUES ('search', now() - interval '3 days', 1, 1, '{1}')")
    health.check(keep_days=2)
    with library.database.transaction() as connection:
        assert connection.execute("SELECT count(*) AS n FROM health_sample").fetchone() == {"n": 1}
        assert connection.execute("SELECT count(*) AS n FROM activity_minute").fetchone() == {"n": 0}


def test_bad_rules_keep_nothing(health: Health, tmp_path: Path) -> None:
    """A check with a file that can't be understood is refused before it measures."""
    rules(tmp_path, "  x: {metric: recant_log_position}\n")
    with pytest.raises(ConfigurationError, match="either above or below"):
        health.check()
    assert health.checked_at() is None


@pytest.fixture
def endpoint() -> Iterator[tuple[MetricsServer, list[Exception]]]:
    """A server with the token `sesame`, and what its page is to fail with."""
    failures: list[Exception] = []

    def render() -> str:
        if failures:
            raise failures[0]
        return "recant_log_position 7\n"

    server = MetricsServer(render, "sesame")
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server, failures
    server.stop()
    thread.join()


def ask(url: str, token: str | None) -> tuple[int, str]:
    """Status and body."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_endpoint_wants_its_token(endpoint: tuple[MetricsServer, list[Exception]]) -> None:
    """Without it nothing is told, not even which pages there are; it listens on loopback only."""
    server, failures = endpoint
    assert server.url.startswith("http://127.0.0.1:")
    assert ask(server.url, "sesame") == (200, "recant_log_position 7\n")
    for wrong in (None, "sesam", "sésame", ""):
        assert ask(server.url, wrong)[0] == 401
    assert ask(server.url.replace("/metrics", "/etc/passwd"), None)[0] == 401
    assert ask(server.url.replace("/metrics", "/other"), "sesame")[0] == 404
    failures.append(DatabaseUnreachable("the database is gone"))
    assert ask(server.url, "sesame") == (503, "the database is gone\n")
    with pytest.raises(UsageError, match="can't be listened on"):
        MetricsServer(str, "x", port=int(server.url.split(":")[2].split("/")[0]))


def test_measuring_reads_no_table_that_grows(library: Library) -> None:
    """Neither versions, chunks nor embeddings are read, however many there are: by PostgreSQL's own count of rows."""
    library.publish({f"{i}": f"text {i}" for i in range(50)})
    tables = ("version", "chunk", "embedding", "record", "document_version", "dependency")
    counted = """SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) AS rows FROM pg_stat_xact_user_tables
                 WHERE schemaname = 'recant' AND relname = ANY (%s)"""
    with library.database.snapshot() as connection:
        before = connection.execute(counted, [list(tables)]).fetchone()
        reader = collection._Reader(connection, 3600.0)
        assert [metric for measure in collection.MEASURES for metric in measure(reader)]
        assert connection.execute(counted, [list(tables)]).fetchone() == before
        connection.execute("SELECT count(*) FROM chunk")
        assert connection.execute(counted, [list(tables)]).fetchone() != before, "the count would tell"


def test_audits_and_stale_artifacts_are_in_the_metrics(library: Library, tmp_path: Path) -> None:
    """What the last audit of a collection said, and files that a rollback has made stale; alerts tell of both."""
    import recant
    from recant.export import ExportRequest

    first = library.publish({"a": "A sentence.", "b": " "})
    with recant.connect(library.database.dsn, home=tmp_path / "home") as kb:
        assert 'recant_audit_failed{collection="library"}' not in values(kb.health.metrics())
        kb.audits.run("library", pages=0)
        kb.exports.write(ExportRequest(str(tmp_path / "out"), collection="library"), kb.attribution())
        found = values(kb.health.metrics())
        assert (found['recant_audit_failed{collection="library"}'], found['recant_artifacts_stale{kind="export"}']) == (
            1,
            0,
        )
        assert found['recant_audit_failing_documents{collection="library"}'] == 1
        assert found['recant_audit_failing_rows{collection="library"}'] >= 2
        assert found['recant_audit_reject_rate{collection="library"}'] == 0
        assert 0 <= found['recant_audit_age_seconds{collection="library"}'] < 3600
        kb.rollback(Selector(operations=(first,)), policy="force")
        assert values(kb.health.metrics())['recant_artifacts_stale{kind="export"}'] == 1
        report = kb.health.check()
    assert {"audit_fails"} <= {alert.rule for alert in report.firing}
    assert {"artifacts_stale"} <= {alert.rule for alert in report.pending}
