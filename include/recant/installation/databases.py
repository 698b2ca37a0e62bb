"""The embedded server's databases and login roles: `recant` for the knowledge, `airflow` and `marquez` for theirs."""

from __future__ import annotations

from pathlib import Path

from recant.installation.postgres import EmbeddedPostgres
from recant.store import Connection, connect_once, load, migrate

KNOWLEDGE = "recant"
APPLICATION_ROLE = "recant_app"
METADATA = "airflow"
METADATA_ROLE = "airflow"
MARQUEZ_DATABASE = "marquez"
MARQUEZ_ROLE = "marquez"


def create_knowledge(postgres: EmbeddedPostgres) -> None:
    """Have the database, without a schema where it is new."""
    with _administer(postgres) as connection:
        if not _exists(connection, "find_database", KNOWLEDGE):
            connection.execute(load(__package__, "databases.sql")["create_knowledge_database"])


def prepare_knowledge(postgres: EmbeddedPostgres, scripts: Path) -> list[str]:
    """Have the database, its schema and the role that the library logs in as. Returns the migrations applied now."""
    queries = load(__package__, "databases.sql")
    create_knowledge(postgres)
    applied = migrate(postgres.dsn(KNOWLEDGE), scripts)
    with _administer(postgres) as connection:
        if not _exists(connection, "find_role", APPLICATION_ROLE):
            connection.execute(queries["create_application_role"])
        connection.execute(queries["admit_application_role"])
        connection.execute(queries["close_knowledge_database"])
        connection.execute(queries["open_knowledge_database"])
        _set_password(connection, APPLICATION_ROLE, postgres.password(APPLICATION_ROLE))
    return applied


def prepare_metadata(postgres: EmbeddedPostgres) -> None:
    """Have the database of Airflow's metadata, owned by a role that can't reach the knowledge."""
    queries = load(__package__, "databases.sql")
    with _administer(postgres) as connection:
        if not _exists(connection, "find_role", METADATA_ROLE):
            connection.execute(queries["create_metadata_role"])
        _set_password(connection, METADATA_ROLE, postgres.password(METADATA_ROLE))
        if not _exists(connection, "find_database", METADATA):
            connection.execute(queries["create_metadata_database"])
        connection.execute(queries["close_metadata_database"])


def prepare_marquez(postgres: EmbeddedPostgres) -> None:
    """Have Marquez' database, which its role owns: it makes its tables itself. It can't reach the knowledge."""
    queries = load(__package__, "databases.sql")
    with _administer(postgres) as connection:
        if not _exists(connection, "find_role", MARQUEZ_ROLE):
            connection.execute(queries["create_marquez_role"])
        _set_password(connection, MARQUEZ_ROLE, postgres.password(MARQUEZ_ROLE))
        if not _exists(connection, "find_database", MARQUEZ_DATABASE):
            connection.execute(queries["create_marquez_database"])
        connection.execute(queries["close_marquez_database"])


def metadata_version(postgres: EmbeddedPostgres) -> str | None:
    """The Airflow version whose tables the metadata database has; None before they are made."""
    with _administer(postgres) as connection:
        row = connection.execute(load(__package__, "databases.sql")["read_metadata_version"]).fetchone()
    return row["version"] if row else None


def record_metadata_version(postgres: EmbeddedPostgres, version: str) -> None:
    """Remember it, with the database itself."""
    with _administer(postgres) as connection:
        connection.execute("SELECT set_config('recant.version', %s, false)", [version])
        connection.execute(load(__package__, "databases.sql")["record_metadata_version"])


def require_reachable(dsn: str) -> None:
    """Connects and does nothing. Raises DatabaseUnreachable or AuthenticationFailed."""
    connect_once(dsn).close()


def _administer(postgres: EmbeddedPostgres) -> Connection:
    return connect_once(postgres.dsn("postgres"), autocommit=True)


def _exists(connection: Connection, query: str, name: str) -> bool:
    return connection.execute(load(__package__, "databases.sql")[query], {"name": name}).fetchone() is not None


def _set_password(connection: Connection, role: str, password: str) -> None:
    """Sends the SCRAM verifier only: the password itself never reaches the server or its log."""
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    query = load(__package__, "databases.sql")["set_role_verifier"]
    connection.execute("SELECT set_config('recant.role', %s, false)", [role])
    connection.execute("SELECT set_config('recant.verifier', %s, false)", [verifier])
    connection.execute(query)
