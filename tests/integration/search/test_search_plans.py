"""How searches are carried out on 50,000 chunks: nothing that grows is read from end to end for one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest

from recant.search import Searcher
from recant.store import Database
from tests.integration.search.search_library import DIMENSIONS, Library, Model, sign_vector

DOCUMENTS, CHUNKS, PER_OPERATION = 5_000, 10, 5
GROWS = 1_000
"""A table of so many rows here has as many in a hundred, or in a million, of what it holds."""
READ_WHOLE = {
    ("chunk_quality", "EXISTS (SELECT FROM chunk_quality)"): "the first row will do",
    (
        "operation",
        "AND o.position <= %(position)s::bigint\n  LIMIT",
    ): "how large a collection is: up to a limit, until it is known",
    ("version", "AND o.position <= %(position)s::bigint\n  LIMIT"): "the same",
    ("document_version", "AND o.position <= %(position)s::bigint\n  LIMIT"): "the same",
    ("document_version", "jsonb_path_exists"): "ranges of attributes have no index (decision 19)",
    ("record", "jsonb_path_exists"): "the same",
    ("embedding", "jsonb_path_exists"): "the same: how many match is guessed",
}
"""Tables that some statements read from end to end, by a part of the statement; and why."""
FILL = (
    "SET session_replication_role = replica",
    """INSERT INTO record (id, collection_id, kind, key) OVERRIDING SYSTEM VALUE
       SELECT n, %(collection)s, 'document', '/plans/' || n || '.md' FROM generate_series(1, %(documents)s) n""",
    """INSERT INTO operation (id, position, life, visible, collection_id, kind, agent, lineage_run_id, base_position, opened_at, closed_at,
                              digest, chain) OVERRIDING SYSTEM VALUE
       SELECT n, n, 'published', true, %(collection)s, 'ingest', 'agent ' || n %% 100, gen_random_uuid(), n - 1, now(), now(),
              repeat('0', 32), sha256(int8send(n)) FROM generate_series(1, %(documents)s / %(per_operation)s) n""",
    "INSERT INTO visibility_history SELECT id, id, true FROM operation",
    """INSERT INTO version (version_id, record_id, operation_id, batch_id, content_hash) OVERRIDING SYSTEM VALUE
       SELECT n, n, 1 + (n - 1) / %(per_operation)s, 1, sha256(int8send(n)) FROM generate_series(1, %(documents)s) n""",
    """INSERT INTO document_version (version_id, origin_record_id, format, source_hash, fingerprint, chunk_count, token_count, attributes)
       SELECT n, 1, 'text', sha256(int8send(n)), sha256(int8send(n)), %(chunks)s, 90,
              jsonb_build_object('rank', n, 'rare', n %% 1000, 'common', n %% 2)
       FROM generate_series(1, %(documents)s) n""",
    """INSERT INTO embedding (id, space_id, text_hash, vector) OVERRIDING SYSTEM VALUE
       SELECT n, %(space)s, sha256(int8send(n)),
              (SELECT array_agg((random() - 0.5 + 0 * n)::real * m / m) FROM generate_series(1, %(dimensions)s) m)::halfvec
       FROM generate_series(1::bigint, %(documents)s) n""",
    "INSERT INTO embedding_space (model, digest, dimensions) VALUES ('another', repeat('1', 64), %(dimensions)s)",
    """INSERT INTO embedding (id, space_id, text_hash, vector) OVERRIDING SYSTEM VALUE
       SELECT %(documents)s + n, (SELECT max(id) FROM embedding_space), sha256(int8send(n)), (SELECT vector FROM embedding WHERE id = 1)
       FROM generate_series(1, 9 * %(documents)s) n""",
    """INSERT INTO chunk (id, version_id, embedding_id, index, token_count, chunk_type, parent_headers, text) OVERRIDING SYSTEM VALUE
       SELECT n, 1 + (n - 1) / %(chunks)s, 1 + n * 7919 %% %(documents)s, (n - 1) %% %(chunks)s, 90,
              CASE WHEN n %% 500 = 0 THEN 'table' ELSE 'text' END,
              ARRAY['Header ' || n / 100], 'text ' || n
       FROM generate_series(1::bigint, %(documents)s::bigint * %(chunks)s) n""",
    """INSERT INTO chunk_quality (chunk_id, score, true_position, collection_id)
       SELECT id, 40 + id %% 20, 1, %(collection)s FROM chunk WHERE id %% 10 = 0""",
    "INSERT INTO scored_collection (collection_id, highest) VALUES (%(collection)s, 59)",
    *(
        f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), %(last)s)"
        for table, column in (("record", "id"), ("operation", "id"), ("version", "version_id"), ("chunk", "id"), ("embedding", "id"))
    ),
    "SET session_replication_role = origin",
    "SELECT build_vector_index(%(space)s)",
)  # fmt: skip


@pytest.fixture
def large(library: Library, database: str) -> Library:
    """50,000 chunks in a thousand operations, each vector shared by ten of them, with an index."""
    info = library.corpus.ensure_collection("knowledge", Model())
    given = {"collection": info.id, "space": info.space_id, "documents": DOCUMENTS, "chunks": CHUNKS}
    given |= {"dimensions": DIMENSIONS, "per_operation": PER_OPERATION, "last": DOCUMENTS * CHUNKS}
    with Database(database, role="postgres").connection() as superuser:
        superuser.execute("SET search_path = recant, public")
        for statement in FILL:
            superuser.execute(statement, given)
        superuser.execute("VACUUM ANALYZE")
    return library


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Every query from here on, and how it is carried out under the settings that it finds."""
    seen: list[tuple[str, dict[str, Any]]] = []
    execute = psycopg.Cursor.execute

    def planned(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        asked = (
            "\n".join(line for line in query.splitlines() if not line.startswith("--"))
            if isinstance(query, str)
            else ""
        )
        if asked.startswith(("SELECT", "WITH")) and "set_config" not in asked:
            with self.connection.cursor(row_factory=psycopg.rows.tuple_row) as beside:
                told = execute(beside, "EXPLAIN (FORMAT JSON) " + asked, params).fetchone()
            seen.append((asked, told[0][0]["Plan"]))
        return execute(self, query, params, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", planned)
    return seen


def scans(plan: dict[str, Any]) -> Iterator[str]:
    """Tables that are read from end to end."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scans(part)


def excused(table: str, query: str) -> bool:
    """Whether it may."""
    return any(table == known and part in query for known, part in READ_WHOLE)


def growing(library: Library) -> set[str]:
    """Tables with a thousand rows or more."""
    with library.database.transaction() as connection:
        statement = "SELECT relname FROM pg_class WHERE relnamespace = 'recant'::regnamespace AND relkind = 'r' AND reltuples >= %s"
        return {row["relname"] for row in connection.execute(statement, [GROWS])}


FILTERS = {
    "no filter": None,
    "equality, few": "rare = 7",
    "equality, half": "common = 1",
    "source": 'source = "/plans/77.md"',
    "prefix": 'source prefix "/plans/77"',
    "type": 'chunk_type = "table"',
    "header": 'parent_headers = "Header 7"',
    "agent": 'agent = "agent 7"',
    "range": "rank < 20",
}


def test_no_search_reads_what_grows(large: Library, plans: list[tuple[str, dict[str, Any]]]) -> None:
    """With and without filters, by quality, inside a session, as of a position; nor where a part is outside the index."""
    long = growing(large)
    assert long >= {"chunk", "embedding", "version", "document_version", "record", "operation", "chunk_quality"}
    vector = sign_vector(np.random.default_rng(3))
    whole: set[tuple[str, str]] = set()
    for options in ({}, {"as_of": 900}, {"session": "s"}, {"by_quality": False}):
        for name, filters in FILTERS.items():
            searcher = Searcher(large.database, lambda text: vector)
            plans.clear()
            assert searcher.search(None, vector=vector, collection="knowledge", filters=filters, **options).hits
            assert len(plans) >= 2
            whole |= {
                (table, name, query)
                for query, plan in plans
                for table in scans(plan)
                if table in long and not excused(table, query)
            }
    assert whole == set()
