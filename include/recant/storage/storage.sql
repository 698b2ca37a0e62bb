-- Tags, erasing and reclaiming. What is destroyed is destroyed by functions (init-scripts/0012_storage.sql).

-- name: create_tag
SELECT create_tag(%(name)s, %(position)s, %(by)s, %(message)s) AS created

-- name: drop_tag
SELECT drop_tag(%(name)s) AS dropped

-- name: find_tags
SELECT name, position, created_by, created_at, message FROM tag
WHERE %(name)s::text IS NULL OR name = %(name)s
ORDER BY position, name

-- name: log_position
SELECT log_position() AS position

-- name: find_document
-- The record of a document, and the operation that erased it last.
SELECT r.id AS record_id,
       (SELECT max(o.id) FROM operation o WHERE o.kind = 'erase' AND o.control AND o.parameters ->> 'document_id' = r.id::text) AS erased_by
FROM record r JOIN collection c ON c.id = r.collection_id
WHERE c.name = %(collection)s AND r.kind = 'document' AND r.key = %(source)s

-- name: find_collection
SELECT FROM collection WHERE name = %(collection)s

-- name: erase_document
SELECT control_id, position, versions, chunks, embeddings, shared
FROM erase_document(%(record_id)s, %(agent)s, %(session)s, %(run_id)s, %(lineage_run_id)s, %(message)s, %(parameters)s, %(context)s,
                    %(datasets)s)

-- name: files_holding
-- Archives and exports that hold what was erased of a document, and stand where they were put.
SELECT a.id AS artifact_id, a.kind, a.path FROM artifact_state a
WHERE a.state IN ('erased', 'withdrawn') AND EXISTS (
  SELECT FROM artifact_reasons(a.id) r WHERE r.reason = 'erased' AND r.record_id = %(record_id)s)
ORDER BY a.path

-- name: horizon
SELECT h.position, h.operation_id, o.closed_at AS moved_at FROM horizon h JOIN operation o ON o.id = h.operation_id

-- name: reclaim_versions
SELECT control_id, position, horizon, held_by, versions, chunks
FROM reclaim_versions(%(asked)s, %(agent)s, %(session)s, %(run_id)s, %(lineage_run_id)s, %(message)s, %(parameters)s, %(context)s,
                      %(namespace)s)

-- name: preview_reclaim
SELECT horizon, held_by, versions, chunks, embeddings FROM preview_reclaim(%(asked)s)

-- name: free_reclaimed
SELECT versions, chunks, embeddings FROM free_reclaimed(%(versions)s, %(chunks)s)

-- name: sweep_embeddings
SELECT last_id, embeddings FROM sweep_embeddings(%(after)s, %(limit)s)

-- name: forget_aborted
SELECT forget_aborted() AS forgotten
