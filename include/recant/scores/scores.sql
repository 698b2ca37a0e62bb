-- Scores, policies and pins. What is worked out is worked out by init-scripts/0022_quality_scores.sql.

-- name: take_accesses
SELECT take_accesses() AS access_until

-- name: draft_quality
SELECT "position", scored, changed FROM draft_quality(%(operation_id)s)

-- name: publish_quality
SELECT "position", changed FROM publish_quality(%(operation_id)s, %(drafted_at)s)

-- name: fold_scores
SELECT fold_scores(%(collection_id)s::integer, %(after)s::bigint, %(at_most)s::integer) AS last_chunk

-- name: forget_drafts
SELECT forget_drafts() AS forgotten

-- name: scored_collections
SELECT collection_id FROM scored_collection WHERE folding IS NOT NULL

-- name: count_accesses
SELECT count_accesses(%(operations)s::bigint[], %(records)s::bigint[], %(shown)s::bigint[])

-- name: collection_of
SELECT c.id FROM collection c WHERE c.name = %(collection)s

-- name: chunk_score
-- A chunk's score with its parts, as stored, and what they rest on.
SELECT c.id AS chunk_id, k.name AS collection, r.key AS source, r.id AS document_id, c.index AS chunk_index, v.operation_id,
       coalesce(q.score, 50) AS score, coalesce(q.feedback, 0) AS feedback, coalesce(q.access, 0) AS access,
       coalesce(q.freshness, 0) AS freshness, coalesce(q.pinned, false) AS pinned,
       CASE WHEN o.position < b.position THEN b.at END AS holds_at, b.operation_id AS recalculation,
       p.true_position
FROM chunk c JOIN version v ON v.version_id = c.version_id JOIN record r ON r.id = v.record_id JOIN operation o ON o.id = v.operation_id
JOIN collection k ON k.id = r.collection_id
CROSS JOIN quality_projection p
LEFT JOIN current_quality q ON q.chunk_id = c.id
LEFT JOIN LATERAL quality_basis(k.id, p.true_position, NULL) b ON true
WHERE c.id = %(chunk_id)s AND o.life = 'published'

-- name: words_on
-- Each agent's last word on a chunk: what counts.
SELECT w.given_by, w.verdict, w.operation_id, w.position FROM (
  SELECT DISTINCT ON (f.given_by) f.given_by, f.verdict, o.id AS operation_id, o.position
  FROM chunk c JOIN feedback f ON f.target_version_id = c.version_id AND f.chunk_index = c.index
  JOIN seen_version v ON v.version_id = f.version_id JOIN operation o ON o.id = v.operation_id
  WHERE c.id = %(chunk_id)s
  ORDER BY f.given_by, o.position DESC, f.version_id DESC) w
ORDER BY w.position

-- name: disagreements
-- Stored scores beside those worked out from nothing, at one position, where they differ.
SELECT coalesce(n.chunk_id, q.chunk_id) AS chunk_id, q.score AS stored, n.score AS expected, count(*) OVER () AS total
FROM compute_quality(%(collection_id)s::integer, (SELECT true_position FROM quality_projection), NULL) n
FULL JOIN (SELECT x.* FROM current_quality x JOIN chunk c ON c.id = x.chunk_id WHERE x.collection_id = %(collection_id)s::integer) q
  ON q.chunk_id = n.chunk_id
WHERE (q.score, q.feedback, q.access, q.freshness, q.pinned) IS DISTINCT FROM (n.score, n.feedback, n.access, n.freshness, n.pinned)
ORDER BY 1 LIMIT %(limit)s

-- name: document_named
SELECT r.id, (h.version_id IS NOT NULL AND NOT h.tombstone AND h.payload = 'kept') AS present
FROM record r
LEFT JOIN LATERAL (SELECT v.version_id, v.tombstone, v.payload FROM seen_version v WHERE v.record_id = r.id ORDER BY v.version_id DESC LIMIT 1) h ON true
WHERE r.collection_id = %(collection_id)s AND r.kind = 'document' AND r.key = %(source)s

-- name: name_rule
INSERT INTO record (collection_id, kind, key) VALUES (%(collection_id)s, %(kind)s, %(key)s) ON CONFLICT DO NOTHING

-- name: add_rule
-- Over what is seen now.
INSERT INTO version (record_id, operation_id, batch_id, over_operation_id, tombstone, content_hash)
SELECT r.id, %(operation_id)s, %(batch_id)s,
  (SELECT v.operation_id FROM seen_version v WHERE v.record_id = r.id ORDER BY v.version_id DESC LIMIT 1), %(tombstone)s, %(content_hash)s
FROM record r WHERE r.collection_id = %(collection_id)s AND r.kind = %(kind)s AND r.key = %(key)s
RETURNING version_id

-- name: add_policy
INSERT INTO quality_policy (version_id, doc_type, half_life_days, grace_days, floor)
VALUES (%(version_id)s, %(doc_type)s, %(half_life_days)s, %(grace_days)s, %(floor)s)

-- name: add_pin
INSERT INTO quality_pin (version_id, target_record_id, score) VALUES (%(version_id)s, %(target_record_id)s, %(score)s)

-- name: policies
SELECT y.doc_type, y.half_life_days, y.grace_days, y.floor, v.operation_id, o.agent
FROM quality_rules(%(collection_id)s::integer, (SELECT coalesce(max(position), 0) FROM operation), 9223372036854775807) x
JOIN quality_policy y ON y.version_id = x.version_id JOIN version v ON v.version_id = x.version_id JOIN operation o ON o.id = v.operation_id
ORDER BY y.doc_type

-- name: pins
SELECT r.key AS source, n.score, v.operation_id, o.agent
FROM quality_rules(%(collection_id)s::integer, (SELECT coalesce(max(position), 0) FROM operation), 9223372036854775807) x
JOIN quality_pin n ON n.version_id = x.version_id JOIN record r ON r.id = n.target_record_id
JOIN version v ON v.version_id = x.version_id JOIN operation o ON o.id = v.operation_id
ORDER BY r.key
