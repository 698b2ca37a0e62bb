"""A folder of suites: which one a collection has, and what extending means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recant.errors import UsageError
from recant.quality.suite import DEFAULT_SUITE, BadSuite, parse_suite
from recant.quality.suites import check_suite, suite_files, suite_of
from recant.settings import Settings, read_settings

OWN = {
    "name": "mine",
    "expectation": "expect_column_values_to_not_be_null",
    "severity": "info",
    "arguments": {"column": "title"},
}


def extending(*expectations: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """The built-in suite with these over it."""
    return {"name": "own", "extends": "recant_default", "expectations": list(expectations), "parameters": parameters}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(read_settings({}), home=tmp_path)


def put(settings: Settings, name: str, text: str) -> None:
    (settings.home / "suites").mkdir(exist_ok=True)
    (settings.home / "suites" / name).write_text(text)


def test_extending_changes_what_is_named_and_keeps_the_rest() -> None:
    """By name: severity alone, one argument alone; switched off; added at the end; a parameter."""
    suite = parse_suite(
        extending(
            {"name": "title_present", "severity": "critical"},
            {"name": "vector_of_unit_length", "arguments": {"max_value": 1.1}},
            {"name": "text_is_not_repeated", "enabled": False},
            OWN,
            max_characters=500,
        )
    )
    names = [e.name for e in suite.expectations]
    expected = [e.name for e in DEFAULT_SUITE.expectations if e.name != "text_is_not_repeated"]
    assert names == [*expected, "mine"]
    by_name = {e.name: e for e in suite.expectations}
    assert by_name["title_present"].severity == "critical"
    unit = suite.arguments_of(by_name["vector_of_unit_length"])
    assert (unit["min_value"], unit["max_value"]) == (0.99, 1.1)
    assert suite.arguments_of(by_name["text_not_oversized"])["max_value"] == 500
    assert suite.digest != DEFAULT_SUITE.digest == parse_suite({"name": "other", "extends": "recant_default"}).digest


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"name": "x", "extends": "theirs"}, "extends theirs; it can extend recant_default"),
        (extending({"name": "title_presnt", "severity": "info"}), "no expectation title_presnt to change; did you mean title_present"),
        (extending({"name": "wholly_other", "severity": "info"}), "lacks arguments, expectation"),
        (extending({"severity": "info"}), "says too little"),
        (extending({**OWN, "enabled": "no"}), "enabled: 'no': it must be true or false"),
        (extending(languags=["en"]), "nothing asks for the parameter languags; known are languages"),
        (extending(OWN, OWN), "two expectations are named mine"),
        ({"name": "x", "extends": "recant_default", "expectations": {}}, "must be a list"),
        ({"name": "x", "expectations": [{**OWN, "enabled": False}]}, "at least one expectation"),
    ],
)  # fmt: skip
def test_what_cannot_extend_says_why(document: dict[str, Any], message: str) -> None:
    """The nearest name is offered."""
    with pytest.raises(BadSuite, match=message):
        parse_suite(document)


def test_another_kind_of_expectation_brings_its_own_arguments() -> None:
    """Those of the kind before aren't mixed in."""
    changed = {
        "name": "title_present",
        "expectation": "expect_column_values_to_be_unique",
        "arguments": {"column": "source"},
    }
    suite = parse_suite(extending(changed))
    assert next(e for e in suite.expectations if e.name == "title_present").arguments == {"column": "source"}


def test_a_collection_has_its_file_or_that_of_all_others_or_the_built_in_suite(settings: Settings) -> None:
    """In this order, whichever ending YAML has; two of one collection are a mistake."""
    assert suite_of(settings, "press") == DEFAULT_SUITE
    put(settings, "_default.yml", "{name: all, extends: recant_default}")
    assert suite_of(settings, "press").name == "all"
    put(settings, "press.yaml", "{name: press, extends: recant_default}")
    assert (suite_of(settings, "press").name, suite_of(settings, "manuals").name) == ("press", "all")
    assert [name for name, _ in suite_files(settings)] == ["_default", "press"]
    put(settings, "press.yml", "{name: twice, extends: recant_default}")
    with pytest.raises(BadSuite, match="are both of press"):
        suite_of(settings, "press")


def test_the_folder_can_be_named(tmp_path: Path) -> None:
    """RECANT_SUITES; a folder that isn't there is said."""
    (tmp_path / "docs.yml").write_text("{name: elsewhere, extends: recant_default}")
    settings = read_settings({"RECANT_SUITES": str(tmp_path), "RECANT_HOME": "/nowhere"})
    assert suite_of(settings, "docs").name == "elsewhere"
    with pytest.raises(UsageError, match="no folder"):
        list(suite_files(read_settings({"RECANT_SUITES": str(tmp_path / "none")})))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (extending({**OWN, "expectation": "expect_column_values_to_be_nul"}), "did you mean expect_column_values_to_be_null"),
        (extending({**OWN, "arguments": {"column": "titel"}}), "is about titel, which isn't among"),
        (extending({**OWN, "arguments": {"column": "title", "lowest": 1}}), "the arguments of mine don't fit"),
        (extending({**OWN, "expectation": "expect_column_values_to_be_between",
                    "arguments": {"column": "title", "min_value": 1}}), "mine can't be evaluated"),
        (extending(languages=["klingon"]), "klingon is no language"),
        (extending(languages="en"), "languages must be a list"),
        (extending(near_duplicate_similarity=0.5), "from 0.7 to 1, not 0.5"),
        (extending(recent_days=0), "recent_days must be above 0"),
    ],
)  # fmt: skip
def test_a_suite_is_checked_without_data(document: dict[str, Any], message: str) -> None:
    """Unknown kinds, columns and arguments, types that don't fit, and parameters out of range."""
    with pytest.raises(BadSuite, match=message):
        check_suite(parse_suite(document))


def test_the_built_in_suite_can_be_evaluated() -> None:
    """So can one that extends it, with languages."""
    assert check_suite(DEFAULT_SUITE) is DEFAULT_SUITE
    assert check_suite(parse_suite(extending(languages=["en", "de"]))).parameter("languages") == ["en", "de"]
