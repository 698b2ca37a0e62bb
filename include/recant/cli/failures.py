"""How a command ends: one clear line (or JSON document) for every error, and an exit code that means something.

0 done   1 refused or conflict   2 usage   3 not reachable   70 a defect of ours   130 interrupted   143 terminated   129 hung up
"""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

import typer

from recant.cli.output import Output
from recant.errors import HasDependents, OutOfSpace, RecantError, TerminalError, UsageError

DEFECT = 70
_ENDINGS = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Terminated", signal.SIGHUP: "Hung up"}
SEE_TRACEBACK = "`recant --debug …` shows the traceback"


@dataclass(slots=True)
class Invocation:
    """One run of the command line."""

    as_json: bool = False
    debug: bool = False
    ended_by: signal.Signals = signal.SIGINT
    """SIGTERM or SIGHUP, once one came: they are treated like Ctrl-C, so that open operations are aborted."""


@contextmanager
def terminable(invocation: Invocation) -> Iterator[None]:
    """While inside, SIGTERM interrupts like Ctrl-C does, and so does a lost terminal, except under `nohup`."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        invocation.ended_by = signal.Signals(number)
        raise KeyboardInterrupt

    numbers = [signal.SIGTERM, *([signal.SIGHUP] if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else [])]
    try:
        before = [(number, signal.signal(number, interrupt)) for number in numbers]
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def interrupted(invocation: Invocation) -> int:
    """Says that the command was stopped from outside; returns 130, 143 after SIGTERM, 129 after SIGHUP."""
    word = _ENDINGS[invocation.ended_by]
    _say(invocation, "Interrupted", f"{word}: nothing half-written is visible, and nothing that was there is lost.", {})
    return 128 + invocation.ended_by


def failed(invocation: Invocation, error: Exception) -> int:
    """Says what went wrong and returns the exit code."""
    if invocation.debug:
        traceback.print_exception(error)
    ours = _in_our_words(error)
    if ours is None:
        message = f"A defect in Recant ({type(error).__name__}: {_one_line(error)}). {SEE_TRACEBACK}."
        _say(invocation, "Defect", message, {})
        return DEFECT
    _say(invocation, type(ours).__name__, str(ours), ours.details)
    if isinstance(ours, HasDependents) and not invocation.as_json:
        _report_dependents(ours)
    return ours.exit_code


def error_document(kind: str, message: str, details: dict[str, Any]) -> dict[str, Any]:
    """An error as a JSON document."""
    return {"error": {"type": kind, "message": message, "details": details}}


def _in_our_words(error: Exception) -> RecantError | None:
    if isinstance(error, RecantError):
        return error
    if isinstance(error, typer.TyperException):
        return UsageError(_usage(error)) if error.exit_code == UsageError.exit_code else TerminalError(_one_line(error))
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return UsageError("A name or text that was given isn't UTF-8: write it anew, in a UTF-8 locale (LANG=C.UTF-8).")
    if isinstance(error, OSError):
        return _operating_system(error)
    return None


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" `{context.command_path} --help` says more." if context is not None else ""
    message = _one_line(error)
    return f"{message if message.endswith(('.', '?')) else f'{message}.'}{hint}"


def _operating_system(error: OSError) -> RecantError:
    if isinstance(error, FileNotFoundError) and error.filename is None:  # only getcwd names no file
        return UsageError("The current folder is gone: `cd` to one that exists.")
    where = f": {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfSpace(f"No space left on the disk{where}. Make room and run it again.")
    return TerminalError(f"{error.strerror or _one_line(error)}{where}. {SEE_TRACEBACK}.")


def _one_line(error: Exception) -> str:
    text = error.format_message() if isinstance(error, typer.TyperException) else str(error)
    return " ".join(text.split())


def _say(invocation: Invocation, kind: str, message: str, details: dict[str, Any]) -> None:
    output = Output(invocation.as_json)
    if invocation.as_json:
        with suppress(OSError):  # standard output itself may be what is full
            output.document(error_document(kind, message, details))
    with suppress(OSError):  # the terminal is gone after a hang-up
        output.note(f"recant: {message}", style="bold red" if kind != "Interrupted" else "yellow")


def _report_dependents(error: HasDependents) -> None:
    from recant.cli.plans import show_blast_radius

    if "blast_radius" in error.details:
        show_blast_radius(Output(stream=sys.stderr), error.details["blast_radius"])
