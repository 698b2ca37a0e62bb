"""The only place that knows psycopg: connections, named queries, migrations, and the driver's errors in our words."""

from recant.store.arrays import array_text, numbers_text
from recant.store.cursors import tuple_rows
from recant.store.database import Connection, Database, Row, connect_once, json_parameter
from recant.store.migration import migrate, pending_migrations
from recant.store.programs import program_environment
from recant.store.queries import load
from recant.store.servers import ServerState, names_several, primary_dsn, server_states
from recant.store.vectors import duplicate_key, half_vector, vector_rows

__all__ = [
    "Connection",
    "Database",
    "Row",
    "ServerState",
    "array_text",
    "connect_once",
    "duplicate_key",
    "half_vector",
    "json_parameter",
    "load",
    "migrate",
    "names_several",
    "numbers_text",
    "pending_migrations",
    "primary_dsn",
    "program_environment",
    "server_states",
    "tuple_rows",
    "vector_rows",
]
