"""Many vectors at once: drawn in topics within topics, and generated on the server in the rows that writers leave there.

A million documents' worth of rows in a minute or so, where the writer's own way would take a quarter of an hour. What is
measured afterwards reads and writes them through the library.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recant.corpus import CollectionInfo
from recant.store import Connection
from tests.benchmarks.synthetic import CHUNKS_PER_DOCUMENT, DIMENSIONS, Vectors

DOCUMENTS_PER_OPERATION = 100
LEVELS = ((40, 0.55), (40, 0.45), (1, 0.7))
"""Topics of a level within one of the level above, and how much of a vector's square each level has; the last is its own."""
ASIDE = 0.5
"""How much each has of another subtopic, too: texts are seldom about one thing, and an index finds its way along those that aren't."""
PER_COPY = 10_000


@dataclass
class Topics:
    """Points around 1,600 subtopics of 40 topics: near ones are the fewer the nearer they are, as with texts."""

    seed: int
    random: np.random.Generator = field(init=False)
    centres: Vectors = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        (tops, top_weight), (subs, sub_weight), _ = LEVELS
        top = np.repeat(_directions(self.random, tops), subs, axis=0)
        self.centres = np.sqrt(top_weight) * top + np.sqrt(sub_weight) * _directions(self.random, tops * subs)

    def draw(self, count: int) -> Vectors:
        """Unit vectors of shape (count, 384)."""
        own = np.float32(np.sqrt(LEVELS[-1][1])) * _directions(self.random, count)
        of, aside = self.random.integers(len(self.centres), size=(2, count))
        drawn = self.centres[of] + np.float32(ASIDE) * self.centres[aside] + own
        unit: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
        return unit


def _directions(random: np.random.Generator, count: int) -> Vectors:
    rows = random.standard_normal((count, DIMENSIONS), dtype=np.float32)
    unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


FILL = (
    "SET session_replication_role = replica",  # no triggers: the rows are as they should be
    """INSERT INTO record (id, collection_id, kind, key) OVERRIDING SYSTEM VALUE
       SELECT n, %(collection)s, 'document', '/topics/' || n || '.md' FROM generate_series(1, %(documents)s) n""",
    """INSERT INTO operation (id, position, life, visible, collection_id, kind, agent, lineage_run_id, base_position,
                              opened_at, closed_at, digest, chain) OVERRIDING SYSTEM VALUE
       SELECT n, n, 'published', true, %(collection)s, 'ingest', 'bench', gen_random_uuid(), n - 1, now(), now(),
              repeat('0', 32), sha256(int8send(n))
       FROM generate_series(1, %(operations)s) n""",
    "INSERT INTO visibility_history SELECT n, n, true FROM generate_series(1, %(operations)s) n",
    """INSERT INTO version (version_id, record_id, operation_id, batch_id, content_hash) OVERRIDING SYSTEM VALUE
       SELECT n, n, 1 + (n - 1) / %(per_operation)s, 1, sha256(int8send(n)) FROM generate_series(1, %(documents)s) n""",
    """INSERT INTO document_version (version_id, origin_record_id, format, source_hash, fingerprint, chunk_count, token_count)
       SELECT n, 1, 'text', sha256(int8send(n)), sha256(int8send(n)), %(chunks)s, 90 * %(chunks)s
       FROM generate_series(1, %(documents)s) n""",
    """INSERT INTO chunk (id, version_id, embedding_id, index, token_count, chunk_type, text) OVERRIDING SYSTEM VALUE
       SELECT n, 1 + (n - 1) / %(chunks)s, n, (n - 1) %% %(chunks)s, 90, 'text',
              'Part ' || n || '. ' || repeat('A sentence as long as most of them are. ', 10)
       FROM generate_series(1::bigint, %(documents)s::bigint * %(chunks)s) n""",
    *(
        f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), %(last)s)"
        for table, column in (("record", "id"), ("operation", "id"), ("version", "version_id"), ("chunk", "id"))
    ),
    "SET session_replication_role = origin",
)
TABLES = ("record", "operation", "visibility_history", "version", "document_version", "chunk", "embedding")


def fill(superuser: Connection, collection: CollectionInfo, vectors: Vectors) -> None:
    """A chunk a vector, chunk and embedding numbered from 1 in the order of the rows; into an empty database."""
    documents = len(vectors) // CHUNKS_PER_DOCUMENT
    given = {
        "collection": collection.id,
        "documents": documents,
        "operations": -(-documents // DOCUMENTS_PER_OPERATION),
        "per_operation": DOCUMENTS_PER_OPERATION,
        "chunks": CHUNKS_PER_DOCUMENT,
        "last": len(vectors),
    }
    superuser.execute("SET search_path = recant, public")
    copy_vectors(superuser, vectors, collection.space_id)
    superuser.execute("SELECT setval(pg_get_serial_sequence('embedding', 'id'), %s)", [len(vectors)])
    for statement in FILL:
        superuser.execute(statement, given)
    superuser.execute(f"VACUUM ANALYZE {', '.join(TABLES)}")


def copy_vectors(connection: Connection, vectors: Vectors, space_id: int) -> None:
    """In PostgreSQL's binary format: id, space, text's hash, halfvec."""
    target = "COPY recant.embedding (id, space_id, text_hash, vector) FROM STDIN (FORMAT binary)"
    with connection.cursor() as cursor, cursor.copy(target) as copy:
        copy.write(b"PGCOPY\n\xff\r\n\x00" + bytes(8))
        for rows in _encoded(vectors, space_id):
            copy.write(rows)
        copy.write(b"\xff\xff")


def _encoded(vectors: Vectors, space_id: int) -> Iterator[bytes]:
    layout = np.dtype(
        [("fields", ">i2"), ("id_length", ">i4"), ("id", ">i8"), ("space_length", ">i4"), ("space", ">i4"),
         ("hash_length", ">i4"), ("number", ">i8"), ("hash", "V24"),
         ("length", ">i4"), ("dimensions", ">i2"), ("unused", ">i2"), ("vector", ">f2", (DIMENSIONS,))]
    )  # fmt: skip
    for start in range(0, len(vectors), PER_COPY):
        part = vectors[start : start + PER_COPY]
        rows: NDArray[np.void] = np.zeros(len(part), layout)
        rows["fields"], rows["id_length"], rows["space_length"], rows["hash_length"] = 4, 8, 4, 32
        rows["id"] = rows["number"] = np.arange(start + 1, start + 1 + len(part))
        rows["space"], rows["length"], rows["dimensions"], rows["vector"] = (
            space_id,
            4 + 2 * DIMENSIONS,
            DIMENSIONS,
            part,
        )
        yield rows.tobytes()
