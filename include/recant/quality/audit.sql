-- What is published, page by page.

-- name: collection_id
SELECT c.id, s.digest AS model_digest, coalesce((SELECT max(position) FROM operation), 0) AS position
FROM collection c JOIN embedding_space s ON s.id = space_at(c.id, NULL) WHERE c.name = %(collection)s

-- name: next_heads
-- The next records, with what is seen of those that are documents of the collection; version_id is null for the others.
-- As many as have about batch_rows chunks together, at least one. The innermost limit stands on the primary key's order
-- alone, so that no page sorts, or looks at, what comes after it, whatever the statistics say.
SELECT record_id, source, version_id, operation_id
FROM (
  SELECT page.*, sum(greatest(page.chunks, 1)) OVER (ORDER BY page.record_id) - greatest(page.chunks, 1) AS rows_before
  FROM (
    SELECT r.id AS record_id, r.key AS source, CASE WHEN h.present THEN h.version_id END AS version_id, h.operation_id,
           CASE WHEN h.present THEN coalesce(d.chunk_count, 0) ELSE 0 END AS chunks
    FROM (
      SELECT x.id, x.key, x.collection_id, x.kind FROM record x WHERE x.id > %(after)s ORDER BY x.id LIMIT %(at_most)s
    ) r
    LEFT JOIN LATERAL (
      SELECT v.version_id, v.operation_id, NOT v.tombstone AND v.payload = 'kept' AS present FROM seen_version v
      WHERE v.record_id = r.id AND r.collection_id = %(collection_id)s AND r.kind = 'document'
      ORDER BY v.version_id DESC LIMIT 1
    ) h ON true
    LEFT JOIN document_version d ON d.version_id = h.version_id
  ) page
) counted
WHERE rows_before < %(batch_rows)s
ORDER BY record_id

-- name: operations_by_id
SELECT id AS operation_id, position, kind, agent, session, run_id FROM operation WHERE id = ANY (%(operations)s::bigint[]) ORDER BY position
