"""Numbers with what they are held against, and how they are taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the report."""

    name: str
    value: float
    unit: str
    target: str = ""
    """What the issue asks for, in words; empty where it asks for nothing."""
    met: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def at_most(name: str, value: float, unit: str, bound: float) -> Measure:
    """A measure that should not exceed `bound`."""
    return Measure(name, value, unit, f"<= {bound:g}", value <= bound)


def at_least(name: str, value: float, unit: str, bound: float) -> Measure:
    """A measure that should reach `bound`."""
    return Measure(name, value, unit, f">= {bound:g}", value >= bound)


@dataclass(slots=True)
class Stopwatch:
    """Seconds of a `with` block."""

    seconds: float = 0.0


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Wall-clock time of the block."""
    watch = Stopwatch()
    started = time.perf_counter()
    yield watch
    watch.seconds = time.perf_counter() - started


def milliseconds(call: Callable[..., Any], *arguments: Any) -> float:
    """Wall-clock time of one call."""
    with stopwatch() as watch:
        call(*arguments)
    return watch.seconds * 1000


def median(values: list[float]) -> float:
    """The middle one."""
    return float(np.median(values))


def percentile_95(values: list[float]) -> float:
    """What 95% don't exceed."""
    return float(np.percentile(values, 95))
