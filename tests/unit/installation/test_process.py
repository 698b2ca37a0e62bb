"""Background programs: found again by their pid files, stopped with all that they started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from recant.installation.process import Part, PartFailed, end, start_mark, stop_parts, strays

SLEEP = "import time; time.sleep(120)"
FAMILY = """
import signal, subprocess, sys, time
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(120)"
deaf = subprocess.Popen([sys.executable, "-c", code])
apart = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"], start_new_session=True)
print(deaf.pid, apart.pid, flush=True)
time.sleep(120)
"""


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait for the condition, which must come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Callable[..., Part]]:
    """Makes parts in a folder of their own; what still runs at the end is stopped."""
    made: list[Part] = []

    def make(code: str, name: str = "sleeper", **options: str) -> Part:
        environment = {"PATH": os.environ["PATH"], "RECANT_HOME": str(tmp_path)}
        (tmp_path / "run").mkdir(exist_ok=True)
        command = [sys.executable, "-c", code]
        made.append(Part(name, command, environment, tmp_path / "run", tmp_path, **options))
        return made[-1]

    yield make
    stop_parts(made, timeout_seconds=1)


def test_started_part_is_found_by_anybody(part: Callable[..., Part]) -> None:
    """Another object of the same name finds the process, and starting again does nothing."""
    first = part(SLEEP)
    assert first.start()
    process, again = first.process(), part(SLEEP)
    assert process is not None
    assert again.process() == process
    assert not again.start()
    assert os.getsid(process.pid) == process.pid


def test_stopped_part_is_gone(part: Callable[..., Part]) -> None:
    """After stopping there is neither process nor pid file; stopping again finds nothing."""
    sleeper = part(SLEEP)
    sleeper.start()
    process = sleeper.process()
    assert process is not None
    assert stop_parts([sleeper]) == ["sleeper"]
    assert not process.is_running()
    assert not sleeper.pid_file.exists()
    assert stop_parts([sleeper]) == []


def test_whole_family_goes(part: Callable[..., Part]) -> None:
    """A child that ignores SIGTERM and one in a session of its own go with their parent."""
    parent = part(FAMILY, "parent")
    parent.start()
    until(lambda: "deaf" in parent.log_tail() and len(parent.log_tail().split()) == 3)
    children = [int(word) for word in parent.log_tail().split() if word.isdecimal()]
    assert all(psutil.pid_exists(pid) for pid in children)
    stop_parts([parent], timeout_seconds=1)
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in children)


def test_reused_number_is_not_mistaken(part: Callable[..., Part]) -> None:
    """A pid file with the number of a process started at another time means nothing, and that one is left alone."""
    sleeper = part(SLEEP)
    bystander = subprocess.Popen([sys.executable, "-c", SLEEP])
    try:
        sleeper.pid_file.write_text(json.dumps({"pid": bystander.pid, "started": "long ago", "fingerprint": ""}))
        assert sleeper.process() is None
        assert stop_parts([sleeper]) == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"pid": 1}'])
def test_damaged_pid_file_means_not_running(part: Callable[..., Part], text: str) -> None:
    """A half-written pid file is no obstacle to starting."""
    sleeper = part(SLEEP)
    sleeper.pid_file.write_text(text)
    assert sleeper.process() is None
    assert sleeper.start()


def test_killed_part_is_not_running(part: Callable[..., Part]) -> None:
    """A process killed from outside counts as ended at once, though nobody has reaped it."""
    sleeper = part(SLEEP)
    sleeper.start()
    process = sleeper.process()
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: sleeper.process() is None)
    assert sleeper.start()


def test_ended_part_tells_why(part: Callable[..., Part]) -> None:
    """When a part ends by itself the error has the end of its log."""
    broken = part("raise SystemExit('the disk is made of cheese')", "broken")
    broken.start()
    until(lambda: broken.process() is None)
    with pytest.raises(PartFailed, match="made of cheese"):
        broken.require_alive()


def test_other_settings_make_it_outdated(part: Callable[..., Part]) -> None:
    """A running part knows whether it was started with these settings; one that doesn't run is never outdated."""
    assert not part(SLEEP, fingerprint="new").is_outdated()
    part(SLEEP, fingerprint="old").start()
    assert part(SLEEP, fingerprint="new").is_outdated()
    assert not part(SLEEP, fingerprint="old").is_outdated()


def test_stray_is_found_by_its_home(part: Callable[..., Part], tmp_path: Path) -> None:
    """A part whose pid file was lost is found by its environment, and by no other home's."""
    sleeper = part(SLEEP)
    sleeper.start()
    process = sleeper.process()
    sleeper.pid_file.unlink()
    until(lambda: strays(tmp_path) == [process])  # it has its environment once it is the program that it was started as
    assert strays(tmp_path / "elsewhere") == []
    end(strays(tmp_path), timeout_seconds=1)
    assert strays(tmp_path) == []


def test_large_log_is_put_aside(part: Callable[..., Part], monkeypatch: pytest.MonkeyPatch) -> None:
    """A log over its limit becomes `.1` at the next start, and the new one begins empty."""
    monkeypatch.setattr("recant.installation.process.MAX_LOG_BYTES", 10)
    sleeper = part(SLEEP)
    sleeper.log_file.write_text("more than ten bytes")
    sleeper.start()
    assert sleeper.log_file.with_suffix(".log.1").read_text() == "more than ten bytes"
    assert sleeper.log_file.read_text() == ""


def test_log_of_nobody_is_empty(part: Callable[..., Part]) -> None:
    """A part that was never started has no log to show."""
    assert part(SLEEP).log_tail() == ""


def test_start_mark_belongs_to_one_process() -> None:
    """The same process keeps its mark; another has a different one; a number that nobody has gives none."""
    assert start_mark(os.getpid()) == start_mark(os.getpid())
    assert start_mark(os.getpid()) != start_mark(1)
    assert start_mark(2**22 + 1) == ""
