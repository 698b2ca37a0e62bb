-- The gate's reading of an open operation, and what it writes.

-- name: next_documents
-- The next documents of an operation, as many as have about batch_rows chunks together; at least one.
SELECT version_id, record_id, source
FROM (
  SELECT page.*, sum(greatest(page.chunks, 1)) OVER (ORDER BY page.record_id) - greatest(page.chunks, 1) AS rows_before
  FROM (
    SELECT v.version_id, v.record_id, r.key AS source, coalesce(d.chunk_count, 0) AS chunks
    FROM version v
    JOIN record r ON r.id = v.record_id AND r.kind = 'document'
    LEFT JOIN document_version d ON d.version_id = v.version_id
    WHERE v.operation_id = %(operation_id)s AND v.record_id > %(after)s AND NOT v.tombstone
    ORDER BY v.record_id
    LIMIT %(at_most)s
  ) page
) counted
WHERE rows_before < %(batch_rows)s
ORDER BY record_id;

-- name: measure_chunks
-- One row a chunk, and one with nulls for a document without chunks. Its vector is that of the space in use, where there is one.
WITH used AS MATERIALIZED (SELECT collection_id, space_id FROM collection_space)
SELECT v.version_id, r.key AS source, d.title, coalesce(d.chunk_count, 0) AS chunks_declared,
       count(c.id) OVER (PARTITION BY v.version_id) AS chunks_stored,
       c.index AS chunk_index, m.characters, m.visible AS visible_characters, c.token_count,
       coalesce((m.characters - char_length(replace(c.text, %(replacement)s, '')))::float8 / nullif(m.characters, 0), 0) AS replacement_share,
       coalesce(regexp_count(c.text, %(control)s)::float8 / nullif(m.characters, 0), 0) AS control_share,
       coalesce(regexp_count(c.text, %(symbols)s)::float8 / nullif(m.visible, 0), 0) AS symbol_share,
       hashtextextended(c.text, 0) AS text_hash,
       l2_norm(e.vector) AS vector_norm, vector_dims(e.vector) AS vector_dimensions, e.space_id AS vector_space,
       CASE WHEN c.id IS NOT NULL THEN s.dimensions END AS space_dimensions,
       CASE WHEN c.id IS NOT NULL THEN k.space_id END AS collection_space
FROM unnest(%(versions)s::bigint[]) AS wanted (version_id)
JOIN version v ON v.version_id = wanted.version_id
JOIN record r ON r.id = v.record_id
JOIN used k ON k.collection_id = r.collection_id
JOIN embedding_space s ON s.id = k.space_id
LEFT JOIN document_version d ON d.version_id = v.version_id
LEFT JOIN chunk c ON c.version_id = v.version_id
LEFT JOIN embedding w ON w.id = c.embedding_id
LEFT JOIN LATERAL (
  SELECT w.vector, w.space_id WHERE w.space_id = k.space_id
  UNION ALL
  (SELECT x.vector, x.space_id FROM embedding x
   WHERE w.space_id <> k.space_id AND x.space_id IN (k.space_id, w.space_id) AND x.text_hash = w.text_hash
   ORDER BY x.space_id = k.space_id DESC LIMIT 1)
) e ON true
LEFT JOIN LATERAL (
  SELECT char_length(c.text) AS characters, char_length(btrim(c.text, %(white_space)s)) AS visible
) m ON true;

-- name: extend_lease
SELECT extend_lease(%(operation_id)s, %(lease_seconds)s);

-- name: quarantined_before
-- What an earlier attempt at the gate left out and no batch has brought back since.
SELECT j.source, j.reason, (b.counts -> 'quarantined' ->> j.source)::int AS chunks
FROM batch b
JOIN rejection j ON j.batch_id = b.id AND j.operation_id = b.operation_id AND j.code = 'gate'
WHERE b.operation_id = %(operation_id)s AND b.key = %(key)s AND b.state = 'done' AND b.counts -> 'quarantined' ? j.source
  AND NOT EXISTS (
    SELECT FROM version v JOIN record r ON r.id = v.record_id
    WHERE v.operation_id = b.operation_id AND r.kind = 'document' AND r.key = j.source AND NOT v.tombstone)
ORDER BY j.source;

-- name: begin_batch
SELECT begin_batch(%(operation_id)s, %(key)s, %(lease_seconds)s) AS batch_id;

-- name: add_quality_check
INSERT INTO quality_check (operation_id, batch_id, suite, success, result)
VALUES (%(operation_id)s, %(batch_id)s, %(suite)s, %(success)s, %(result)s);

-- name: add_rejections
INSERT INTO rejection (operation_id, batch_id, source, code, reason)
SELECT %(operation_id)s, %(batch_id)s, source, 'gate', reason
FROM unnest(%(sources)s::text[], %(reasons)s::text[]) AS failed (source, reason);

-- name: discard_versions
-- Takes documents out of the open operation again, chunks and all.
SELECT discard_versions(%(operation_id)s, %(versions)s);

-- name: finish_batch
SELECT finish_batch(%(batch_id)s, %(counts)s);
