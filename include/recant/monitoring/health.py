"""What `kb.health` offers, over one database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from recant.monitoring.alerts import FILE, Alert, Rule, load_rules
from recant.monitoring.collection import collect
from recant.monitoring.metrics import Metric
from recant.settings import Settings
from recant.store import Database, json_parameter, load

WINDOW_SECONDS = 3600.0
KEEP_DAYS = 30.0
_SQL = load(__package__, "monitoring.sql")


@dataclass(frozen=True, slots=True)
class HealthReport:
    """One check: what was measured, which alerts stand, and which of them are new or over."""

    taken_at: datetime
    metrics: list[Metric]
    firing: list[Alert]
    pending: list[Alert]
    fired: list[Alert]
    """Began to fire with this check."""
    resolved: list[Alert]
    """Were over with this check."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; metrics as an object of values by series."""
        lists = {
            name: [alert.to_dict() for alert in getattr(self, name)]
            for name in ("firing", "pending", "fired", "resolved")
        }
        return {"taken_at": self.taken_at.isoformat(), "metrics": values(self.metrics), **lists}


class Health:
    """Measuring, keeping what was measured, and alerting. Safe to share between threads."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    def metrics(self, *, window_seconds: float = WINDOW_SECONDS) -> list[Metric]:
        """What there is to be measured now; rates and latencies over the window. Changes nothing."""
        return collect(self.database, self.settings.home, window_seconds=window_seconds)

    def rules(self, file: Path | str | None = None) -> list[Rule]:
        """The rules in effect: built-in ones, and over them those of the file, or of `alerts.yml` in RECANT_HOME.

        Raises ConfigurationError.
        """
        own = self.settings.home / FILE if file is None else Path(file)
        return load_rules(own if file is not None or own.exists() else None)

    def check(
        self, *, rules: Path | str | None = None, window_seconds: float = WINDOW_SECONDS, keep_days: float = KEEP_DAYS
    ) -> HealthReport:
        """Measures, keeps the sample for so many days, and holds it against the rules.

        Raises ConfigurationError for rules that can't be understood, before anything is kept.
        """
        known = self.rules(rules)
        metrics = self.metrics(window_seconds=window_seconds)
        breaches = [breach for rule in known for breach in rule.breaches(metrics)]
        with self.database.transaction() as connection:
            given = {"metrics": json_parameter(values(metrics)), "days": keep_days}
            row = connection.execute(_SQL["store_health"], given).fetchone()
            changed = connection.execute(_SQL["settle_alerts"], {"breaches": json_parameter(breaches)}).fetchall()
        standing, moved = self.alerts(), [Alert.of(row) for row in changed]
        return HealthReport(
            taken_at=row["taken_at"] if row else datetime.now(),
            metrics=metrics,
            firing=[alert for alert in standing if alert.state == "firing"],
            pending=[alert for alert in standing if alert.state == "pending"],
            fired=[alert for alert in moved if alert.state == "firing"],
            resolved=[alert for alert in moved if alert.state == "resolved"],
        )

    def alerts(self, *, include_resolved: bool = False, limit: int = 1000) -> list[Alert]:
        """Those that stand, as the last check left them; with the resolved ones, newest first."""
        with self.database.transaction() as connection:
            rows = connection.execute(_SQL["find_alerts"], {"all": include_resolved, "limit": limit}).fetchall()
        return [Alert.of(row) for row in rows]

    def history(self, series: str, since: datetime, *, limit: int = 10_000) -> list[tuple[datetime, float]]:
        """What a series, `name{label="value"}`, was at each check since then; newest first."""
        given = {"series": series, "since": since, "limit": limit}
        with self.database.transaction() as connection:
            return [(row["taken_at"], row["value"]) for row in connection.execute(_SQL["history"], given)]

    def checked_at(self) -> datetime | None:
        """When the last check was; None before the first."""
        with self.database.transaction() as connection:
            row = connection.execute(_SQL["last_sample"]).fetchone()
        return row["taken_at"] if row else None


def values(metrics: Sequence[Metric]) -> dict[str, float]:
    """Values by series. Of histograms only sum and count: their buckets say little by themselves."""
    found = {series: value for metric in metrics for series, value in metric.series()}
    return {series: value for series, value in found.items() if "_bucket{" not in series}
