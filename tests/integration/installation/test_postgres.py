"""The embedded PostgreSQL: what starts, what stays private, what survives."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from recant.errors import ConfigurationError, DatabaseUnreachable
from recant.installation import postgres_configuration
from recant.installation.ports import free_port
from recant.installation.postgres import EmbeddedPostgres, binaries


def server_in(folder: Path, **options: object) -> EmbeddedPostgres:
    """A server of the folder that doesn't wait for the disk."""
    arguments = {"secrets_dir": folder / "secrets", "log_file": folder / "logs" / "postgres.log", "durable": False}
    return EmbeddedPostgres(folder / "postgres", **(arguments | options))  # type: ignore[arg-type]


@pytest.fixture
def home(reachable_folder: Path) -> Iterator[Path]:
    """A new folder whose path has a space; removed after the test."""
    folder = reachable_folder / "a new place" / uuid.uuid4().hex
    yield folder / ".recant"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedPostgres]:
    """A server that has not been started; stopped at the end."""
    server = server_in(home)
    yield server
    server.stop()


def test_started_server_has_pgvector(server: EmbeddedPostgres) -> None:
    """A started server takes connections, and pgvector 0.8 or newer can be created in it."""
    server.start()
    with psycopg.connect(server.dsn("postgres")) as connection:
        connection.execute("CREATE EXTENSION vector")
        row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    assert row is not None
    assert tuple(int(part) for part in row[0].split(".")) >= (0, 8)


def test_server_keeps_its_settings(server: EmbeddedPostgres) -> None:
    """It listens on loopback only, checks its pages, speaks UTF-8, and has no Unix socket."""
    server.start()
    with psycopg.connect(server.dsn("postgres")) as connection:
        row = connection.execute(
            "SELECT current_setting('listen_addresses'), current_setting('unix_socket_directories'),"
            " current_setting('data_checksums'), current_setting('server_encoding')"
        ).fetchone()
    assert row == ("127.0.0.1", "", "on", "UTF8")
    process = psutil.Process(server.pid)
    assert {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_data_is_safe_by_default(home: Path) -> None:
    """Unless told otherwise the server waits for the disk."""
    server = server_in(home, durable=True)
    server.start()
    try:
        with psycopg.connect(server.dsn("postgres")) as connection:
            row = connection.execute(
                "SELECT current_setting('fsync'), current_setting('synchronous_commit'),"
                " current_setting('full_page_writes')"
            ).fetchone()
    finally:
        server.stop()
    assert row == ("on", "on", "on")


def test_wrong_password_is_refused(server: EmbeddedPostgres) -> None:
    """Nobody gets in from this machine without the password."""
    server.start()
    dsn = server.dsn("postgres").replace(server.password(), "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn)


def test_password_is_for_the_owner_only(server: EmbeddedPostgres, home: Path) -> None:
    """The password's file has mode 0600 in a folder of mode 0700, and it stands in no process's arguments."""
    server.start()
    assert stat.S_IMODE((home / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "secrets" / "postgres_password").stat().st_mode) == 0o600
    assert server.password() not in " ".join(psutil.Process(server.pid).cmdline())
    assert server.password() not in (home / "logs" / "postgres.log").read_text()


def test_starters_variables_stay_outside(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's environment has nothing of the starter's, which may hold passwords."""
    monkeypatch.setenv("RECANT_DSN", "postgresql://me:secret@elsewhere/db")
    server.start()
    assert "RECANT_DSN" not in psutil.Process(server.pid).environ()


def test_data_survives_a_restart_on_the_same_port(server: EmbeddedPostgres, home: Path) -> None:
    """Stopped and started again, it has its rows and its port."""
    server.start()
    port = server.port
    with psycopg.connect(server.dsn("postgres")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    assert not server.is_running()
    again = server_in(home)
    again.start()
    assert again.port == port
    with psycopg.connect(again.dsn("postgres")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_start_twice_is_one_server(server: EmbeddedPostgres, home: Path) -> None:
    """Starting what runs does nothing, and so do two starters at the same moment."""
    starters = [threading.Thread(target=server_in(home).start) for _ in range(2)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    pid = server.pid
    server.start()
    assert pid is not None
    assert server.pid == pid


def test_taken_port_is_passed_over(home: Path) -> None:
    """When another server has the wanted port, the next free one is taken."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        server = server_in(home, preferred_port=taken)
        server.start()
        try:
            assert server.port > taken
        finally:
            server.stop()


def test_port_lost_at_the_last_moment_is_passed_over(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another program takes the port between the look and the start, the next one is tried."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        offers = iter([taken, free_port(taken)])
        monkeypatch.setattr("recant.installation.postgres.free_port", lambda *_, **__: next(offers))
        server.start()
        assert server.port > taken


def test_server_outlives_its_starter(server: EmbeddedPostgres, home: Path) -> None:
    """The process that starts the server may end: the server goes on, with the data directory as its folder."""
    code = (
        "import sys; from pathlib import Path; from recant.installation.postgres import EmbeddedPostgres as E;"
        "h = Path(sys.argv[1]);"
        "E(h/'postgres', secrets_dir=h/'secrets', log_file=h/'logs'/'postgres.log', durable=False).start()"
    )
    subprocess.run([sys.executable, "-c", code, str(home)], check=True, timeout=60)
    assert server.is_running()
    assert os.readlink(f"/proc/{server.pid}/cwd") == str(home / "postgres")


def test_killed_server_recovers(server: EmbeddedPostgres) -> None:
    """After a kill -9 the stale postmaster.pid is no hindrance and committed rows are there."""
    server.durable = True
    server.start()
    with psycopg.connect(server.dsn("postgres")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1")
    process = psutil.Process(server.pid)
    family = [process, *process.children(recursive=True)]
    process.kill()
    psutil.wait_procs(family, timeout=10)
    assert not server.is_running()
    server.start()
    with psycopg.connect(server.dsn("postgres")) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_pid_file_of_another_process_is_stale(server: EmbeddedPostgres) -> None:
    """A postmaster.pid whose number now belongs to any other process doesn't count as running, nor is that killed."""
    server.start()
    server.stop()
    pid_file = server.data_dir / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{server.data_dir}\n1\n5432\n\n127.0.0.1\n1 1\nready   \n")
    assert not server.is_running()
    server.stop()
    server.start()
    assert server.is_running()


def test_not_running_says_what_to_do(server: EmbeddedPostgres) -> None:
    """Asking a stopped server for its address says to run `recant up`."""
    with pytest.raises(DatabaseUnreachable, match="recant up"):
        server.dsn("postgres")


def test_other_major_version_is_refused(server: EmbeddedPostgres) -> None:
    """A data directory of PostgreSQL 15 is left alone, and the message names both versions."""
    server.data_dir.mkdir(parents=True)
    (server.data_dir / "PG_VERSION").write_text("15\n")
    with pytest.raises(ConfigurationError, match=r"PostgreSQL 15.*is 18"):
        server.start()
    assert (server.data_dir / "PG_VERSION").read_text() == "15\n"


def test_foreign_folder_is_refused(server: EmbeddedPostgres) -> None:
    """A folder with somebody's files in it is never made into a data directory."""
    server.data_dir.mkdir(parents=True)
    (server.data_dir / "letter.txt").write_text("dear")
    with pytest.raises(ConfigurationError, match="neither empty nor"):
        server.start()
    assert (server.data_dir / "letter.txt").read_text() == "dear"


def test_interrupted_making_starts_over(server: EmbeddedPostgres) -> None:
    """What an interrupted first start left behind is thrown away."""
    draft = server.data_dir.with_name("postgres.new")
    draft.mkdir(parents=True)
    (draft / "half").write_text("made")
    server.start()
    assert server.is_running()
    assert not draft.exists()


def test_broken_setting_is_explained(server: EmbeddedPostgres) -> None:
    """When the server ends at once, the error shows what it said."""
    server.start()
    server.stop()
    with (server.data_dir / "postgresql.auto.conf").open("a") as file:
        file.write("shared_buffers = nonsense\n")
    with pytest.raises(DatabaseUnreachable, match="shared_buffers"):
        server.start()


def test_missing_binaries_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel the message names the set-up and the way round it."""
    monkeypatch.setattr("recant.installation.postgres.importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"make setup.*RECANT_DSN"):
        binaries()


def test_deaf_server_is_stopped_all_the_same(server: EmbeddedPostgres) -> None:
    """A server that does not react to a fast shutdown is stopped by the next harder one."""
    server.start()
    process = psutil.Process(server.pid)
    process.suspend()
    server.stop(timeout_seconds=0.3)
    assert not server.is_running()


def test_small_shared_memory_is_avoided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /dev/shm is too small for a parallel index build, files are used in its place."""
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(postgres_configuration.shutil, "disk_usage", lambda _: usage._replace(free=64 * 1024**2))
    assert postgres_configuration.parameters(port=1, durable=True)["dynamic_shared_memory_type"] == "mmap"
    monkeypatch.setattr(postgres_configuration.shutil, "disk_usage", lambda _: usage._replace(free=2**40))
    assert postgres_configuration.parameters(port=1, durable=True)["dynamic_shared_memory_type"] == "posix"


def test_clone_is_a_database_of_its_own(empty_database: str) -> None:
    """The fixture's database is empty and can be written."""
    with psycopg.connect(empty_database) as connection:
        connection.execute("CREATE TABLE here (id int)")
        assert connection.execute("SELECT count(*) FROM here").fetchone() == (0,)
