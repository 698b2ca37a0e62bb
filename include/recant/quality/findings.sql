-- What is read to say what no row says by itself.

-- name: texts_of_versions
-- The chunks' texts, in the order of the versions given.
SELECT c.id AS chunk_id, hashtextextended(c.text, 0) AS text_hash, c.chunk_type, c.text
FROM unnest(%(versions)s::bigint[]) WITH ORDINALITY AS wanted (version_id, place)
JOIN chunk c ON c.version_id = wanted.version_id
ORDER BY wanted.place, c.index

-- name: texts_by_id
SELECT id AS chunk_id, text FROM chunk WHERE id = ANY (%(chunks)s::bigint[])

-- name: one_vector_each
-- A vector of each document in the space in use, any: chosen by the chunk's id, so the same each time.
SELECT DISTINCT ON (c.version_id) e.vector
FROM chunk c JOIN embedding w ON w.id = c.embedding_id
JOIN collection_space k ON k.collection_id = %(collection_id)s
JOIN embedding_space s ON s.id = k.space_id
JOIN embedding e ON e.space_id = k.space_id AND e.text_hash = w.text_hash AND vector_dims(e.vector) = s.dimensions
WHERE c.version_id = ANY (%(versions)s::bigint[])
ORDER BY c.version_id, hashint8(c.id)

-- name: one_text_each
SELECT DISTINCT ON (c.version_id) c.text, c.chunk_type
FROM chunk c WHERE c.version_id = ANY (%(versions)s::bigint[])
ORDER BY c.version_id, hashint8(c.id)

-- name: record_bounds
SELECT (SELECT id FROM record ORDER BY id LIMIT 1) AS low, (SELECT id FROM record ORDER BY id DESC LIMIT 1) AS high

-- name: seen_among
-- Which of these records are documents of the collection that are seen.
SELECT h.version_id
FROM unnest(%(records)s::bigint[]) AS probe (id)
JOIN record r ON r.id = probe.id AND r.collection_id = %(collection_id)s AND r.kind = 'document'
CROSS JOIN LATERAL (
  SELECT v.version_id, NOT v.tombstone AND v.payload = 'kept' AS present FROM seen_version v
  WHERE v.record_id = r.id ORDER BY v.version_id DESC LIMIT 1
) h
WHERE h.present ORDER BY h.version_id

-- name: recent_operations
SELECT id FROM operation
WHERE collection_id = %(collection_id)s AND position IS NOT NULL AND closed_at > clock_timestamp() - make_interval(secs => %(seconds)s)

-- name: rejects_of_operation
SELECT coalesce(sum((b.counts ->> 'rejected')::bigint), 0)::bigint AS rejected,
  coalesce(sum(coalesce((b.counts ->> 'rejected')::bigint, 0) + coalesce((b.counts ->> 'documents')::bigint, 0) + coalesce((b.counts ->> 'unchanged')::bigint, 0)), 0)::bigint AS looked_at
FROM batch b WHERE b.operation_id = %(operation_id)s AND b.state = 'done'

-- name: rejects_of_collection
-- What published ingests left out lately, and in eight such times before.
SELECT coalesce(sum(o.rejected) FILTER (WHERE o.recent), 0)::bigint AS rejected, coalesce(sum(o.looked_at) FILTER (WHERE o.recent), 0)::bigint AS looked_at,
  coalesce(sum(o.rejected) FILTER (WHERE NOT o.recent), 0)::bigint AS rejected_before, coalesce(sum(o.looked_at) FILTER (WHERE NOT o.recent), 0)::bigint AS looked_at_before
FROM (
  SELECT p.closed_at > clock_timestamp() - make_interval(secs => %(seconds)s) AS recent,
    coalesce((p.counts ->> 'rejected')::bigint, 0) AS rejected,
    coalesce((p.counts ->> 'rejected')::bigint, 0) + coalesce((p.counts ->> 'documents')::bigint, 0) + coalesce((p.counts ->> 'unchanged')::bigint, 0) AS looked_at
  FROM operation p
  WHERE p.collection_id = %(collection_id)s AND p.kind = 'ingest' AND p.position IS NOT NULL
    AND p.closed_at > clock_timestamp() - 9 * make_interval(secs => %(seconds)s)
) o
