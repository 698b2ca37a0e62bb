"""A DSN that names a primary and a standby: who answers what, that nothing is read late, and what a failover costs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

import recant
from recant.cli import main
from recant.errors import DatabaseUnreachable, ReplicaConflict
from recant.installation.doctor import doctor
from recant.lineage import Start
from recant.oplog import Selector
from recant.settings import Settings, read_settings
from recant.store import Connection, Database, connect_once, names_several, primary_dsn, server_states
from recant.store.failures import translated
from tests.integration.library import Library
from tests.integration.lineage.test_every_kind import do_everything
from tests.streaming_replica import Cluster, streaming_cluster

pytestmark = pytest.mark.timeout(300)
PATIENT = 30.0


@pytest.fixture(scope="module")
def cluster(reachable_folder: Path) -> Iterator[Cluster]:
    """One that the tests of this file share; none of them hurts it."""
    with streaming_cluster(reachable_folder / f"cluster-{uuid.uuid4().hex[:8]}") as made:
        yield made


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """Of both, as patient as it has to be under load."""
    with Database(cluster.dsn, replica_wait_seconds=PATIENT) as opened:
        yield opened


def on_a_standby(connection: Connection) -> bool:
    """Where this connection leads."""
    row = connection.execute("SELECT pg_is_in_recovery() AS standby").fetchone()
    assert row
    return bool(row["standby"])


def test_what_is_read_is_read_on_the_standby_and_what_is_written_goes_to_the_primary(
    database: Database, cluster: Cluster
) -> None:
    """Snapshots there, transactions and connections of their own here; and what only the primary can say, too."""
    with database.snapshot() as reading, database.transaction() as writing, database.connection() as alone:
        assert (on_a_standby(reading), on_a_standby(writing), on_a_standby(alone)) == (True, False, False)
    with database.snapshot(on_primary=True) as reading:
        assert not on_a_standby(reading)
    with connect_once(cluster.dsn) as connection:
        assert not on_a_standby(connection)
    backwards = psycopg.conninfo.make_conninfo(
        cluster.dsn, port=",".join(reversed(psycopg.conninfo.conninfo_to_dict(cluster.dsn)["port"].split(",")))
    )
    with Database(backwards, replica_wait_seconds=PATIENT) as other, other.transaction() as writing:
        assert not on_a_standby(writing), "wherever the primary stands in the DSN"


def test_every_write_is_read_at_once(database: Database, cluster: Cluster) -> None:
    """By the one who wrote it and by everybody else: a read sees all that was committed before it, on the standby."""
    library = Library(database, name=f"library-{uuid.uuid4().hex[:8]}")
    with Database(cluster.dsn, replica_wait_seconds=PATIENT) as somebody_else:
        for number in range(20):
            library.publish({f"d{number}": f"text {number}"})
            position = library.log.position()
            for reader in (database, somebody_else):
                with reader.snapshot() as connection:
                    assert on_a_standby(connection)
                    row = connection.execute("SELECT log_position() AS position").fetchone()
                    assert row
                    assert row["position"] == position


def test_a_standby_that_is_late_is_waited_for_and_then_passed_over(cluster: Cluster) -> None:
    """While it takes nothing over the primary answers; once it does, it does again."""
    with Database(cluster.dsn, replica_wait_seconds=0.05) as hasty:
        library = Library(hasty, name=f"library-{uuid.uuid4().hex[:8]}")
        library.publish({"a": "one"})
        cluster.hold_replay(True)
        try:
            library.publish({"b": "two"})
            with hasty.snapshot() as connection:
                assert not on_a_standby(connection)
                row = connection.execute("SELECT log_position() AS position").fetchone()
                assert row
                assert row["position"] == library.log.position()
            late = next(server for server in server_states(cluster.dsn) if server.role == "standby")
            assert (late.behind_bytes or 0) > 0
            assert late.said.endswith("bytes behind")
        finally:
            cluster.hold_replay(False)
    cluster.catch_up()
    with Database(cluster.dsn, replica_wait_seconds=PATIENT) as patient, patient.snapshot() as connection:
        assert on_a_standby(connection)


def test_everything_works_with_a_standby(cluster: Cluster, tmp_path: Path) -> None:
    """Every kind of operation, one after the other; then the standby answers as the primary does, and all of it verifies."""
    with recant.connect(settings=_settings(cluster.dsn, tmp_path)) as kb:
        do_everything(kb, tmp_path)
        (first,) = kb.log(Selector(runs=("first",)))
        assert kb.verify().ok
    answers = []
    for dsn in (cluster.dsn, cluster.primary_alone):
        with recant.connect(settings=_settings(dsn, tmp_path)) as kb:
            found = kb.search("when are backups taken?", mode="hybrid")
            lineage = kb.lineage.downstream(Start(operation=first.operation_id)).to_dict()
            radius = kb.blast_radius(Selector(operations=(first.operation_id,))).to_dict()
            answers.append(([(hit.chunk_id, hit.score) for hit in found.hits], lineage, radius))
            with kb.database.snapshot() as connection:
                assert on_a_standby(connection) == (dsn == cluster.dsn)
    assert answers[0] == answers[1]
    assert answers[0][0]


def _settings(dsn: str, home: Path) -> Settings:
    given = {"RECANT_AGENT": "librarian", "RECANT_EMBEDDER": "local", "RECANT_SEARCH_CACHE": "0"}
    return replace(read_settings(given), home=home / "home", dsn=dsn, replica_wait_ms=30_000)


def test_which_server_is_what_is_shown(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `recant status` and `recant doctor`: the roles, and how far the standby is behind."""
    settings = replace(read_settings({}), home=tmp_path, dsn=cluster.dsn)
    cluster.catch_up()
    assert [server.role for server in server_states(cluster.dsn)] == ["primary", "standby"]
    (check,) = [check for check in doctor(settings) if check.name == "replicas"]
    assert check.state == "ok", check.detail
    assert "standby" in check.detail
    for name, value in {"RECANT_DSN": cluster.dsn, "RECANT_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    for arguments in (["status"], ["status", "--json"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert not ended.value.code
    text, _, document = capsys.readouterr().out.partition("{")
    assert "standby" in text
    servers = json.loads("{" + document)["database"]["servers"]
    assert [(server["role"], server["port"]) for server in servers] == [
        ("primary", str(cluster.primary.port)),
        ("standby", str(cluster.standby.port)),
    ]


def test_one_server_has_no_replicas(cluster: Cluster, tmp_path: Path) -> None:
    """Nothing changes for a DSN of one; one that can't be understood is nobody's."""
    assert not names_several(cluster.primary_alone)
    assert not names_several("no dsn at all")
    assert primary_dsn(cluster.primary_alone) == cluster.primary_alone
    with Database(cluster.primary_alone) as alone, alone.snapshot() as connection:
        assert not on_a_standby(connection)
    (check,) = [
        c for c in doctor(replace(read_settings({}), home=tmp_path, dsn=cluster.primary_alone)) if c.name == "replicas"
    ]
    assert check.state == "ok"


def test_without_a_standby_the_primary_answers(cluster: Cluster, tmp_path: Path) -> None:
    """One that is named and down costs a look, and a warning of the doctor."""
    dead = psycopg.conninfo.make_conninfo(
        cluster.primary_alone, host="127.0.0.1,127.0.0.1", port=f"{cluster.primary.port},1"
    )
    with Database(dead) as database:
        for _ in range(2):
            with database.snapshot() as connection:
                assert not on_a_standby(connection)
    assert [server.role for server in server_states(dead)] == ["primary", "unreachable"]
    (check,) = [c for c in doctor(replace(read_settings({}), home=tmp_path, dsn=dead)) if c.name == "replicas"]
    assert check.state == "warning"


def test_a_read_that_a_standby_breaks_off_can_be_tried_again() -> None:
    """PostgreSQL's words for it become a transient error that says what to set."""
    with pytest.raises(ReplicaConflict, match="hot_standby_feedback"), translated():
        raise psycopg.errors.SerializationFailure("canceling statement due to conflict with recovery")


def test_a_standby_that_dies_is_done_without(reachable_folder: Path) -> None:
    """The primary answers the very next read, though connections to the standby had been open."""
    with (
        streaming_cluster(reachable_folder / f"cluster-{uuid.uuid4().hex[:8]}") as cluster,
        Database(cluster.dsn, replica_wait_seconds=PATIENT) as database,
    ):
        with database.snapshot() as connection:
            assert on_a_standby(connection)
        cluster.end(cluster.standby)
        for _ in range(2):
            with database.snapshot() as connection:
                assert not on_a_standby(connection)
        assert [server.role for server in server_states(cluster.dsn)] == ["primary", "unreachable"]


def test_a_failover_is_followed(reachable_folder: Path) -> None:
    """The primary dies: reads go on, writes fail; the standby is promoted: writes go there, and nothing that was is lost."""
    with (
        streaming_cluster(reachable_folder / f"cluster-{uuid.uuid4().hex[:8]}") as cluster,
        Database(cluster.dsn, replica_wait_seconds=PATIENT) as database,
    ):
        library = Library(database)
        first = library.publish({"a": "one"})
        with database.snapshot() as connection:
            assert on_a_standby(connection)
        cluster.end(cluster.primary)
        with database.snapshot() as connection:
            assert on_a_standby(connection)
            assert connection.execute("SELECT FROM operation WHERE id = %s AND visible", [first]).fetchone() is not None
        with (
            pytest.raises(DatabaseUnreachable, match="can't be reached"),
            Database(cluster.dsn) as new,
            new.transaction(),
        ):
            pass
        assert [server.role for server in server_states(cluster.dsn)] == ["unreachable", "standby"]
        cluster.promote()
        second = library.publish({"b": "two"})
        assert library.view() == {"a": "one", "b": "two"}
        assert [server.role for server in server_states(cluster.dsn)] == ["unreachable", "primary"]
        with database.snapshot() as connection:
            assert (
                connection.execute("SELECT FROM operation WHERE id = %s AND visible", [second]).fetchone() is not None
            )
