-- Two positions of a collection side by side, by heads: records whose head is the same are never read.

-- name: moved_records
-- Records that can differ: those of operations that began or ceased to be seen in between, whole or by the record. The
-- first so many: more than that aren't looked at one by one.
SELECT record_id FROM (
  SELECT v.record_id
  FROM (SELECT DISTINCT h.operation_id FROM visibility_history h WHERE h.from_position > %(first)s AND h.from_position <= %(last)s) moved
  CROSS JOIN LATERAL (SELECT x.record_id FROM version x WHERE x.operation_id = moved.operation_id LIMIT %(limit)s) v
  UNION
  SELECT h.record_id FROM record_visibility_history h WHERE h.from_position > %(first)s AND h.from_position <= %(last)s
) moved
LIMIT %(limit)s

-- name: record_of_source
SELECT id AS record_id FROM record WHERE collection_id = %(collection_id)s AND kind = 'document' AND key = %(source)s

-- name: head_at
-- The head of the record r at a position, where it is present: by point reads, for few records.
SELECT * FROM (
  SELECT v.version_id, v.operation_id, v.content_hash, v.tombstone, v.payload FROM version v
  WHERE v.record_id = r.id
    AND coalesce((SELECT h.visible FROM visibility_history h WHERE h.operation_id = v.operation_id AND h.from_position <= {position}
                  ORDER BY h.from_position DESC LIMIT 1), false)
    AND coalesce((SELECT h.visible FROM record_visibility_history h
                  WHERE h.operation_id = v.operation_id AND h.record_id = v.record_id AND h.from_position <= {position}
                  ORDER BY h.from_position DESC LIMIT 1), true)
  ORDER BY v.version_id DESC LIMIT 1
) head WHERE NOT head.tombstone AND head.payload = 'kept'

-- name: differing_heads_of
-- Of some records. The same content under another operation is no difference.
SELECT r.kind, r.key, b.version_id AS before_version, b.operation_id AS before_operation, a.version_id AS after_version,
       a.operation_id AS after_operation
FROM record r
LEFT JOIN LATERAL ({head_before}) b ON true
LEFT JOIN LATERAL ({head_after}) a ON true
WHERE r.id = ANY (%(records)s) AND r.collection_id = %(collection_id)s AND (%(kind)s::text IS NULL OR r.kind = %(kind)s)
  AND a.content_hash IS DISTINCT FROM b.content_hash
ORDER BY r.key COLLATE "C"

-- name: differing_heads
-- The same of a whole collection, which is read once for each position.
SELECT coalesce(b.kind, a.kind) AS kind, coalesce(b.key, a.key) AS key,
       b.version_id AS before_version, b.operation_id AS before_operation, a.version_id AS after_version, a.operation_id AS after_operation
FROM heads_at(%(collection_id)s, %(before)s) b FULL JOIN heads_at(%(collection_id)s, %(after)s) a ON a.record_id = b.record_id
WHERE a.content_hash IS DISTINCT FROM b.content_hash
  AND (%(kind)s::text IS NULL OR coalesce(b.kind, a.kind) = %(kind)s)
ORDER BY coalesce(b.key, a.key) COLLATE "C"

-- name: chunks_of_version
SELECT text, chunk_type, parent_headers FROM chunk WHERE version_id = %(version_id)s ORDER BY index

-- name: description_of_version
SELECT title, format, attributes FROM document_version WHERE version_id = %(version_id)s

-- name: operation_and_collections
-- An operation, and the collections that it wrote to, or that its verdicts are about.
SELECT o.position, o.life::text AS life, coalesce(
         (SELECT array_agg(DISTINCT c.name ORDER BY c.name) FROM collection c
          WHERE c.id = o.collection_id
             OR c.id IN (SELECT t.collection_id FROM visibility_history h JOIN operation t ON t.id = h.operation_id
                         WHERE h.from_position = o.position
                         UNION SELECT r.collection_id FROM record_visibility_history h JOIN record r ON r.id = h.record_id
                         WHERE h.from_position = o.position)), '{}') AS collections
FROM operation o WHERE o.id = %(operation_id)s
