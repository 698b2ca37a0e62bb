"""Flag groups: dataclasses that become a command's flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from recant.cli.flags import with_flag_groups
from recant.cli.selectors import Selection
from recant.errors import EmptySelector, UsageError


@dataclass(frozen=True)
class Paint:
    """A group."""

    colour: Annotated[str, typer.Option(help="Which.")] = "red"
    coats: Annotated[list[int] | None, typer.Option()] = None


def invoke(arguments: list[str], command: object) -> None:
    """Runs one command of its own app."""
    app = typer.Typer()
    app.command()(command)  # type: ignore[arg-type]
    typer.main.get_command(app).main(arguments, standalone_mode=False)


def test_a_group_arrives_filled() -> None:
    """The command gets the dataclass with what was given, beside its own flags."""
    seen: list[object] = []

    def wall(paint: Paint, width: Annotated[int, typer.Option()] = 1) -> None:
        seen.extend([paint, width])

    invoke(["--colour", "blue", "--coats", "1", "--coats", "2", "--width", "3"], with_flag_groups(wall))
    assert seen == [Paint("blue", [1, 2]), 3]


def test_a_group_has_its_defaults() -> None:
    """Flags that aren't given leave the dataclass at its defaults."""
    seen: list[Paint] = []

    def wall(paint: Paint) -> None:
        seen.append(paint)

    invoke([], with_flag_groups(wall))
    assert seen[0].colour == "red"
    assert not seen[0].coats


def test_the_selector_flags_reach_the_selector() -> None:
    """Each flag is one condition; the same flag again is another value of it."""
    seen: list[Selection] = []

    def pick(selection: Selection) -> None:
        seen.append(selection)

    given = ["--operation", "3", "--operation", "4", "--run", "r", "--agent", "a", "--session", "s", "--kind", "k"]
    given += ["--source", "x", "--collection", "c", "--since", "2026-01-01", "--until", "2026-02-01T00:00Z"]
    invoke(given, with_flag_groups(pick))
    selector = seen[0].required()
    assert selector.to_dict() == {
        "operations": [3, 4], "runs": ["r"], "agents": ["a"], "sessions": ["s"], "kinds": ["k"], "sources": ["x"],
        "collections": ["c"], "since": "2026-01-01T00:00:00+00:00", "until": "2026-02-01T00:00:00+00:00",
    }  # fmt: skip
    assert seen[0].zoneless == ["--since: taken as 2026-01-01T00:00:00+00:00 (UTC)"]


def test_no_flag_never_means_everything() -> None:
    """Where a selection is required, none is an error that names the flags."""
    with pytest.raises(EmptySelector, match="--operation --run --agent"):
        Selection().required()
    assert Selection().selector().is_empty


def test_a_window_must_have_a_beginning_before_its_end() -> None:
    """`--since` after `--until` is a usage error."""
    seen: list[Selection] = []

    def pick(selection: Selection) -> None:
        seen.append(selection)

    invoke(["--since", "1h", "--until", "2h"], with_flag_groups(pick))
    with pytest.raises(UsageError, match="must be before"):
        seen[0].selector()
