"""A log of very many operations, generated on the server in a few statements: what their writers would have left there.

Each operation wrote one document. Those of the first half form small families, in which everything was built, over some
hops, on the family's first; those of the second half were all built on one. Two dependencies an operation.
"""

from __future__ import annotations

from dataclasses import dataclass

from recant.corpus import CollectionInfo
from recant.store import Connection

FAMILY = 310
CARELESS = "careless"
"""The agent of the first families."""

FILL = (
    "SET session_replication_role = replica",  # no triggers: the rows are as they should be
    """INSERT INTO record (id, collection_id, kind, key) OVERRIDING SYSTEM VALUE
       SELECT n, %(collection)s, 'document', '/log/' || n FROM generate_series(1, %(operations)s) n""",
    """INSERT INTO operation (id, position, life, visible, collection_id, kind, agent, session, lineage_run_id, base_position,
                              opened_at, closed_at, digest, chain) OVERRIDING SYSTEM VALUE
       SELECT n, n, 'published', true, %(collection)s, 'ingest', CASE WHEN n <= %(careless)s THEN 'careless' ELSE 'careful' END,
              'session ' || n / 10, gen_random_uuid(), n - 1, now() - make_interval(secs => %(operations)s - n),
              now() - make_interval(secs => %(operations)s - n), repeat('0', 32), sha256(int8send(n))
       FROM generate_series(1, %(operations)s) n""",
    "INSERT INTO visibility_history SELECT n, n, true FROM generate_series(1, %(operations)s) n",
    """INSERT INTO version (version_id, record_id, operation_id, batch_id, content_hash) OVERRIDING SYSTEM VALUE
       SELECT n, n, n, 1, sha256(int8send(n)) FROM generate_series(1, %(operations)s) n""",
    """INSERT INTO document_version (version_id, origin_record_id, format, source_hash, fingerprint, chunk_count, token_count)
       SELECT n, 1, 'text', sha256(int8send(n)), sha256(int8send(n)), 0, 0 FROM generate_series(1, %(operations)s) n""",
    """INSERT INTO dependency (operation_id, batch_id, input_operation_id, input_version_id, class)
       SELECT n, 1, input, input, (ARRAY['derived', 'affirmed'])[1 + n %% 2] FROM (
         SELECT n, unnest(ARRAY[first + (n - first - 1) / 2, first + n * 7919 %% (n - first)]) AS input
         FROM (SELECT n, CASE WHEN n > %(half)s THEN %(half)s + 1 ELSE n - (n - 1) %% %(family)s END AS first
               FROM generate_series(1::bigint, %(operations)s) n) x
         WHERE n > first) y""",
    *(
        f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), %(operations)s)"
        for table, column in (("record", "id"), ("operation", "id"), ("version", "version_id"))
    ),
    "SET session_replication_role = origin",
)
TABLES = ("record", "operation", "visibility_history", "version", "document_version", "dependency")


@dataclass(frozen=True, slots=True)
class SyntheticLog:
    """How many operations there are, and how many of the first ones are the careless agent's."""

    operations: int
    careless: int

    @property
    def half(self) -> int:
        """Operations in families; the others depend on the one after these."""
        return self.operations // 2 - self.operations // 2 % FAMILY

    @property
    def first_of_a_family(self) -> int:
        """An operation that the rest of its family was built on; not a careless one."""
        return self.half - FAMILY + 1

    @property
    def built_upon(self) -> int:
        """The operation that half of the log was built on."""
        return self.half + 1

    def fill(self, connection: Connection, collection_id: int) -> None:
        """Into an empty database, as superuser, outside a transaction."""
        given = {
            "operations": self.operations,
            "careless": self.careless,
            "half": self.half,
            "family": FAMILY,
            "collection": collection_id,
        }
        connection.execute("SET search_path = recant, public")
        for statement in FILL:
            connection.execute(statement, given)
        connection.execute(f"VACUUM ANALYZE {', '.join(TABLES)}")


APPEND = (
    "SET session_replication_role = replica",
    """INSERT INTO embedding (space_id, text_hash, vector)
       SELECT %(space)s, sha256(int8send(n)), array_fill(0.05103::real, ARRAY[%(dimensions)s])::halfvec
       FROM generate_series(1, 1000) n ON CONFLICT DO NOTHING""",
    """WITH added AS (
         INSERT INTO record (collection_id, kind, key)
         SELECT %(collection)s, 'document', '/large/' || %(operation)s || '/' || n FROM generate_series(1, %(documents)s) n
         RETURNING id, key
       )
       INSERT INTO version (record_id, operation_id, batch_id, content_hash)
       SELECT id, %(operation)s, %(batch)s, sha256(convert_to(key, 'UTF8')) FROM added""",
    """INSERT INTO document_version (version_id, origin_record_id, format, source_hash, fingerprint, chunk_count, token_count)
       SELECT version_id, record_id, 'text', content_hash, content_hash, %(chunks)s, 90 * %(chunks)s
       FROM version WHERE operation_id = %(operation)s""",
    """INSERT INTO chunk (version_id, embedding_id, index, token_count, chunk_type, text)
       SELECT version_id, (SELECT min(id) FROM embedding) + (version_id + n) %% 1000, n, 90, 'text',
              'Part ' || n || ' of version ' || version_id || '. ' || repeat('A sentence as long as most of them are. ', 10)
       FROM version, generate_series(0, %(chunks)s - 1) n WHERE operation_id = %(operation)s""",
    "SET session_replication_role = origin",
)


def fill_operation(
    connection: Connection, collection: CollectionInfo, operation: int, batch: int, documents: int, chunks: int
) -> None:
    """New documents of `chunks` chunks each under an open operation, as superuser."""
    given = {
        "operation": operation,
        "batch": batch,
        "collection": collection.id,
        "space": collection.space_id,
        "dimensions": collection.dimensions,
        "documents": documents,
        "chunks": chunks,
    }
    connection.execute("SET search_path = recant, public")
    for statement in APPEND:
        connection.execute(statement, given)
