"""Rules, in YAML, and the alerts that come of them: pending, firing, resolved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from recant.errors import ConfigurationError
from recant.monitoring.metrics import Metric, series_name
from recant.store import Row
from recant.times import parse_duration

FILE = "alerts.yml"
"""The user's rules, in RECANT_HOME."""
SEVERITIES = ("info", "warning", "critical")
_KEYS = {"metric", "labels", "above", "below", "for", "severity", "summary", "enabled"}


@dataclass(frozen=True, slots=True)
class Rule:
    """A threshold, above or below, for every series of a metric that has the labels."""

    name: str
    metric: str
    summary: str
    severity: str = "warning"
    above: float | None = None
    below: float | None = None
    for_seconds: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def threshold(self) -> float:
        """The one of the two that is given."""
        return self.above if self.above is not None else float(self.below or 0.0)

    def breaches(self, metrics: Iterable[Metric]) -> Iterator[dict[str, Any]]:
        """The series that are past the threshold now."""
        for metric in metrics:
            for point in metric.points if metric.name == self.metric else ():
                if self._is_past(point.value) and self.labels.items() <= point.labels.items():
                    shown = {"rule": self.name, "severity": self.severity, "summary": self.summary}
                    series = series_name(metric.name + point.suffix, point.labels)
                    numbers = {"value": point.value, "threshold": self.threshold, "for_seconds": self.for_seconds}
                    yield {**shown, "series": series, **numbers}

    def _is_past(self, value: float) -> bool:
        return value > self.above if self.above is not None else value < self.threshold


@dataclass(frozen=True, slots=True)
class Alert:
    """A series that is, or was, past a rule's threshold."""

    rule: str
    series: str
    severity: str
    summary: str
    value: float
    """The last one measured while it stood."""
    threshold: float
    seen_at: datetime
    fired_at: datetime | None
    resolved_at: datetime | None

    @property
    def state(self) -> str:
        """pending, firing or resolved."""
        return "resolved" if self.resolved_at else "firing" if self.fired_at else "pending"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        times = {
            name: t.isoformat() if (t := getattr(self, name)) else None
            for name in ("seen_at", "fired_at", "resolved_at")
        }
        return {**asdict(self), **times, "state": self.state}

    @classmethod
    def of(cls, row: Row) -> Alert:
        """From the table's row."""
        return cls(**{name: value for name, value in row.items() if name != "id"})


def load_rules(own: Path | None = None) -> list[Rule]:
    """The built-in rules with those of a file over them, by name. Raises ConfigurationError naming file, rule and key."""
    builtin = files(__package__).joinpath(FILE).read_text("utf-8")
    merged = _read(builtin, f"the built-in {FILE}")
    if own is not None:
        for name, given in _read(_text(own), str(own)).items():
            merged[name] = _without_other_bound(merged.get(name, {}), given) | given
    return [_rule(name, keys) for name, keys in sorted(merged.items()) if keys.get("enabled", True)]


def _without_other_bound(known: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    replaced = {"above", "below"} if given.keys() & {"above", "below"} else set()
    return {key: value for key, value in known.items() if key not in replaced}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}") from error


def _read(text: str, where: str) -> dict[str, dict[str, Any]]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{where} is no YAML: {error}") from error
    rules = document.get("alerts") if isinstance(document, dict) else None
    if not isinstance(rules, dict) or not all(isinstance(keys, dict) for keys in rules.values()):
        raise ConfigurationError(f"{where}: `alerts:` must hold rules by name")
    for name, keys in rules.items():
        if unknown := sorted(map(str, keys.keys() - _KEYS)):
            raise ConfigurationError(f"{where}: {name} has unknown keys: {', '.join(unknown)}")
    return {str(name): dict(keys) for name, keys in rules.items()}


def _rule(name: str, keys: Mapping[str, Any]) -> Rule:
    above, below = keys.get("above"), keys.get("below")
    try:
        if (above is None) == (below is None):
            raise ValueError("either above or below")
        severity = keys.get("severity", "warning")
        if severity not in SEVERITIES:
            raise ValueError(f"severity must be one of {', '.join(SEVERITIES)}")
        return Rule(
            name=name,
            metric=str(keys["metric"]),
            summary=str(keys.get("summary", name.replace("_", " "))),
            severity=severity,
            above=None if above is None else float(above),
            below=None if below is None else float(below),
            for_seconds=parse_duration(str(keys["for"])).total_seconds() if keys.get("for") else 0.0,
            labels={str(k): str(v) for k, v in (keys.get("labels") or {}).items()},
        )
    except KeyError as error:
        raise ConfigurationError(f"The alert {name} names no {error.args[0]}.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"The alert {name}: {error}") from error
