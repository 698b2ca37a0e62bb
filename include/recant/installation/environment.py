"""What the programs that an installation starts see of our settings and of our own environment."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from recant.settings import Settings, inherited_environment

MEGABYTE = 1024 * 1024
FOREIGN = ("AIRFLOW_", "OPENLINEAGE_", "RECANT_", "MARQUEZ_")
"""Prefixes that are not inherited: another project's `AIRFLOW__DATABASE__SQL_ALCHEMY_CONN` would be migrated by us."""
QUIET = {
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "SCARF_ANALYTICS": "false",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Nothing calls home, and models are looked for on this machine only; a variable that is already set stays."""


def settings_environment(settings: Settings) -> dict[str, str]:
    """The variables from which `read_settings` makes the same settings again, but for the administrator's DSN."""
    variables = {
        "RECANT_HOME": settings.home,
        "RECANT_PROJECT": settings.project_root,
        "RECANT_DSN": settings.dsn,
        "RECANT_COLLECTION": settings.collection,
        "RECANT_AGENT": settings.agent,
        "RECANT_MODEL": settings.model,
        "RECANT_MODEL_DTYPE": settings.model_dtype,
        "RECANT_DEVICE": settings.device,
        "RECANT_EMBEDDER": settings.embedder,
        "RECANT_POSTGRES_PORT": settings.postgres_port,
        "RECANT_AIRFLOW_PORT": settings.airflow_port,
        "MARQUEZ_URL": settings.marquez_url,
        "MARQUEZ_WEB_URL": settings.marquez_web_url,
        "MARQUEZ_JAR": settings.marquez_jar,
        "RECANT_LINEAGE_NAMESPACE": settings.lineage_namespace,
        "RECANT_PLAN_HOURS": settings.plan_hours,
        "RECANT_AUTO_ROLLBACK": settings.auto_rollback,
        "RECANT_QUALITY_RANKING": settings.quality_ranking,
        "RECANT_ACCESS_COUNTS": settings.access_counts,
        "RECANT_SUITES": settings.suites,
        "RECANT_MAX_DOCUMENT_MB": settings.max_document_bytes // MEGABYTE,
    }
    return {name: str(value) for name, value in variables.items() if value is not None}


def fingerprint(settings: Settings) -> str:
    """Tells settings apart that a running program would have to be started anew for. (Who writes may differ by call.)"""
    variables = settings_environment(settings)
    del variables["RECANT_AGENT"]
    return hashlib.sha256(json.dumps(variables, sort_keys=True).encode()).hexdigest()


def process_environment(settings: Settings) -> dict[str, str]:
    """The environment of a program of this installation: ours, without other installations' words, quiet, offline."""
    inherited = {name: value for name, value in inherited_environment().items() if not name.startswith(FOREIGN)}
    environment = QUIET | inherited | settings_environment(settings)
    environment["PATH"] = f"{Path(sys.executable).parent}:{inherited.get('PATH', '/usr/local/bin:/usr/bin:/bin')}"
    environment["PYTHONUNBUFFERED"] = "1"
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host for host in inherited.get(name, "").split(",") if host]
        environment[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))
    return environment
