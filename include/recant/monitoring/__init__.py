"""How the knowledge base is doing: metrics, their history, alerts, and what searches take."""

from recant.monitoring.activity import ActivityRecorder
from recant.monitoring.alerts import Alert, Rule, load_rules
from recant.monitoring.health import Health, HealthReport
from recant.monitoring.metrics import Metric, Point, prometheus_text
from recant.monitoring.server import MetricsServer

__all__ = [
    "ActivityRecorder",
    "Alert",
    "Health",
    "HealthReport",
    "Metric",
    "MetricsServer",
    "Point",
    "Rule",
    "load_rules",
    "prometheus_text",
]
