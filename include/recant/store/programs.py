"""How PostgreSQL's own programs are told where a database is: by their environment, never by arguments."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict

from recant.store.servers import primary_dsn

_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "service": "PGSERVICE",
    "passfile": "PGPASSFILE",
    "options": "PGOPTIONS",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


def program_environment(dsn: str) -> dict[str, str]:
    """The variables that libpq understands, for what the DSN says. Arguments could be read by every user of the machine."""
    parts = conninfo_to_dict(primary_dsn(dsn))
    return {variable: str(parts[name]) for name, variable in _VARIABLES.items() if parts.get(name) is not None}
