"""Suites: what a file may say, and how a wrong one is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recant.quality.frame import COLUMNS, SUMMARY_COLUMNS
from recant.quality.gate import Gate
from recant.quality.suite import DEFAULT_SUITE, DEFAULT_SUITE_FILE, SEVERITIES, BadSuite, load_suite, parse_suite

NOT_NULL = {
    "name": "title_present",
    "expectation": "expect_column_values_to_not_be_null",
    "severity": "info",
    "arguments": {"column": "title"},
}


def suite(**changes: Any) -> dict[str, Any]:
    """A document with one expectation, unless changed."""
    return {"name": "mine", "expectations": [NOT_NULL], **changes}


def one(**changes: Any) -> dict[str, Any]:
    """A document whose one expectation is changed; None takes a key away."""
    return suite(expectations=[{k: v for k, v in {**NOT_NULL, **changes}.items() if v is not None}])


def test_the_default_suite_ships_with_the_package() -> None:
    """Every column that it names is one that the gate measures; every expectation says in words what it means."""
    assert load_suite(DEFAULT_SUITE_FILE) == DEFAULT_SUITE
    assert {
        column for e in DEFAULT_SUITE.expectations for column in e.columns
    } <= COLUMNS.keys() | SUMMARY_COLUMNS.keys()
    assert all(e.description for e in DEFAULT_SUITE.expectations)
    assert {e.severity for e in DEFAULT_SUITE.expectations} == set(SEVERITIES)


def test_a_suite_is_read_from_a_file(tmp_path: Path) -> None:
    """Name, expectations and their order are the file's."""
    file = tmp_path / "mine.yml"
    file.write_text(
        "name: mine\nexpectations:\n  - {name: a, expectation: expect_x, severity: info, arguments: {column: title}}\n"
    )
    loaded = load_suite(file)
    assert (loaded.name, loaded.expectations[0].kind, loaded.expectations[0].columns) == (
        "mine",
        "expect_x",
        ("title",),
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "a suite must be a mapping of names to values, not NoneType"),
        (["x"], "a suite must be a mapping of names to values, not list"),
        ({"name": "mine"}, "the suite lacks expectations"),
        (suite(name=""), "the suite lacks name"),
        (
            suite(owner="me"),
            "the suite has owner, which means nothing here; known are expectations, extends, name, parameters",
        ),
        (suite(expectations=[]), "the suite lacks expectations|at least one"),
        (suite(expectations={}), "the suite lacks expectations|at least one"),
        (suite(expectations=["x"]), "expectation 1 must be a mapping"),
        (suite(expectations=[NOT_NULL, NOT_NULL]), "two expectations are named title_present"),
        (suite(parameters=[1]), "parameters must be a mapping"),
        (one(name=None), "expectation 1 lacks name"),
        (one(severity=None), "expectation title_present lacks severity"),
        (one(severity="fatal"), "the severity 'fatal': it must be one of critical, warning, info"),
        (one(arguments="title"), "the arguments of expectation title_present must be a mapping"),
        (one(colour="red"), "expectation title_present has colour"),
        (one(arguments={"column": {"parameter": "x"}}), "title_present wants the parameter x"),
    ],
)
def test_a_wrong_suite_says_what_is_wrong(document: Any, message: str) -> None:
    """The error names the expectation and what would be right."""
    with pytest.raises(BadSuite, match=message):
        parse_suite(document)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Missing, not text, not YAML, not a suite: the error begins with the file."""
    with pytest.raises(BadSuite, match=r"none\.yml can't be read"):
        load_suite(tmp_path / "none.yml")
    for content, message in (
        (b"\xff\xfe\x00", "can't be read|is not YAML"),
        (b"a: [", "is not YAML"),
        (b"a: 1", "lacks"),
    ):
        file = tmp_path / "bad.yml"
        file.write_bytes(content)
        with pytest.raises(BadSuite, match=rf"bad\.yml.*({message})"):
            load_suite(file)


def test_a_file_cannot_run_code(tmp_path: Path) -> None:
    """Tags that would make Python objects are refused."""
    file = tmp_path / "evil.yml"
    file.write_text("name: !!python/object/apply:os.getcwd []\nexpectations: []\n")
    with pytest.raises(BadSuite, match="is not YAML"):
        load_suite(file)


def test_parameters_are_filled_in() -> None:
    """The caller's value goes before the suite's; None leaves that; an unknown one is refused."""
    tokens = next(e for e in DEFAULT_SUITE.expectations if e.name == "tokens_within_model")
    assert DEFAULT_SUITE.arguments_of(tokens)["max_value"] == 256
    assert DEFAULT_SUITE.with_parameters(max_tokens=None).arguments_of(tokens)["max_value"] == 256
    assert DEFAULT_SUITE.with_parameters(max_tokens=512).arguments_of(tokens)["max_value"] == 512
    with pytest.raises(BadSuite, match="no parameter tokens; it has languages, max_characters"):
        DEFAULT_SUITE.with_parameters(tokens=1)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (one(expectation="expect_column_value_to_not_be_null"), "did you mean expect_column_values_to_not_be_null?"),
        (one(expectation="drop_table"), "Great Expectations has no drop_table"),
        (one(expectation="ExpectColumnValuesToNotBeNull"), "Great Expectations has no"),
        (one(arguments={"colum": "title"}), "the arguments of title_present don't fit: colum"),
        (
            one(expectation="expect_column_values_to_be_between", arguments={"column": "title"}),
            "the arguments of title_present don't fit",
        ),
    ],
)
def test_what_great_expectations_does_not_know_is_told(document: Any, message: str) -> None:
    """An unknown expectation or argument is refused when the gate is made, before any row is read."""
    with pytest.raises(BadSuite, match=message):
        Gate(parse_suite(document))
