-- Building spaces, changing over, giving up. What has to hold is checked by init-scripts/0027_reembedding.sql.

-- name: begin_space
SELECT begin_space(%(collection_id)s::integer, %(model)s, %(digest)s, %(dimensions)s::integer) AS space_id

-- name: space_of
SELECT k.space_id FROM kept_space k JOIN embedding_space s ON s.id = k.space_id
WHERE k.collection_id = %(collection_id)s AND s.digest = %(digest)s

-- name: missing_texts
-- The next chunks by id, with the texts of those that a space lacks; text_hash is null for the others. What an aborted operation
-- wrote is never seen. The innermost limit stands on the primary key's order alone, and what follows is looked up row by row.
SELECT c.id, w.text_hash, CASE WHEN w.text_hash IS NOT NULL THEN c.text END AS text, c.parent_headers
FROM (SELECT x.id, x.version_id, x.embedding_id, x.parent_headers, x.text FROM chunk x WHERE x.id > %(after)s ORDER BY x.id LIMIT %(at_most)s) c
LEFT JOIN LATERAL (
  SELECT e.text_hash FROM embedding e
  WHERE e.id = c.embedding_id AND e.space_id <> %(space_id)s
    AND (SELECT r.collection_id FROM version v JOIN record r ON r.id = v.record_id WHERE v.version_id = c.version_id) = %(collection_id)s
    AND (SELECT o.life <> 'aborted' FROM version v JOIN operation o ON o.id = v.operation_id WHERE v.version_id = c.version_id)
    AND (SELECT n.id FROM embedding n WHERE n.space_id = %(space_id)s AND n.text_hash = e.text_hash LIMIT 1) IS NULL
  LIMIT 1) w ON true
ORDER BY c.id

-- name: count_texts
-- Distinct texts of a collection, and how many of them a space lacks.
SELECT count(DISTINCT e.text_hash) AS texts,
  count(DISTINCT e.text_hash) FILTER (WHERE e.space_id <> %(space_id)s
    AND NOT EXISTS (SELECT FROM embedding n WHERE n.space_id = %(space_id)s AND n.text_hash = e.text_hash)) AS missing
FROM record r
JOIN version v ON v.record_id = r.id
JOIN operation o ON o.id = v.operation_id AND o.life <> 'aborted'
JOIN chunk c ON c.version_id = v.version_id
JOIN embedding e ON e.id = c.embedding_id
WHERE r.collection_id = %(collection_id)s AND r.kind = 'document'

-- name: cover_space
SELECT cover_space(%(collection_id)s::integer, %(space_id)s::integer, log_position()) AS missing

-- name: has_outside
-- Whether the space has an index, and vectors that it doesn't hold.
SELECT to_regclass('recant.embedding_vector_' || %(space_id)s::integer) IS NOT NULL
  AND EXISTS (SELECT FROM embedding WHERE space_id = %(space_id)s AND NOT indexed) AS found

-- name: find_spaces
-- The spaces of collections, the one in use first.
SELECT c.name AS collection, s.id AS space_id, s.model, s.digest AS model_digest, s.dimensions,
  CASE WHEN s.id = u.space_id THEN 'in use'
       WHEN k.building THEN 'built'
       WHEN s.id = u.previous_space_id AND u.soak_until > clock_timestamp() THEN 'soaking'
       ELSE 'kept' END AS state,
  CASE WHEN s.id = u.previous_space_id THEN u.soak_until END AS soak_until,
  CASE WHEN s.id = u.space_id THEN u.operation_id END AS operation_id,
  space_is_held(c.id, s.id) AS held_because
FROM collection c
JOIN collection_space u ON u.collection_id = c.id
JOIN embedding_space s ON s.id = u.space_id OR s.id IN (SELECT x.space_id FROM kept_space x WHERE x.collection_id = c.id)
LEFT JOIN kept_space k ON k.collection_id = c.id AND k.space_id = s.id
WHERE %(collection)s::text IS NULL OR c.name = %(collection)s
ORDER BY c.name, s.id <> u.space_id, s.id

-- name: choice_in_use
SELECT c.space_id, c.previous_space_id, c.soak_until, c.operation_id, coalesce(c.soak_until > clock_timestamp(), false) AS soaking
FROM collection_space c WHERE c.collection_id = %(collection_id)s

-- name: name_choice
INSERT INTO record (collection_id, kind, key) VALUES (%(collection_id)s, 'embedding_space', 'embedding_space') ON CONFLICT DO NOTHING

-- name: add_choice
INSERT INTO version (record_id, operation_id, batch_id, over_operation_id, content_hash)
SELECT r.id, %(operation_id)s, %(batch_id)s, %(over)s, %(content_hash)s
FROM record r WHERE r.collection_id = %(collection_id)s AND r.kind = 'embedding_space' AND r.key = 'embedding_space'
RETURNING version_id

-- name: add_choice_content
INSERT INTO embedding_choice (version_id, space_id, previous_space_id, soak_until)
VALUES (%(version_id)s, %(space_id)s, %(previous_space_id)s, %(soak_until)s)

-- name: leave_space
SELECT leave_space(%(collection_id)s::integer, %(space_id)s::integer, %(after)s::bigint, %(at_most)s::integer) AS last_id

-- name: drop_space
SELECT drop_space(%(collection_id)s::integer, %(space_id)s::integer) AS dropped

-- name: vectors_after
SELECT e.id FROM embedding e WHERE e.space_id = %(space_id)s AND e.id > %(after)s ORDER BY e.id LIMIT %(at_most)s

-- name: delete_unused
SELECT delete_unused_embeddings(%(ids)s::bigint[]) AS deleted
