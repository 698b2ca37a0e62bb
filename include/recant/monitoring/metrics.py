"""Metrics and their text format (Prometheus exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Point:
    """One value under some labels. `suffix` is a histogram's `_bucket`, `_sum` or `_count`."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """All values of one name. Units are in the name: `_seconds`, `_bytes`, `_ratio`."""

    name: str
    help: str
    points: tuple[Point, ...]
    kind: Kind = "gauge"

    def series(self) -> Iterator[tuple[str, float]]:
        """Each value by its series, `name{label="value"}`."""
        for point in self.points:
            yield series_name(self.name + point.suffix, point.labels), point.value


def series_name(name: str, labels: Mapping[str, str]) -> str:
    """The name with its labels, in their order."""
    shown = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
    return f"{name}{{{shown}}}" if shown else name


def prometheus_text(metrics: Iterable[Metric]) -> str:
    """The page that a Prometheus server reads. Metrics without a value are left out."""
    lines: list[str] = []
    for metric in metrics:
        if metric.points:
            shown = metric.help.replace("\\", r"\\").replace("\n", r"\n")
            lines += [f"# HELP {metric.name} {shown}", f"# TYPE {metric.name} {metric.kind}"]
            lines += [f"{series} {_number(value)}" for series, value in metric.series()]
    return "".join(f"{line}\n" for line in lines)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
