"""Programs that run in the background: started once, found again by anybody, stopped with all that they started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from recant.errors import TransientError
from recant.installation.secrets import replace_private

PART_VARIABLE = "RECANT_PART"
MAX_LOG_BYTES = 20 * 1024 * 1024
_children: dict[int, subprocess.Popen[bytes]] = {}


class PartFailed(TransientError):
    """A program of the installation ended as it was started, or was not ready in time."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One background program. What it writes goes to its log, who it is to its pid file."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    run_dir: Path
    logs_dir: Path
    fingerprint: str = ""
    """Of the settings it is started with."""

    @property
    def pid_file(self) -> Path:
        """JSON: process id and when that process was started, so that a reused number isn't mistaken for it."""
        return self.run_dir / f"{self.name}.pid.json"

    @property
    def log_file(self) -> Path:
        """Output and errors; the one before is kept as `.1` when it has grown large."""
        return self.logs_dir / f"{self.name}.log"

    def process(self) -> psutil.Process | None:
        """The running process, or None."""
        return recorded_process(self.pid_file)

    def is_outdated(self) -> bool:
        """Whether it runs with other settings than these."""
        if self.process() is None:
            return False
        return bool(json.loads(self.pid_file.read_text("utf-8"))["fingerprint"] != self.fingerprint)

    def start(self) -> bool:
        """Start it in a session of its own, unless it runs. True when it was started now."""
        if self.process() is not None:
            return False
        with self._open_log() as output:
            child = subprocess.Popen(
                list(self.command),
                cwd=self.run_dir.parent,
                env={**self.environment, PART_VARIABLE: self.name},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
            )
        _children[child.pid] = child
        _wait_for_environment(child.pid)
        try:
            record = {"pid": child.pid, "started": start_mark(child.pid), "fingerprint": self.fingerprint}
            replace_private(self.pid_file, json.dumps(record))
        except BaseException:
            end([psutil.Process(child.pid)], timeout_seconds=5)
            raise
        return True

    def log_tail(self, lines: int = 15) -> str:
        """The end of the log."""
        with contextlib.suppress(FileNotFoundError):
            text = self.log_file.read_bytes()[-20_000:].decode("utf-8", "replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""

    def require_alive(self) -> None:
        """Raises PartFailed with the end of the log when it doesn't run."""
        if self.process() is None:
            raise PartFailed(f"{self.name} has ended; {self.log_file} says:\n{self.log_tail()}")

    def _open_log(self) -> IO[bytes]:
        with contextlib.suppress(FileNotFoundError):
            if self.log_file.stat().st_size > MAX_LOG_BYTES:
                self.log_file.replace(self.log_file.with_suffix(".log.1"))
        return os.fdopen(os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def start_mark(pid: int) -> str:
    """Tells a process from a later one with the same number, also after a reboot or a change of the clock."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text('ascii').strip()} {ticks}"
    except FileNotFoundError:
        with contextlib.suppress(psutil.Error):
            return str(psutil.Process(pid).create_time())
        return ""


def recorded_process(pid_file: Path) -> psutil.Process | None:
    """The live process that a pid file means; None when it has ended or there is no file."""
    try:
        record = json.loads(pid_file.read_text("utf-8"))
        process = psutil.Process(record["pid"])
        same = start_mark(process.pid) == record["started"]
    except (FileNotFoundError, ValueError, KeyError, psutil.Error):
        return None
    return process if same and _is_alive(process) else None


def stop_parts(parts: Iterable[Part], *, timeout_seconds: float = 6) -> list[str]:
    """Stop these and everything that they started. Returns the names of those that ran."""
    running = {part: process for part in parts if (process := part.process()) is not None}
    end(list(running.values()), timeout_seconds=timeout_seconds)
    for part in parts:
        part.pid_file.unlink(missing_ok=True)
    return [part.name for part in running]


def strays(home: Path) -> list[psutil.Process]:
    """Processes that an installation's parts started and that no pid file leads to any more."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            if PART_VARIABLE in environment and environment.get("RECANT_HOME") == str(home):
                found.append(process)
    return found


def end(leaders: Sequence[psutil.Process], *, timeout_seconds: float) -> None:
    """SIGTERM to the processes; then to what they started and their sessions; then SIGKILL to whatever is left.

    The leaders come first and alone: Airflow's scheduler hangs when its workers go before it tells them to.
    """
    family = _family(leaders)
    _signal(leaders, signal.SIGTERM)
    alive = wait_until_gone(family, timeout_seconds=timeout_seconds * 0.75)
    late = {*alive, *_family(leaders)}
    _signal(late, signal.SIGTERM)
    alive = wait_until_gone(late, timeout_seconds=timeout_seconds * 0.25)
    _signal(alive, signal.SIGKILL)
    wait_until_gone(alive, timeout_seconds=5)
    for leader in leaders:
        if child := _children.pop(leader.pid, None):
            child.wait(timeout=5)


def wait_until_gone(processes: Iterable[psutil.Process], *, timeout_seconds: float) -> list[psutil.Process]:
    """Those that are left after the time-out. A zombie is gone: whoever is process 1 may take seconds to reap it."""
    deadline = time.monotonic() + timeout_seconds
    alive = [process for process in processes if _is_alive(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(0.02)
        alive = [process for process in alive if _is_alive(process)]
    return alive


def _wait_for_environment(pid: int, timeout_seconds: float = 1) -> None:
    """Until the new program's environment can be read, by which `strays` knows it; execve ends a moment before that."""
    deadline = time.monotonic() + timeout_seconds
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        while PART_VARIABLE not in process.environ() and _is_alive(process) and time.monotonic() < deadline:
            time.sleep(0.001)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _family(leaders: Sequence[psutil.Process]) -> list[psutil.Process]:
    sessions = {leader.pid for leader in leaders}
    family = set(leaders)
    for leader in leaders:
        with contextlib.suppress(psutil.Error):
            family.update(leader.children(recursive=True))
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) in sessions:
                family.add(process)
    return [process for process in family if process.pid != os.getpid()]


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
