"""The command `recant`: what the library does, from a shell.

A command is a few lines over `recant.connect`; what it prints is in `output`, what it ends with in `failures`. Nothing
heavy is imported before a command needs it, so that `recant --help` and `recant log` answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command line (without the program's name; default: this process's) and exits with its code."""
    from recant.cli.app import run

    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
