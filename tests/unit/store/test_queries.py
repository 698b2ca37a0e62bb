"""Named SQL: a room's statements by name, each described, none unused."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import recant
from recant.store import load

ROOM = Path(next(iter(recant.__path__)))
SQL_FILES = sorted(ROOM.rglob("*.sql"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of its own, `a_room`, for `.sql` files."""
    folder = tmp_path / "a_room"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    load.cache_clear()
    yield folder
    sys.modules.pop("a_room", None)
    load.cache_clear()


def test_statements_are_found_by_name(package: Path) -> None:
    """Each reaches from its name to the next one's; blank lines around it don't count."""
    (package / "room.sql").write_text(
        "-- About this file.\n\n-- name: count_all\n-- How many.\nSELECT count(*) FROM t\n\n\n-- name: ping\nSELECT 1\n"
    )
    assert dict(load("a_room", "room.sql")) == {
        "count_all": "-- How many.\nSELECT count(*) FROM t",
        "ping": "SELECT 1",
    }


def test_statements_can_not_be_changed(package: Path) -> None:
    """What one caller gets is what all get."""
    (package / "room.sql").write_text("-- name: ping\nSELECT 1")
    with pytest.raises(TypeError):
        load("a_room", "room.sql")["ping"] = "SELECT 2"  # type: ignore[index]


def test_a_file_is_read_once(package: Path) -> None:
    """Later calls cost nothing, and a change on the disk doesn't reach a running process."""
    (package / "room.sql").write_text("-- name: ping\nSELECT 1")
    first = load("a_room", "room.sql")
    (package / "room.sql").write_text("-- name: pong\nSELECT 2")
    assert load("a_room", "room.sql") is first


@pytest.mark.parametrize(
    "text",
    ["", "SELECT 1", "-- name: ping\nSELECT 1\n-- name: ping\nSELECT 2", "-- name: Ping-Pong\nSELECT 1"],
    ids=["empty", "nameless", "twice", "not a name"],
)
def test_a_file_without_names_or_with_one_twice_is_refused(package: Path, text: str) -> None:
    """The message says which file, and what a name looks like."""
    (package / "room.sql").write_text(text)
    with pytest.raises(ValueError, match=r"a_room/room\.sql: every statement needs a name of its own"):
        load("a_room", "room.sql")


def test_an_unknown_name_is_a_key_error(package: Path) -> None:
    """A misspelt name fails where it is asked for."""
    (package / "room.sql").write_text("-- name: ping\nSELECT 1")
    with pytest.raises(KeyError, match="pong"):
        load("a_room", "room.sql")["pong"]


@pytest.mark.parametrize("file", SQL_FILES, ids=lambda file: str(file.relative_to(ROOM)))
def test_every_file_of_the_library_loads(file: Path) -> None:
    """From the package it lies in, as its room does it."""
    package = ".".join(["recant", *file.parent.relative_to(ROOM).parts])
    assert load(package, file.name)


@pytest.mark.parametrize("file", SQL_FILES, ids=lambda file: str(file.relative_to(ROOM)))
def test_no_statement_is_left_over(file: Path) -> None:
    """Every name is asked for somewhere in the library, as it stands or as `prefix_{…}`."""
    code = "\n".join(path.read_text("utf-8") for path in ROOM.rglob("*.py"))
    prefixes = set(re.findall(r"f\"([a-z_]+_)\{", code))
    names = load(".".join(["recant", *file.parent.relative_to(ROOM).parts]), file.name)
    unused = [n for n in names if f'"{n}"' not in code and not any(n.startswith(p) for p in prefixes)]
    assert not unused
