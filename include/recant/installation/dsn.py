"""How the library finds its database: one of the user's own, or the embedded one while it runs."""

from __future__ import annotations

from typing import Literal

from recant.errors import DatabaseUnreachable
from recant.installation.databases import APPLICATION_ROLE, KNOWLEDGE
from recant.installation.home import Home
from recant.installation.postgres import SUPERUSER, EmbeddedPostgres
from recant.settings import Settings


def embedded_postgres(settings: Settings) -> EmbeddedPostgres:
    """The installation's own server, running or not."""
    home = Home(settings.home)
    return EmbeddedPostgres(
        home.postgres,
        secrets_dir=home.secrets,
        log_file=home.logs / "postgres.log",
        preferred_port=settings.postgres_port,
    )


def dsn_for(settings: Settings, role: Literal["app", "admin"] = "app") -> str:
    """The DSN to connect with: `app` reads and writes knowledge, `admin` migrates. Holds a password.

    Raises DatabaseUnreachable when no DSN is set and the embedded server doesn't run.
    """
    if settings.dsn is not None:
        return (settings.admin_dsn or settings.dsn) if role == "admin" else settings.dsn
    postgres = embedded_postgres(settings)
    if not postgres.is_running():
        raise DatabaseUnreachable(
            f"No database is running in {settings.home}: run `recant up`, or name a database with RECANT_DSN"
        )
    return postgres.dsn(KNOWLEDGE, SUPERUSER if role == "admin" else APPLICATION_ROLE)
