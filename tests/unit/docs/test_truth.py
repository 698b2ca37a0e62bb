"""The pages against what they describe: commands, flags, variables, tables, functions, calls."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import click
import pytest
import typer

import recant
from recant import errors
from recant.cli.app import app
from recant.settings import PROJECT_ROOT as ROOT
from recant.store.failures import _BY_CODE

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SQL = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "init-scripts").glob("*.sql")))
REFERENCE = ROOT / "docs" / "reference"
ROOT_COMMAND = typer.main.get_command(app)


def read(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def command_lines() -> list[tuple[str, list[str]]]:
    """Every `recant …` in shell examples, in words, without what follows a pipe or a comment."""
    shown = [
        (page.name, line)
        for page in PAGES
        for block in SHELL.findall(page.read_text("utf-8"))
        for line in block.splitlines()
    ]
    called = [(page, line, re.search(r"(?:^|\s)(recant [^|#>]+)", line)) for page, line in shown]
    return [(f"{page}: {line.strip()}", shlex.split(call[1])[1:]) for page, line, call in called if call]


LINES = command_lines()


@pytest.mark.parametrize(("line", "words"), LINES, ids=[line for line, _ in LINES])
def test_every_command_line_shown_is_understood(line: str, words: list[str]) -> None:
    """The command exists, and takes these flags and arguments."""
    command, context = ROOT_COMMAND, click.Context(ROOT_COMMAND, info_name="recant")
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        if context.command is not command and command.invoke_without_command and (not words or words[0][0] == "-"):  # type: ignore[attr-defined]
            break  # the group is a command as well
        while words and words[0].startswith("-"):
            words = words[1:]
        if not words or words[0] == "…":
            return
        assert words[0] in command.commands, line  # type: ignore[attr-defined]
        command = command.commands[words[0]]  # type: ignore[attr-defined]
        words = words[1:]
    command.make_context("recant", list(words), parent=context, resilient_parsing=False).close()


def test_every_make_target_named_exists() -> None:
    """In examples and in running text."""
    targets = set(re.findall(r"^([a-z-]+):.*?##", read("Makefile"), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", page.read_text("utf-8"), re.MULTILINE))
        assert named <= targets, page.name


def test_every_command_in_running_text_exists() -> None:
    """`recant verify` and the like."""
    commands = set(ROOT_COMMAND.commands)  # type: ignore[attr-defined]
    for page in PAGES:
        named = set(re.findall(r"`recant ([a-z][a-z-]*)", page.read_text("utf-8")))
        assert named <= commands, page.name


def test_the_variables_documented_are_those_that_are_read() -> None:
    """Every variable of settings.py has a row, and no row describes another of ours."""
    settings = set(re.findall(r'"((?:RECANT|MARQUEZ)_[A-Z_]+)"', read("include/recant/settings.py")))
    rows = set(
        re.findall(r"^\| `((?:RECANT|MARQUEZ)_[A-Z_]+)` \|", read("docs/reference/configuration.md"), re.MULTILINE)
    )
    assert rows - {"RECANT_DEBUG"} == settings
    assert "RECANT_DEBUG" in read("include/recant/cli/app.py")


def test_no_page_names_a_variable_that_nothing_reads() -> None:
    """A misspelt variable does nothing, silently."""
    code = [*(ROOT / "include").rglob("*.py"), *(ROOT / "init-scripts").glob("*.sh")]
    known = "\n".join(path.read_text("utf-8") for path in code) + read("docker-compose.yml") + read(".env.example")
    for page in PAGES:
        for name in re.findall(r"\b(?:RECANT|MARQUEZ|AIRFLOW)_[A-Z_]*[A-Z]\b", page.read_text("utf-8")):
            assert name in known, f"{page.name}: {name}"


def test_every_table_is_described() -> None:
    """And nothing is described as a table that isn't one."""
    tables = set(re.findall(r"CREATE TABLE (?:recant\.)?(\w+)", SQL))
    described = set(re.findall(r"\*\*(\w+)\*\* –", read("docs/reference/schema.md")))
    assert described == tables


def test_every_function_is_described() -> None:
    """By name, in the table of functions."""
    last_word = {name: word for word, name in re.findall(r"\b(CREATE|DROP) FUNCTION (\w+)", SQL)}
    functions = {name for name, word in last_word.items() if word == "CREATE"}
    section = read("docs/reference/schema.md").split("## Functions")[1].split("## Error codes")[0]
    assert set(re.findall(r"^\| (.+?) \|", section, re.MULTILINE)) >= {"function"}
    assert {
        n for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for n in re.findall(r"`(\w+)`", row)
    } == functions


def test_every_role_is_described() -> None:
    """The group roles that the first file makes."""
    roles = set(re.findall(r"'(recant_\w+)'", read("init-scripts/0001_roles.sql").split("LOOP")[0]))
    assert set(re.findall(r"^\| `(recant_\w+)` \|", read("docs/reference/schema.md"), re.MULTILINE)) == roles


def test_every_error_code_is_described() -> None:
    """With the class that it becomes in Python."""
    rows = re.findall(r"^\| (RC\d{3}) \| .+? \| `(\w+)` \|$", read("docs/reference/schema.md"), re.MULTILINE)
    assert dict(rows) == {code: kind.__name__ for code, kind in _BY_CODE.items()}
    assert set(re.findall(r"RC\d{3}", SQL)) == set(_BY_CODE)


def test_every_state_is_on_the_page_of_states() -> None:
    """All values of the database's state types, and the functions that move them."""
    page = read("docs/reference/state-machine.md")
    for values in re.findall(r"CREATE TYPE \w+ AS ENUM \(([^)]+)\)", SQL):
        for value in re.findall(r"'(\w+)'", values):
            assert value in page
    for function in re.findall(r"`(\w+)`(?:\(\))? ", page):
        if function.endswith(("_operation", "_operations", "_batch", "_plan", "_expired", "_verdicts", "_lease")):
            assert f"FUNCTION {function}(" in SQL, function


def test_every_call_of_the_facade_is_described() -> None:
    """Its public methods are the rows of the table, with their parameters' names."""
    page = read("docs/reference/python-api.md")
    rows = dict(re.findall(r"^\| `(\w+)\((.*?)\)` \|", page, re.MULTILINE))
    methods = {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(recant.KnowledgeBase, inspect.isfunction)
        if not name.startswith("_")
    }
    assert rows.keys() == methods.keys()
    for name, signature in methods.items():
        if name != "search_many":
            assert re.findall(r"(?<!=)\b[a-z_]+\b(?!\")", re.sub(r"=[^,)]+", "", rows[name])) == [
                parameter for parameter in signature.parameters if parameter != "self"
            ]


def test_every_error_is_in_the_tree() -> None:
    """The tree of errors on the page is that of the code, and so is the one at the top of the module."""
    classes = {name for name, member in inspect.getmembers(errors, inspect.isclass) if issubclass(member, Exception)}
    for text in (read("docs/reference/python-api.md").split("## Errors")[1], errors.__doc__ or ""):
        assert {n for n in classes if re.search(rf"\b{n}\b", text)} == classes


@pytest.mark.parametrize("field", ["Hit", "SearchResult", "IngestReport", "Operation"])
def test_every_field_of_a_report_is_described(field: str) -> None:
    """On the Python API's page, in the paragraph about it."""
    from dataclasses import fields

    from recant.ingestion.request import IngestReport
    from recant.oplog import Operation
    from recant.search import Hit, SearchResult

    kind = {"Hit": Hit, "SearchResult": SearchResult, "IngestReport": IngestReport, "Operation": Operation}[field]
    (paragraph,) = re.findall(
        rf"^\*\*{field}\*\*: (.+?)\n\n", read("docs/reference/python-api.md"), re.MULTILINE | re.DOTALL
    )
    assert [f.name for f in fields(kind) if f"`{f.name}`" not in paragraph] == []


def test_the_repository_folders_named_exist() -> None:
    """The README's map is the project's."""
    folders = re.findall(r"^([a-z./-]+)/ ", read("README.md"), re.MULTILINE)
    assert len(folders) >= 6
    assert not [folder for folder in folders if not (ROOT / Path(folder)).is_dir()]
