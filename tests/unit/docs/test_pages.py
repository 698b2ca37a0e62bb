"""The pages as pages: links, headings, numbering, examples."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from recant.quality.suite import parse_suite
from recant.settings import PROJECT_ROOT as ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
EXAMPLE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def broken_links(page: Path) -> list[str]:
    """By the same program as `make docs-check`."""
    spec = importlib.util.spec_from_file_location("check_links", ROOT / ".ci" / "check_links.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: list[str] = module.broken_links(page)
    return found


def examples(language: str) -> list[tuple[str, str]]:
    return [(name(p), text) for p in PAGES for kind, text in EXAMPLE.findall(p.read_text("utf-8")) if kind == language]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file of the project, and to a heading of it where one is named."""
    assert broken_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_has_one_title_and_leaves_nothing_open(page: Path) -> None:
    """It begins with its only first-level heading, is short unless it is reference, and is finished."""
    text = page.read_text("utf-8")
    prose = EXAMPLE.sub("", text)
    assert text.startswith("# ")
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1
    assert len(text.splitlines()) <= 250 or page.parent.name == "reference"
    assert not re.search(r"TODO|FIXME|TBD", text)


def test_the_index_leads_to_every_page() -> None:
    """From docs/index.md each page is one link away; decisions have a list of their own."""
    linked = set(re.findall(r"\]\(([^)#]+)", (ROOT / "docs" / "index.md").read_text("utf-8")))
    pages = {str(p.relative_to(ROOT / "docs")) for p in PAGES if p.is_relative_to(ROOT / "docs")}
    assert pages - linked - {"index.md"} == {str(p.relative_to(ROOT / "docs")) for p in DECISIONS}


def test_decisions_are_numbered_without_gaps() -> None:
    """The file's number, the title's number and the place in the list agree."""
    listed = (ROOT / "docs" / "decisions" / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d{4}) \| \[(.+?)\]\((.+?)\) \| accepted \|$", listed, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, len(DECISIONS) + 1))
    for page, (number, title, link) in zip(DECISIONS, rows, strict=True):
        assert page.name == link
        assert link.startswith(f"{number}-")
        assert page.read_text("utf-8").startswith(f"# {int(number)}. {title}\n")


@pytest.mark.parametrize("page", DECISIONS, ids=name)
def test_a_decision_says_why_what_and_what_follows(page: Path) -> None:
    """Context, decision and consequences, in that order, with a date."""
    text = page.read_text("utf-8")
    assert re.search(r"^Accepted, \d{4}-\d\d-\d\d\.$", text, re.MULTILINE)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_python_examples_compile() -> None:
    """Every block marked as Python is Python."""
    assert examples("python")
    for page, text in examples("python"):
        compile(text, page, "exec")


def test_the_example_suite_is_one() -> None:
    """The quality gate takes the suite of the how-to guide."""
    ((_, text),) = [(page, text) for page, text in examples("yaml") if "gate-suite" in page]
    assert parse_suite(yaml.safe_load(text)).name == "press_releases"


def test_the_readme_opens_with_a_sentence_a_reason_and_two_commands() -> None:
    """What it is, why, and the two commands, within the first fourteen lines."""
    head = (ROOT / "README.md").read_text("utf-8").splitlines()[:14]
    assert head[0] == "# Recant"
    assert [line.split()[:2] for line in head if line.startswith("make")] == [["make", "demo"], ["make", "test"]]


def test_contributing_opens_with_one_command() -> None:
    """Before any prose."""
    assert (ROOT / "CONTRIBUTING.md").read_text("utf-8").startswith("# Contributing\n\n```sh\nmake test\n```\n")
