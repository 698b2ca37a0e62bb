"""A suite: named expectations, each with its severity, kept in a YAML file so that users can bring their own."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import yaml  # type: ignore[import-untyped]

from recant.errors import UsageError
from recant.json_types import JSON

Severity = Literal["critical", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")
DEFAULT_SUITE_FILE = Path(__file__).with_name("default_suite.yml")
_REQUIRED = {"name", "expectation", "severity", "arguments"}
_KEYS = _REQUIRED | {"description", "enabled"}
_SUITE_KEYS = {"name", "expectations", "parameters", "extends"}
OWN_EXPECTATIONS = {
    "expect_chunks_to_have_no_duplicate": "duplicate_of",
    "expect_chunks_to_have_no_near_duplicate": "near_duplicate_of",
    "expect_text_to_be_undamaged": "mojibake_share",
    "expect_text_to_be_in_a_language_of_the_collection": "in_language",
    "expect_embeddings_not_to_drift": "drift_p_value",
    "expect_reject_rate_to_be_at_most": "reject_rate",
}
"""Recant's own, beside those of Great Expectations, and the column that each looks at where it isn't told another."""


class BadSuite(UsageError):
    """A suite's file can't be read, or says something that is no expectation."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation. `kind` is Great Expectations' name of it, e.g. expect_column_values_to_not_be_null."""

    name: str
    kind: str
    severity: Severity
    arguments: Mapping[str, JSON]
    description: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it looks at, in the order of its arguments; none for one about the whole table."""
        named = [value for key, value in self.arguments.items() if key in ("column", "column_A", "column_B")]
        listed = self.arguments.get("column_list")
        found = [*named, *(listed if isinstance(listed, list) else [])]
        if not found and self.kind in OWN_EXPECTATIONS:
            found = [OWN_EXPECTATIONS[self.kind]]
        return tuple(str(column) for column in found)


@dataclass(frozen=True, slots=True)
class Suite:
    """Expectations that a batch is held against. `parameters` fill in what the expectations leave open."""

    name: str
    expectations: tuple[Expectation, ...]
    parameters: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def columns(self) -> frozenset[str]:
        """What any of its expectations looks at."""
        return frozenset(column for expectation in self.expectations for column in expectation.columns)

    @property
    def digest(self) -> str:
        """sha256 over expectations and parameters, not over names: equal when the same is asked of a row."""
        asked = json.dumps([[asdict(e) for e in self.expectations], dict(self.parameters)], sort_keys=True, default=str)
        return hashlib.sha256(asked.encode()).hexdigest()

    def parameter(self, name: str) -> JSON:
        """A parameter's value; that of the built-in suite where this one doesn't have it."""
        return self.parameters[name] if name in self.parameters else DEFAULT_SUITE.parameters[name]

    def with_parameters(self, **given: JSON) -> Suite:
        """The same suite with other values; None leaves one as it is. Raises BadSuite for one that it doesn't have."""
        chosen = {name: value for name, value in given.items() if value is not None}
        unknown = sorted(chosen.keys() - self.parameters.keys())
        if unknown:
            raise BadSuite(f"Suite {self.name} has no parameter {unknown[0]}; it has {_listed(self.parameters)}.")
        return replace(self, parameters={**self.parameters, **chosen})

    def arguments_of(self, expectation: Expectation) -> dict[str, JSON]:
        """The expectation's arguments with parameters filled in."""
        return {key: self._filled(expectation, value) for key, value in expectation.arguments.items()}

    def _filled(self, expectation: Expectation, value: JSON) -> JSON:
        if not (isinstance(value, dict) and value.keys() == {"parameter"}):
            return value
        name = str(value["parameter"])
        if name not in self.parameters:
            raise BadSuite(f"{self.name}: {expectation.name} wants the parameter {name}; put it under parameters.")
        return self.parameters[name]


def load_suite(path: Path) -> Suite:
    """A suite from its file. Raises BadSuite saying which file, which expectation, and what is wrong with it."""
    try:
        return parse_suite(_read(path))
    except BadSuite as error:
        raise error if str(error).startswith(str(path)) else BadSuite(f"{path}: {error}") from None


def parse_suite(document: Any) -> Suite:
    """A suite from its file's content: name, expectations, and optionally parameters. Raises BadSuite.

    With `extends: recant_default` it is the built-in suite, with what the content says over it: an expectation of the
    same name is changed by the keys that are given, one with `enabled: false` is left out, others are added.
    """
    whole = _mapping(document, "a suite")
    required = {"name"} if "extends" in whole else {"name", "expectations"}
    _require_keys(whole, "the suite", required=required, allowed=_SUITE_KEYS)
    own = whole.get("expectations", [] if "extends" in whole else None)
    parameters = _mapping(whole.get("parameters") or {}, "parameters")
    if not isinstance(own, list):
        raise BadSuite("expectations must be a list of at least one expectation.")
    entries = [_mapping(entry, f"expectation {place}") for place, entry in enumerate(own, start=1)]
    _require_distinct(entries)
    if "extends" in whole:
        entries, parameters = _extended(str(whole["extends"]), entries, parameters)
    parsed = (_parse_expectation(entry, place) for place, entry in enumerate(entries, start=1))
    expectations = tuple(expectation for expectation in parsed if expectation is not None)
    if not expectations:
        raise BadSuite("expectations must be a list of at least one expectation.")
    suite = Suite(str(whole["name"]), expectations, parameters)
    for expectation in expectations:
        suite.arguments_of(expectation)
    return suite


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadSuite(f"{path} can't be read: {error}.") from error
    except yaml.YAMLError as error:
        raise BadSuite(f"{path} is not YAML: {' '.join(str(error).split())}.") from error


def _require_distinct(entries: list[dict[str, Any]]) -> None:
    names = [entry.get("name") for entry in entries]
    twice = next((name for name in names if name is not None and names.count(name) > 1), None)
    if twice is not None:
        raise BadSuite(f"two expectations are named {twice}: give each a name of its own.")


def _extended(
    base_name: str, entries: list[dict[str, Any]], parameters: dict[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    base = _read(DEFAULT_SUITE_FILE)
    if base_name != base["name"]:
        raise BadSuite(f"the suite extends {base_name}; it can extend {base['name']}, or replace it without `extends`.")
    unknown = sorted(parameters.keys() - base["parameters"].keys() - _parameters_of(entries))
    if unknown:
        raise BadSuite(f"nothing asks for the parameter {unknown[0]}; known are {_listed(base['parameters'])}.")
    merged = {entry["name"]: entry for entry in base["expectations"]}
    for entry in entries:
        name = entry.get("name")
        if name not in merged and not entry.keys() >= _REQUIRED - {"name"}:
            near = difflib.get_close_matches(str(name), merged, n=1)
            hint = f"; did you mean {near[0]}?" if near else ", and for one of your own it says too little:"
            missing = "" if near else f" it lacks {_listed(_REQUIRED - entry.keys())}."
            raise BadSuite(f"{base_name} has no expectation {name} to change{hint}{missing}")
        merged[name] = _changed(merged.get(name, {}), entry)
    return list(merged.values()), {**base["parameters"], **parameters}


def _changed(known: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Arguments are changed one by one, unless it becomes another kind of expectation."""
    same_kind = given.get("expectation", known.get("expectation")) == known.get("expectation")
    if same_kind and isinstance(given.get("arguments"), dict):
        given = {**given, "arguments": {**known["arguments"], **given["arguments"]}}
    return {**known, **given}


def _parameters_of(entries: list[dict[str, Any]]) -> set[str]:
    arguments = [entry.get("arguments") for entry in entries]
    values = [value for one in arguments if isinstance(one, dict) for value in one.values()]
    return {str(value["parameter"]) for value in values if isinstance(value, dict) and "parameter" in value}


def _parse_expectation(given: dict[str, Any], place: int) -> Expectation | None:
    """None for one that is switched off."""
    what = f"expectation {given.get('name') or place}"
    _require_keys(given, what, required=_REQUIRED, allowed=_KEYS)
    if not isinstance(given.get("enabled", True), bool):
        raise BadSuite(f"{what} says enabled: {given['enabled']!r}: it must be true or false.")
    if given.get("enabled") is False:
        return None
    if given["severity"] not in SEVERITIES:
        raise BadSuite(f"{what} has the severity {given['severity']!r}: it must be one of {', '.join(SEVERITIES)}.")
    arguments = _mapping(given["arguments"], f"the arguments of {what}")
    severity = cast("Severity", given["severity"])
    description = str(given.get("description") or "")
    return Expectation(str(given["name"]), str(given["expectation"]), severity, arguments, description)


def _require_keys(given: Mapping[str, Any], what: str, *, required: set[str], allowed: set[str]) -> None:
    missing = sorted(key for key in required if given.get(key) in (None, ""))
    if missing:
        raise BadSuite(f"{what} lacks {', '.join(missing)}.")
    unknown = sorted(given.keys() - allowed)
    if unknown:
        raise BadSuite(f"{what} has {', '.join(unknown)}, which means nothing here; known are {_listed(allowed)}.")


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise BadSuite(f"{what} must be a mapping of names to values, not {type(value).__name__}.")
    return value


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"


DEFAULT_SUITE = load_suite(DEFAULT_SUITE_FILE)
