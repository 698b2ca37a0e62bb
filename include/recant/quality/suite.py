"""A suite: named expectations, each with its severity, kept in a YAML file so that users can bring their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import yaml  # type: ignore[import-untyped]

from recant.errors import UsageError
from recant.json_types import JSON

Severity = Literal["critical", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")
DEFAULT_SUITE_FILE = Path(__file__).with_name("default_suite.yml")
_KEYS = {"name", "expectation", "severity", "arguments", "description"}


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
        return tuple(str(column) for column in [*named, *(listed if isinstance(listed, list) else [])])


@dataclass(frozen=True, slots=True)
class Suite:
    """Expectations that a batch is held against. `parameters` fill in what the expectations leave open."""

    name: str
    expectations: tuple[Expectation, ...]
    parameters: Mapping[str, JSON] = field(default_factory=dict)

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
        document = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadSuite(f"{path} can't be read: {error}.") from error
    except yaml.YAMLError as error:
        raise BadSuite(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    try:
        return parse_suite(document)
    except BadSuite as error:
        raise BadSuite(f"{path}: {error}") from None


def parse_suite(document: Any) -> Suite:
    """A suite from its file's content: name, expectations, and optionally parameters. Raises BadSuite."""
    whole = _mapping(document, "a suite")
    _require_keys(whole, "the suite", required={"name", "expectations"}, allowed={"name", "expectations", "parameters"})
    entries = whole["expectations"]
    if not isinstance(entries, list) or not entries:
        raise BadSuite("expectations must be a list of at least one expectation.")
    expectations = tuple(_parse_expectation(entry, place) for place, entry in enumerate(entries, start=1))
    names = [expectation.name for expectation in expectations]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadSuite(f"two expectations are named {twice}: give each a name of its own.")
    suite = Suite(str(whole["name"]), expectations, _mapping(whole.get("parameters") or {}, "parameters"))
    for expectation in expectations:
        suite.arguments_of(expectation)
    return suite


def _parse_expectation(entry: Any, place: int) -> Expectation:
    given = _mapping(entry, f"expectation {place}")
    what = f"expectation {given.get('name') or place}"
    _require_keys(given, what, required={"name", "expectation", "severity", "arguments"}, allowed=_KEYS)
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
