"""Retiring what an origin no longer holds, where much of it couldn't be read."""

from __future__ import annotations

from tests.integration.library import Library

MANY = 20_000
FILL = """
WITH v AS (
  INSERT INTO version (record_id, operation_id, batch_id, content_hash)
  SELECT id, %(operation)s, %(batch)s, sha256(key::bytea) FROM record WHERE kind = 'document' RETURNING version_id
)
SELECT version_id FROM v
"""


def test_many_documents_and_many_rejections_are_no_product(library: Library):
    """Of 20,000 documents, 20,000 are rejected: well within ten seconds, where a loop over both would take minutes."""
    first = library.open()
    target = library.begin(first)
    with library.database.connection() as connection:
        connection.execute(
            "INSERT INTO record (collection_id, kind, key) VALUES (%s, 'watermark', '/docs')", [target.collection_id]
        )
        connection.execute(
            "INSERT INTO record (collection_id, kind, key) SELECT %s, 'document', '/docs/' || n FROM generate_series(1, %s) n",
            [target.collection_id, MANY],
        )
        connection.execute(FILL, {"operation": first, "batch": target.batch_id})
        connection.execute(
            "INSERT INTO document_version (version_id, origin_record_id, format, source_hash, fingerprint, chunk_count, token_count) "
            "SELECT v.version_id, o.id, 'text', '', '', 0, 0 FROM version v, record o WHERE o.kind = 'watermark'"
        )
    library.log.finish_batch(target.batch_id, {})
    library.log.publish(first)
    second = library.begin(library.open())
    with library.database.transaction() as connection:
        rejected = [(f"/docs/{n}", "unreadable", "permission denied") for n in range(1, MANY)]
        library.corpus.reject(connection, second, rejected)
        connection.execute("SET LOCAL statement_timeout = '10s'")
        assert library.corpus.retire_missing(connection, second, ["/docs"]) == 1


def test_a_file_that_cannot_be_read_keeps_its_records(library: Library):
    """They are named after it, with their number; a file whose name only begins alike is no record of it."""
    library.publish(
        {"export.jsonl#1": "one", "export.jsonl#12": "twelve", "export.jsonl#1.md": "a file", "export": "another"}
    )
    second = library.begin(library.open())
    with library.database.transaction() as connection:
        library.corpus.reject(connection, second, [("export.jsonl", "unreadable", "permission denied")])
        assert library.corpus.retire_missing(connection, second, ["test"]) == 2
    library.log.finish_batch(second.batch_id, {})
    library.log.publish(second.operation_id)
    assert set(library.view()) == {"export.jsonl#1", "export.jsonl#12"}
