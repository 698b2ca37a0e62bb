-- What meaning counts against words in a collection's hybrid searches, as versions under operations.

-- name: collection_of
SELECT c.id FROM collection c WHERE c.name = %(collection)s

-- name: weights_now
SELECT w.method, w.semantic_weight, w.operation_id, o.agent, o.position
FROM search_weights_at(%(collection_id)s::integer, (SELECT coalesce(max(position), 0) FROM operation)) w JOIN operation o ON o.id = w.operation_id

-- name: name_weights
INSERT INTO record (collection_id, kind, key) VALUES (%(collection_id)s, 'search_weights', 'search_weights') ON CONFLICT DO NOTHING

-- name: add_version
-- Over what is seen now.
INSERT INTO version (record_id, operation_id, batch_id, over_operation_id, tombstone, content_hash)
SELECT r.id, %(operation_id)s, %(batch_id)s,
  (SELECT v.operation_id FROM seen_version v WHERE v.record_id = r.id ORDER BY v.version_id DESC LIMIT 1), %(tombstone)s, %(content_hash)s
FROM record r WHERE r.collection_id = %(collection_id)s AND r.kind = 'search_weights' AND r.key = 'search_weights'
RETURNING version_id

-- name: add_weights
INSERT INTO search_weights (version_id, method, semantic_weight) VALUES (%(version_id)s, %(method)s, %(semantic_weight)s)
