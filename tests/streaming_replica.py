"""A primary and a streaming standby, as PostgreSQL's own programs make them."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from recant.backups.programs import run
from recant.errors import RecantError
from recant.installation.ports import LOOPBACK
from recant.installation.postgres import SUPERUSER, EmbeddedPostgres
from recant.installation.server_user import server_user
from recant.settings import read_settings
from recant.store import migrate, program_environment


@dataclass
class Cluster:
    """Two servers of one cluster; `dsn` names both, the primary first."""

    primary: EmbeddedPostgres
    standby: EmbeddedPostgres
    database: str = SUPERUSER
    held: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        alone = [server.dsn(self.database) for server in (self.primary, self.standby)]
        self.primary_alone, self.standby_alone = alone
        ports = [str(conninfo_to_dict(dsn)["port"]) for dsn in alone]
        self.dsn = make_conninfo(alone[0], host="127.0.0.1,127.0.0.1", port=",".join(ports))

    def on(self, server: EmbeddedPostgres, query: str) -> Any:
        """The first value that a server answers a superuser with."""
        with psycopg.connect(server.dsn(self.database), autocommit=True) as connection:
            row = connection.execute(query).fetchone()  # type: ignore[arg-type]
        return row[0] if row else None

    def hold_replay(self, held: bool) -> None:
        """Whether the standby stops taking over what it is sent."""
        self.on(self.standby, f"SELECT pg_wal_replay_{'pause' if held else 'resume'}()")
        while held and self.on(self.standby, "SELECT pg_get_wal_replay_pause_state()") != "paused":
            pass

    def catch_up(self) -> None:
        """Waits until the standby has all that the primary wrote."""
        place = self.on(self.primary, "SELECT pg_current_wal_flush_lsn()::text")
        while not self.on(self.standby, f"SELECT pg_last_wal_replay_lsn() >= '{place}'::pg_lsn"):
            pass

    def end(self, server: EmbeddedPostgres) -> None:
        """A server is gone, and nobody else's takes its port."""
        port = server.port
        server.stop()
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((LOOPBACK, port))  # without listening: whoever connects is refused
        self.held.append(held)

    def promote(self) -> None:
        """The standby takes the primary's place."""
        self.on(self.standby, "SELECT pg_promote(true, 60)")


@contextmanager
def streaming_cluster(folder: Path) -> Iterator[Cluster]:
    """Migrated, with the standby following; both are stopped and removed afterwards."""
    primary = _server(folder, "primary")
    standby = _server(folder, "standby")
    cluster = None
    try:
        primary.start()
        migrate(primary.dsn(SUPERUSER), read_settings({}).init_scripts)
        _copy(primary, standby)
        standby.start()
        cluster = Cluster(primary, standby)
        cluster.catch_up()
        yield cluster
    finally:
        for server in (standby, primary):
            with suppress(RecantError):
                server.stop()
        for held in cluster.held if cluster else ():
            held.close()
        shutil.rmtree(folder, ignore_errors=True)


def _server(folder: Path, name: str) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder / name / "data", secrets_dir=folder / "secrets", log_file=folder / f"{name}.log")


def _copy(primary: EmbeddedPostgres, standby: EmbeddedPostgres) -> None:
    user = server_user(primary.data_dir)
    standby.data_dir.mkdir(parents=True, mode=0o700)
    arguments = ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync", "--no-password"]
    run("pg_basebackup", [*arguments, "--pgdata", standby.data_dir], program_environment(primary.dsn(SUPERUSER)))
    for path in [standby.data_dir, *standby.data_dir.rglob("*")]:
        user.own(path)
