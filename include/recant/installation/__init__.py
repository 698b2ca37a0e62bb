"""Embedded Postgres, Airflow and the processes around them: brought up, taken down, looked at."""

from recant.installation.airflow_api import AirflowUnreachable
from recant.installation.doctor import Check, doctor
from recant.installation.dsn import dsn_for
from recant.installation.installation import Installation, down, status, up
from recant.installation.process import PartFailed
from recant.installation.progress import Progress
from recant.installation.services import embedder_state

__all__ = [
    "AirflowUnreachable",
    "Check",
    "Installation",
    "PartFailed",
    "Progress",
    "doctor",
    "down",
    "dsn_for",
    "embedder_state",
    "status",
    "up",
]
