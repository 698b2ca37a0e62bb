"""docs/reference/cli.md says what the commands say of themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer

from recant.cli.app import app

REFERENCE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md").read_text("utf-8")
EVERYWHERE = {"--json", "--help", "-h"}
SELECTORS = ["--operation", "--run", "--agent", "--session", "--kind", "--source", "--collection", "--since", "--until"]
SELECTING = ("log", "blast-radius", "rollback", "quarantine", "release")
PROMISED = {
    "ingest": "operation_id position documents unchanged removed chunks embedded reused rejected seconds",
    "search": "position hits",
    "log": "operations",
    "blast-radius": "operations agents sessions records artifacts datasets",
    "rollback": "operations agents sessions records artifacts datasets rollback_operation_id withdrawn revived policy "
    "applied certificate",
}


def sections() -> dict[str, str]:
    """The text under each heading of the second level."""
    parts = re.split(r"^## (.+)$", REFERENCE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands() -> dict[str, set[str]]:
    """Each command with its flags."""
    found: dict[str, set[str]] = {}

    def collect(command: object, name: str) -> None:
        if nested := getattr(command, "commands", None):
            for child, sub in nested.items():
                collect(sub, f"{name} {child}".strip())
        if not nested or (name and command.invoke_without_command):  # type: ignore[attr-defined]
            params = command.params  # type: ignore[attr-defined]
            found[name] = {o for p in params for o in [*p.opts, *p.secondary_opts] if o.startswith("-")}

    collect(typer.main.get_command(app), "")
    return found


@pytest.mark.parametrize(("name", "flags"), commands().items())
def test_every_flag_is_described(name: str, flags: set[str]) -> None:
    """In the command's own section, or under Selectors where it takes those."""
    told = sections()[name] + (sections()["Selectors"] if name in SELECTING else "")
    missing = {flag for flag in flags - EVERYWHERE if f"`{flag}" not in told}
    assert not missing
    assert "--json" in flags


def test_nothing_is_described_that_does_not_exist() -> None:
    """No section of a command that is gone, no flag that isn't taken."""
    known = commands()
    prose = {"What it prints, and how it ends", "Selectors"}
    assert set(sections()) == known.keys() | prose
    for name, flags in known.items():
        told = set(re.findall(r"^\| `(--?[a-z-]+)", sections()[name], re.MULTILINE))
        assert told <= flags


def test_selectors_are_the_same_everywhere() -> None:
    """The commands that select take all of the flags; `--agent` means the same in each."""
    assert all(commands()[name] >= set(SELECTORS) for name in SELECTING)


def test_every_example_is_json() -> None:
    """And those with a promise keep it."""
    for name, text in sections().items():
        for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL):
            document = json.loads(block)
            assert set(PROMISED.get(name, "").split()) <= document.keys()


def test_links_lead_somewhere() -> None:
    """Every anchor has its heading."""
    headings = {re.sub(r"[^a-z0-9 -]", "", name.lower()).replace(" ", "-") for name in sections()}
    assert set(re.findall(r"\]\(#([^)]+)\)", REFERENCE)) <= headings
