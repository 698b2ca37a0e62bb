"""Where the environment is read, and nowhere else. Everything has a default that works on a fresh machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

EmbedderMode = Literal["auto", "resident", "local"]
LONGEST_RETENTION_DAYS = 100_000
AutoRollback = Literal["off", "quarantine"]
OnOff = Literal["on", "off"]
PROJECT_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Settings:
    """One installation's configuration. Secrets are kept in files under `home`, never here."""

    home: Path
    """Data, secrets, logs (`RECANT_HOME`; default `.recant` in the project)."""
    dsn: str | None = field(default=None, repr=False)
    """A database of one's own (`RECANT_DSN`); None: the embedded one under `home`."""
    admin_dsn: str | None = field(default=None, repr=False)
    """The role that migrates (`RECANT_ADMIN_DSN`); None: the same as `dsn`."""
    collection: str = "knowledge"
    """The collection used when none is named (`RECANT_COLLECTION`)."""
    agent: str = "anonymous"
    """Who writes when nobody is named (`RECANT_AGENT`; default: the login name)."""
    model: str | None = None
    """Embedding model: a name or a path (`RECANT_MODEL`); None: all-MiniLM-L6-v2 from its wheel."""
    models: tuple[str, ...] = ()
    """Further embedding models, for collections that are of one (`RECANT_MODELS`, separated by commas): names or paths."""
    model_dtype: str = "auto"
    """`auto`, `float32` or `bfloat16` (`RECANT_MODEL_DTYPE`)."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `mps` (`RECANT_DEVICE`)."""
    reranker: Path | None = None
    """Folder of a cross-encoder for searches that ask to be ranked anew (`RECANT_RERANKER`)."""
    embedder: EmbedderMode = "auto"
    """`auto`, `resident` or `local` (`RECANT_EMBEDDER`)."""
    postgres_port: int | None = None
    """Port of the embedded Postgres (`RECANT_POSTGRES_PORT`); None: 5432 or the next free one."""
    airflow_port: int | None = None
    """Port of Airflow's API server (`RECANT_AIRFLOW_PORT`); None: 8080 or the next free one."""
    marquez_url: str | None = None
    """Where lineage is delivered besides the file (`MARQUEZ_URL`)."""
    marquez_web_url: str | None = None
    """Marquez's web page, which answers of lineage link to (`MARQUEZ_WEB_URL`)."""
    marquez_jar: Path | None = None
    """Marquez' API as a jar, which `recant up` runs (`MARQUEZ_JAR`)."""
    marquez_port: int | None = None
    """Port of a Marquez that `recant up` runs (`RECANT_MARQUEZ_PORT`); None: 5000 or the next free one."""
    lineage_namespace: str = "recant"
    """OpenLineage job namespace, and the logical host in dataset names (`RECANT_LINEAGE_NAMESPACE`)."""
    plan_hours: int = 72
    """How long a stored plan can be applied (`RECANT_PLAN_HOURS`)."""
    max_document_bytes: int = 64 * 1024 * 1024
    """Larger documents are rejected (`RECANT_MAX_DOCUMENT_MB`)."""
    retention_days: int | None = 90
    """How long what is no longer seen can be brought back (`RECANT_RETENTION_DAYS`); None: for ever."""
    auto_rollback: AutoRollback = "off"
    """What happens at once to what is proposed for rollback (`RECANT_AUTO_ROLLBACK`): nothing, or it is quarantined."""
    search_cache: int = 1_000
    """How many answers are kept in a process, to be given again while nothing changes (`RECANT_SEARCH_CACHE`); 0: none."""
    quality_ranking: OnOff = "on"
    """Whether quality weighs in the ranking of a search that doesn't say (`RECANT_QUALITY_RANKING`)."""
    access_counts: OnOff = "on"
    """Whether searches outside of sessions are counted for quality scores (`RECANT_ACCESS_COUNTS`)."""
    project_root: Path = PROJECT_ROOT
    """Where dags/, plugins/, docs/ and init-scripts/ stand (`RECANT_PROJECT`)."""

    @property
    def init_scripts(self) -> Path:
        """The folder of numbered SQL files."""
        return self.project_root / "init-scripts"


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from environment variables (`os.environ` by default). Raises ValueError naming the bad variable."""
    env = os.environ if environment is None else environment
    root = Path(env.get("RECANT_PROJECT") or PROJECT_ROOT)
    return Settings(
        home=Path(env.get("RECANT_HOME") or root / ".recant").expanduser().absolute(),
        dsn=env.get("RECANT_DSN") or None,
        admin_dsn=env.get("RECANT_ADMIN_DSN") or None,
        collection=env.get("RECANT_COLLECTION") or "knowledge",
        agent=env.get("RECANT_AGENT") or env.get("USER") or env.get("LOGNAME") or "anonymous",
        model=env.get("RECANT_MODEL") or None,
        models=tuple(name for part in (env.get("RECANT_MODELS") or "").split(",") if (name := part.strip())),
        model_dtype=_choice(env, "RECANT_MODEL_DTYPE", ("auto", "float32", "bfloat16")),
        device=env.get("RECANT_DEVICE") or "auto",
        reranker=Path(env["RECANT_RERANKER"]).expanduser().absolute() if env.get("RECANT_RERANKER") else None,
        embedder=cast(EmbedderMode, _choice(env, "RECANT_EMBEDDER", ("auto", "resident", "local"))),
        postgres_port=_port(env, "RECANT_POSTGRES_PORT"),
        airflow_port=_port(env, "RECANT_AIRFLOW_PORT"),
        marquez_url=env.get("MARQUEZ_URL") or None,
        marquez_web_url=env.get("MARQUEZ_WEB_URL") or None,
        marquez_jar=Path(env["MARQUEZ_JAR"]).expanduser().absolute() if env.get("MARQUEZ_JAR") else None,
        marquez_port=_port(env, "RECANT_MARQUEZ_PORT"),
        lineage_namespace=env.get("RECANT_LINEAGE_NAMESPACE") or "recant",
        plan_hours=_whole(env, "RECANT_PLAN_HOURS", 72),
        max_document_bytes=_whole(env, "RECANT_MAX_DOCUMENT_MB", 64) * 1024 * 1024,
        retention_days=_days(env, "RECANT_RETENTION_DAYS", 90),
        auto_rollback=cast(AutoRollback, _choice(env, "RECANT_AUTO_ROLLBACK", ("off", "quarantine"))),
        search_cache=0 if env.get("RECANT_SEARCH_CACHE") == "0" else _whole(env, "RECANT_SEARCH_CACHE", 1_000),
        quality_ranking=cast(OnOff, _choice(env, "RECANT_QUALITY_RANKING", ("on", "off"))),
        access_counts=cast(OnOff, _choice(env, "RECANT_ACCESS_COUNTS", ("on", "off"))),
        project_root=root,
    )


def _choice(env: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = env.get(name) or choices[0]
    if value not in choices:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(choices)}")
    return value


def _whole(env: Mapping[str, str], name: str, default: int) -> int:
    value = env.get(name) or str(default)
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{name}={value!r}: must be a whole number above 0")
    return int(value)


def _days(env: Mapping[str, str], name: str, default: int) -> int | None:
    if env.get(name) == "forever":
        return None
    try:
        days = _whole(env, name, default)
    except ValueError as error:
        raise ValueError(f"{error}, or `forever`") from error
    if days > LONGEST_RETENTION_DAYS:
        raise ValueError(f"{name}={days}: must be at most {LONGEST_RETENTION_DAYS}, or `forever`")
    return days


def _port(env: Mapping[str, str], name: str) -> int | None:
    if not env.get(name):
        return None
    port = _whole(env, name, 0)
    if port > 65535:
        raise ValueError(f"{name}={port}: a port is between 1 and 65535")
    return port


def inherited_environment() -> dict[str, str]:
    """A copy of our own environment, to pass on to programs that we start."""
    return dict(os.environ)
