"""`python -m recant.demo`: tells the story, writes demo-report.json, exits with 0 only when every step held."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recant.cli.failures import Invocation, terminable
from recant.demo.narrator import Narrator
from recant.demo.story import Story, tell
from recant.settings import read_settings

INTERRUPTED = 130


def main(arguments: Sequence[str] = ()) -> int:
    """Returns the exit code: 0, 1 when a step failed, 2 for settings that can't be understood, 130 after Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m recant.demo", description="The whole story, through Airflow.")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where the report goes (demo-report.json)")
    wanted = parser.parse_args(arguments).report
    narrator = Narrator()
    try:
        settings = read_settings()
    except ValueError as error:
        narrator.broke(str(error))
        return 2
    story = Story(settings, narrator)
    path = wanted or settings.project_root / "demo-report.json"
    code = INTERRUPTED
    try:
        with terminable(Invocation()):
            code = 0 if tell(story).ok else 1
    except KeyboardInterrupt:
        narrator.broke("Interrupted.")
    finally:
        story.report.write(path)
        narrator.say(f"The report is in {path}.")
        if not story.report.ok:
            narrator.say("What was started still runs: `recant status` shows it, `make down` stops it.")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
