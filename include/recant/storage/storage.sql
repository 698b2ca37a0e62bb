-- Tags, erasing, retention rules and reclaiming. What is destroyed is destroyed by functions (init-scripts/0012_storage.sql,
-- 0028_data_life.sql).

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
SELECT id FROM collection WHERE name = %(collection)s

-- name: erase_document
SELECT control_id, position, versions, chunks, embeddings, shared
FROM erase_document(%(record_id)s, %(agent)s, %(session)s, %(run_id)s, %(lineage_run_id)s, %(message)s, %(parameters)s, %(context)s,
                    %(datasets)s)

-- name: forget_queries
SELECT forget_queries(%(record_id)s) AS forgotten

-- name: files_holding
-- Archives and exports that hold what was erased of a document, and stand where they were put.
SELECT a.id AS artifact_id, a.kind, a.path FROM artifact_state a
WHERE a.state IN ('erased', 'withdrawn') AND EXISTS (
  SELECT FROM artifact_reasons(a.id) r WHERE r.reason = 'erased' AND r.record_id = %(record_id)s)
ORDER BY a.path

-- name: horizon
SELECT h.position, h.operation_id, o.closed_at AS moved_at FROM horizon h JOIN operation o ON o.id = h.operation_id

-- name: reclaim_versions
SELECT control_id, position, horizon, held_by, versions, chunks, rules
FROM reclaim_versions(%(asked)s, %(agent)s, %(session)s, %(run_id)s, %(lineage_run_id)s, %(message)s, %(parameters)s, %(context)s,
                      %(namespace)s)

-- name: preview_reclaim
SELECT horizon, held_by, versions, chunks, embeddings, rules FROM preview_reclaim(%(asked)s)

-- name: free_reclaimed
SELECT versions, chunks, embeddings FROM free_reclaimed(%(versions)s, %(chunks)s)

-- name: preview_sweep
-- Embeddings that were there at the last reclaim, and that no chunk uses; nor has their text, where other spaces are kept for it.
SELECT count(*) AS orphans FROM embedding e
WHERE e.id <= (SELECT h.embedding_id FROM horizon h) AND NOT EXISTS (SELECT FROM chunk c WHERE c.embedding_id = e.id)
  AND NOT EXISTS (
    SELECT FROM kept_space k
    JOIN kept_space s ON s.collection_id = k.collection_id
    JOIN embedding x ON x.space_id = s.space_id AND x.text_hash = e.text_hash
    JOIN chunk c ON c.embedding_id = x.id
    JOIN version v ON v.version_id = c.version_id
    JOIN record r ON r.id = v.record_id AND r.collection_id = k.collection_id
    WHERE k.space_id = e.space_id)

-- name: sweep_embeddings
SELECT last_id, embeddings FROM sweep_embeddings(%(after)s, %(limit)s)

-- name: forget_aborted
SELECT forget_aborted() AS forgotten

-- name: retention_rules
SELECT c.name AS collection, t.classification, t.history_days, t.expire_days, t.operation_id, o.agent
FROM retention_rules() t JOIN collection c ON c.id = t.collection_id JOIN operation o ON o.id = t.operation_id
WHERE %(collection)s::text IS NULL OR c.name = %(collection)s ORDER BY c.name, t.classification

-- name: horizon_of
SELECT horizon_of(%(collection_id)s::integer) AS position

-- name: name_retention
INSERT INTO record (collection_id, kind, key) VALUES (%(collection_id)s, 'retention_rule', %(key)s) ON CONFLICT DO NOTHING

-- name: add_retention
-- Over what is seen now.
INSERT INTO version (record_id, operation_id, batch_id, over_operation_id, tombstone, content_hash)
SELECT r.id, %(operation_id)s, %(batch_id)s,
  (SELECT v.operation_id FROM seen_version v WHERE v.record_id = r.id ORDER BY v.version_id DESC LIMIT 1), %(tombstone)s, %(content_hash)s
FROM record r WHERE r.collection_id = %(collection_id)s AND r.kind = 'retention_rule' AND r.key = %(key)s
RETURNING version_id

-- name: add_retention_rule
INSERT INTO retention_rule (version_id, classification, history_days, expire_days)
VALUES (%(version_id)s, %(classification)s, %(history_days)s, %(expire_days)s)

-- name: find_expired
SELECT c.name AS collection, x.classification, x.expire_days, count(*) AS documents,
       (array_agg(x.source ORDER BY x.published_at, x.source))[:%(limit)s] AS sources
FROM (SELECT DISTINCT r.collection_id FROM retention_rules() r WHERE r.expire_days IS NOT NULL) k
JOIN collection c ON c.id = k.collection_id CROSS JOIN LATERAL expired_documents(c.id) x
GROUP BY c.name, x.classification, x.expire_days ORDER BY c.name, x.classification

-- name: retire_expired
INSERT INTO version (record_id, operation_id, batch_id, over_operation_id, tombstone, content_hash)
SELECT x.record_id, %(operation_id)s, %(batch_id)s, x.operation_id, true, sha256('tombstone')
FROM collection c CROSS JOIN LATERAL expired_documents(c.id) x WHERE c.name = %(collection)s ORDER BY x.record_id
RETURNING version_id

-- name: block_expired
SELECT block_expired(%(operation_id)s) AS blocked
