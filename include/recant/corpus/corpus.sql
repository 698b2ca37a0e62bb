-- Collections, heads, appending and retiring.

-- name: ensure_collection
SELECT collection_id FROM ensure_collection(%(name)s, %(model)s, %(digest)s, %(dimensions)s, %(trusted)s)

-- name: find_collections
-- With the embedding space in use.
SELECT c.collection_id AS id, c.name, s.id AS space_id, s.model, s.digest AS model_digest, s.dimensions
FROM collection_space c JOIN embedding_space s ON s.id = c.space_id
WHERE %(name)s::text IS NULL OR c.name = %(name)s
ORDER BY c.name

-- name: further_spaces
-- Spaces besides the one in use that what is written now has to have vectors in: the one before, and one that is being built.
SELECT s.id AS space_id, s.model, s.digest AS model_digest, s.dimensions,
  NOT EXISTS (SELECT FROM kept_space k WHERE k.collection_id = w.collection_id AND k.space_id = w.space_id AND k.building) AS required
FROM wanted_space w JOIN embedding_space s ON s.id = w.space_id
WHERE w.collection_id = %(collection_id)s AND w.space_id <> space_at(w.collection_id, NULL)
ORDER BY s.id

-- name: hold_embeddings
-- Keeps these from being deleted until the transaction ends; those that are gone are missing from the answer.
SELECT hold_embeddings(%(ids)s::bigint[]) AS id

-- name: heads_of_documents
-- What the writer of this operation sees: its session's open operations come last, in the order they were opened.
WITH own AS MATERIALIZED (
  SELECT o.id FROM operation me JOIN operation o ON o.session = me.session AND o.life = 'open' AND o.id <> me.id
  WHERE me.id = %(operation_id)s
)
SELECT r.key AS source, r.id AS record_id, head.version_id, head.operation_id, head.own AS open, head.tombstone, d.fingerprint
FROM unnest(%(sources)s::text[]) AS wanted (key)
CROSS JOIN LATERAL (  -- with a limit, as in find_records
  SELECT id, key FROM record WHERE collection_id = %(collection_id)s AND kind = 'document' AND key = wanted.key LIMIT 1
) r
JOIN LATERAL (
  SELECT v.version_id, v.operation_id, v.tombstone OR v.payload <> 'kept' AS tombstone, v.own FROM (
    SELECT s.version_id, s.operation_id, s.tombstone, s.payload, false AS own FROM seen_version s WHERE s.record_id = r.id
    UNION ALL
    SELECT s.version_id, s.operation_id, s.tombstone, s.payload, true FROM version s
    WHERE s.record_id = r.id AND s.operation_id IN (SELECT id FROM own)
  ) v
  ORDER BY v.own DESC, v.version_id DESC
  LIMIT 1
) head ON true
LEFT JOIN document_version d ON d.version_id = head.version_id

-- name: add_records
INSERT INTO record (collection_id, kind, key)
SELECT %(collection_id)s, %(kind)s, key FROM unnest(%(keys)s::text[]) AS wanted (key) ORDER BY key
ON CONFLICT DO NOTHING
RETURNING key, id

-- name: find_records
-- (LIMIT, because with statistics from when there were few records the planner would rather read all of them.)
SELECT wanted.key, r.id FROM unnest(%(keys)s::text[]) AS wanted (key)
CROSS JOIN LATERAL (
  SELECT id FROM record WHERE collection_id = %(collection_id)s AND kind = %(kind)s AND key = wanted.key LIMIT 1
) r

-- name: add_versions
-- A record that this operation has a version of already is left out: the same source twice in one run.
INSERT INTO version (record_id, operation_id, batch_id, over_operation_id, tombstone, content_hash)
SELECT record_id, %(operation_id)s, %(batch_id)s, over_operation_id, false, content_hash
FROM unnest(%(record_ids)s::bigint[], %(over)s::bigint[], %(content_hashes)b::bytea[]) AS x (record_id, over_operation_id, content_hash)
ORDER BY record_id
ON CONFLICT (operation_id, record_id) DO NOTHING
RETURNING record_id, version_id

-- name: copy_document_versions
COPY document_version (version_id, origin_record_id, title, format, source_hash, fingerprint, chunk_count, token_count, attributes) FROM STDIN

-- name: copy_chunks
COPY chunk (version_id, embedding_id, index, token_count, chunk_type, parent_headers, text, attributes) FROM STDIN

-- name: copy_numbered_chunks
COPY chunk (id, version_id, embedding_id, index, token_count, chunk_type, parent_headers, text, attributes) FROM STDIN

-- name: copy_dependencies
COPY dependency (operation_id, batch_id, input_operation_id, input_version_id, class) FROM STDIN

-- name: cited_chunks
-- The versions that these chunks are parts of, and whether the writer may still see them.
SELECT c.id AS cited, v.version_id, v.record_id, v.operation_id, o.life = 'open' AS open, o.session, k.name AS collection,
  EXISTS (SELECT FROM seen_version s WHERE s.version_id = v.version_id AND s.payload = 'kept') AS seen
FROM unnest(%(chunks)s::bigint[]) AS wanted (id)
JOIN chunk c ON c.id = wanted.id
JOIN version v ON v.version_id = c.version_id
JOIN operation o ON o.id = v.operation_id
JOIN record r ON r.id = v.record_id
JOIN collection k ON k.id = r.collection_id

-- name: cited_documents
-- The heads that a session sees of these documents, without what an operation of that key holds: it cites no work of its own.
WITH own AS MATERIALIZED (
  SELECT o.id FROM operation o
  WHERE o.session = %(session)s::text AND o.life = 'open' AND coalesce(o.open_key <> %(open_key)s::text, true)
)
SELECT r.key AS cited, head.version_id, r.id AS record_id, head.operation_id, k.name AS collection
FROM collection k
JOIN record r ON r.collection_id = k.id AND r.kind = 'document' AND r.key = ANY (%(sources)s::text[])
JOIN LATERAL (
  SELECT v.version_id, v.operation_id, v.tombstone OR v.payload <> 'kept' AS absent FROM (
    SELECT s.version_id, s.operation_id, s.tombstone, s.payload, NULL::bigint AS own FROM seen_version s WHERE s.record_id = r.id
    UNION ALL
    SELECT s.version_id, s.operation_id, s.tombstone, s.payload, s.operation_id FROM version s
    WHERE s.record_id = r.id AND s.operation_id IN (SELECT id FROM own)
  ) v
  ORDER BY v.own DESC NULLS LAST, v.version_id DESC
  LIMIT 1
) head ON NOT head.absent
WHERE k.name = %(collection)s::text

-- name: copy_rejections
COPY rejection (operation_id, batch_id, source, code, reason) FROM STDIN

-- name: retire_missing
-- Tombstones for documents last found under an origin that this operation has listed, and that it neither wrote,
-- affirmed nor rejected. What couldn't be read stays, and with a file of records its records (FILE#1). (EXCEPT and NOT IN,
-- because statistics know nothing of an operation's rows while it is written: an anti join is then planned as a nested
-- loop, quadratic in the documents.)
WITH own AS MATERIALIZED (
  SELECT o.id FROM operation me JOIN operation o ON o.session = me.session AND o.life = 'open' AND o.id <> me.id
  WHERE me.id = %(operation_id)s
), candidate AS MATERIALIZED (
  SELECT v.record_id
  FROM record origin
  JOIN document_version d ON d.origin_record_id = origin.id
  JOIN version v ON v.version_id = d.version_id
  WHERE origin.collection_id = %(collection_id)s AND origin.kind = 'watermark' AND origin.key = ANY (%(origins)s)
  EXCEPT SELECT v.record_id FROM version v WHERE v.operation_id = %(operation_id)s
  EXCEPT SELECT v.record_id FROM dependency p JOIN version v ON v.version_id = p.input_version_id
         WHERE p.operation_id = %(operation_id)s AND p.class = 'affirmed'
), head AS (
  SELECT c.record_id, h.version_id, h.operation_id, h.tombstone
  FROM candidate c
  JOIN LATERAL (
    SELECT v.version_id, v.operation_id, v.tombstone OR v.payload <> 'kept' AS tombstone FROM (
      SELECT s.version_id, s.operation_id, s.tombstone, s.payload, false AS own FROM seen_version s WHERE s.record_id = c.record_id
      UNION ALL
      SELECT s.version_id, s.operation_id, s.tombstone, s.payload, true FROM version s
      WHERE s.record_id = c.record_id AND s.operation_id IN (SELECT id FROM own)
    ) v
    ORDER BY v.own DESC, v.version_id DESC
    LIMIT 1
  ) h ON true
), rejected AS MATERIALIZED (
  SELECT DISTINCT j.source FROM rejection j WHERE j.operation_id = %(operation_id)s
), gone AS (
  SELECT h.record_id, h.operation_id
  FROM head h
  JOIN document_version d ON d.version_id = h.version_id
  JOIN record origin ON origin.id = d.origin_record_id AND origin.key = ANY (%(origins)s)
  JOIN record r ON r.id = h.record_id
  WHERE NOT h.tombstone
    AND r.key NOT IN (SELECT source FROM rejected)
    AND regexp_replace(r.key, '#[0-9]+$', '') NOT IN (SELECT source FROM rejected)
)
INSERT INTO version (record_id, operation_id, batch_id, over_operation_id, tombstone, content_hash)
SELECT record_id, %(operation_id)s, %(batch_id)s, operation_id, true, sha256('tombstone') FROM gone
RETURNING version_id

-- name: listed_per_origin
-- Documents that stand under each origin when this operation is published, with a hash over their sources.
SELECT origin.key AS origin, count(*) AS document_count, sha256(convert_to(string_agg(r.key, E'\n' ORDER BY r.key), 'UTF8')) AS listing_hash
FROM (
  SELECT v.record_id, d.origin_record_id FROM version v JOIN document_version d USING (version_id) WHERE v.operation_id = %(operation_id)s
  UNION
  SELECT v.record_id, d.origin_record_id FROM dependency p JOIN version v ON v.version_id = p.input_version_id
  JOIN document_version d ON d.version_id = v.version_id WHERE p.operation_id = %(operation_id)s AND p.class = 'affirmed'
) stands
JOIN record origin ON origin.id = stands.origin_record_id
JOIN record r ON r.id = stands.record_id
WHERE origin.key = ANY (%(origins)s)
GROUP BY origin.key

-- name: heads_of_watermarks
SELECT r.key, r.id AS record_id, head.operation_id, w.document_count, w.listing_hash
FROM unnest(%(origins)s::text[]) AS wanted (key)
JOIN record r ON r.collection_id = %(collection_id)s AND r.kind = 'watermark' AND r.key = wanted.key
LEFT JOIN LATERAL (
  SELECT v.version_id, v.operation_id FROM (
    SELECT s.version_id, s.operation_id, false AS own FROM seen_version s WHERE s.record_id = r.id
    UNION ALL
    SELECT s.version_id, s.operation_id, true FROM version s
    WHERE s.record_id = r.id AND s.operation_id IN (
      SELECT o.id FROM operation me JOIN operation o ON o.session = me.session AND o.life = 'open' AND o.id <> me.id WHERE me.id = %(operation_id)s)
  ) v
  ORDER BY v.own DESC, v.version_id DESC
  LIMIT 1
) head ON true
LEFT JOIN watermark w ON w.version_id = head.version_id

-- name: add_watermark
WITH added AS (
  INSERT INTO version (record_id, operation_id, batch_id, over_operation_id, content_hash)
  VALUES (%(record_id)s, %(operation_id)s, %(batch_id)s, %(over)s, %(content_hash)s)
  RETURNING version_id
)
SELECT version_id FROM added

-- name: add_watermark_state
INSERT INTO watermark (version_id, document_count, listing_hash) VALUES (%(version_id)s, %(document_count)s, %(listing_hash)s)

-- name: known_embeddings
SELECT e.text_hash, e.id FROM unnest(%(hashes)b::bytea[]) AS wanted (hash)
JOIN embedding e ON e.space_id = %(space_id)s AND e.text_hash = wanted.hash

-- name: copy_embeddings
COPY embedding (space_id, text_hash, vector) FROM STDIN (FORMAT BINARY)

-- name: stage_embeddings
CREATE TEMPORARY TABLE staged_embedding (space_id integer, text_hash bytea, vector halfvec) ON COMMIT DROP

-- name: copy_staged_embeddings
COPY staged_embedding (space_id, text_hash, vector) FROM STDIN (FORMAT BINARY)

-- name: add_staged_embeddings
INSERT INTO embedding (space_id, text_hash, vector)
SELECT space_id, text_hash, vector FROM staged_embedding ORDER BY text_hash
ON CONFLICT DO NOTHING

-- name: count_embeddings
SELECT count(*) AS embeddings, to_regclass('recant.embedding_vector_' || %(space_id)s::integer) IS NOT NULL AS indexed
FROM (SELECT FROM embedding WHERE space_id = %(space_id)s LIMIT %(limit)s) AS counted

-- name: build_vector_index
SELECT build_vector_index(%(space_id)s) AS name
