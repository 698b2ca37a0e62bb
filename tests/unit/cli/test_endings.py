"""How a command ends."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable

import pytest
import typer

from recant import errors
from recant.cli import app as app_module
from recant.cli.app import run
from recant.cli.failures import Invocation, failed, terminable


def ending(monkeypatch: pytest.MonkeyPatch, do: Callable[[], None], *arguments: str) -> int:
    """The exit code of a command that does this."""
    app = typer.Typer()
    app.callback()(app_module.recant)

    @app.command("act")
    def act(json: bool = False) -> None:
        do()

    monkeypatch.setattr(app_module, "app", app)
    return run([*arguments[:-1], "act", *arguments[-1:]] if arguments else ["act"])


def raising(error: BaseException) -> Callable[[], None]:
    """A command that ends with it."""

    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.HasDependents("two operations were built on it"), 1),
        (errors.WriteConflict("the head is another"), 1),
        (errors.VerificationFailed("differs"), 1),
        (errors.UsageError("wrong"), 2),
        (errors.UnknownCollection("no such"), 2),
        (errors.DatabaseUnreachable("nobody answers"), 3),
        (errors.SchemaOutdated("run `recant migrate`"), 3),
        (errors.OutOfSpace("the disk is full"), 3),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: errors.RecantError, code: int
) -> None:
    """No traceback, nothing on standard output."""
    assert ending(monkeypatch, raising(error)) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"recant: {error}\n")


def test_with_json_an_error_is_a_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Type, message and details on standard output; the line is on standard error all the same."""
    error = errors.WriteConflict("the head is another", record="a", expected=1, actual=2)
    assert ending(monkeypatch, raising(error), "--json") == 1
    out, err = capsys.readouterr()
    details = {"record": "a", "expected": 1, "actual": 2}
    assert json.loads(out) == {"error": {"type": "WriteConflict", "message": "the head is another", "details": details}}
    assert err == "recant: the head is another\n"


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Only when it is asked for, by flag or by variable."""
    error = errors.UsageError("wrong")
    ending(monkeypatch, raising(error), "--debug", "--json")
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("RECANT_DEBUG", "1")
    ending(monkeypatch, raising(error))
    assert "Traceback" in capsys.readouterr().err


def test_a_defect_is_told_apart(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What nobody foresaw ends with 70, one line, and how to see more."""
    assert ending(monkeypatch, raising(KeyError("x"))) == 70
    err = capsys.readouterr().err
    assert err == "recant: A defect in Recant (KeyError: 'x'). `recant --debug …` shows the traceback.\n"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 3, "No space left on the disk: /x"),
        (PermissionError(errno.EACCES, "Permission denied", "/y"), 1, "Permission denied: /y"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), 2, "The current folder is gone"),
    ],
)
def test_the_operating_system_is_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, code: int, words: str
) -> None:
    """A full disk is not reachable, as for the database; other refusals name the file."""
    assert ending(monkeypatch, raising(error)) == code
    assert words in capsys.readouterr().err


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With a line that says what became of it, as JSON too."""
    assert ending(monkeypatch, raising(KeyboardInterrupt()), "--json") == 130
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["type"] == "Interrupted"
    assert err.startswith("recant: Interrupted: ")


def test_sigterm_interrupts_like_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """So that open operations are aborted; the exit code is 128 + SIGTERM."""
    seen: list[str] = []

    def act() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            seen.append("interrupted")
            raise

    before = signal.getsignal(signal.SIGTERM)
    assert ending(monkeypatch, act) == 143
    assert seen == ["interrupted"]
    assert signal.getsignal(signal.SIGTERM) == before
    assert "Terminated" in capsys.readouterr().err


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    """A command line can be run in any thread."""
    done: list[bool] = []

    def work() -> None:
        with terminable(Invocation()):
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serach"], "Did you mean 'search'?"),
        (["log", "--nope"], "No such option: --nope"),
        (["log", "--limit", "0"], "--limit"),
        (["log", "--since", "soon"], "'soon' is no time"),
        (["show"], "OP"),
        (["show", "seven"], "valid integer"),
        (["ingest"], "SOURCE"),
        (["search"], "--batch"),
        (["search", "x", "--batch", "-"], "either a query or --batch"),
        (["search", "x", "--filter", "nonsense"], "KEY=VALUE"),
        (["search", "x", "--mode", "psychic"], "psychic"),
    ],
)
def test_a_wrong_call_is_one_line_and_2(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    """It says what is wrong; with --json in a document too."""
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert run([*arguments, "--json"]) == 2
    assert words in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_refusal_with_a_report_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole blast radius goes to standard error."""
    operation = {
        "operation_id": 7, "relation": "derived", "certainty": "definite", "visible": True, "kind": "ingest",
        "agent": "bob", "session": None, "run_id": None, "via": 3,
    }  # fmt: skip
    radius = {"operations": [operation], "records": {"document": 2}, "agents": ["bob"]}
    assert failed(Invocation(), errors.HasDependents("no", blast_radius=radius)) == 1
    err = capsys.readouterr().err
    assert "derived" in err
    assert "2 document" in err


def test_alone_it_helps(capsys: pytest.CaptureFixture[str]) -> None:
    """`recant` without anything shows the commands, and that is no error."""
    assert run([]) == 0
    assert "blast-radius" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`recant --version` needs no command."""
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("recant 0.")


def test_settings_that_cannot_be_understood(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad variable is a usage error that names it."""
    monkeypatch.setenv("RECANT_POSTGRES_PORT", "many")
    assert run(["log"]) == 2
    assert "RECANT_POSTGRES_PORT='many'" in capsys.readouterr().err


def test_bytes_that_are_no_text_are_a_wrong_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shell hands over any bytes as an argument; what can't be stored is the caller's to write anew."""
    assert ending(monkeypatch, lambda: print("\udcff".encode())) == 2
    assert "isn't UTF-8" in capsys.readouterr().err


def test_a_full_standard_output_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error can't be written to it either; standard error still says it."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert ending(monkeypatch, raising(OSError(errno.ENOSPC, "No space left on device")), "--json") == 3
        with contextlib.suppress(OSError):
            full.close()
    assert capsys.readouterr().err.startswith("recant: No space left on the disk")


def test_under_nohup_a_lost_terminal_interrupts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has a hang-up ignored wants the command to go on."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert ending(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGHUP)) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
