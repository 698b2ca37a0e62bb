-- What goes into an archive, in columns: each is the binary form of its values one after the other, so that a block of
-- rows is a handful of values to the driver, and arrays to numpy. All of it is read in one snapshot.

-- name: find_collection
-- With the embedding space in use, or in use at a position.
SELECT c.id AS collection_id, s.id AS space_id, s.model, s.digest AS model_digest, s.dimensions, s.trusted
FROM collection c JOIN embedding_space s ON s.id = space_at(c.id, %(position)s::bigint) WHERE c.name = %(collection)s

-- name: log_position
SELECT log_position() AS position

-- name: select_versions
-- Version ids by kind of record, each with its number of chunks; ordered as chunks were numbered, which decides ties.
WITH head AS MATERIALIZED (SELECT h.version_id FROM heads_at(%(collection_id)s::integer, %(position)s::bigint) h)
-- Feedback is seen with what it is about.
SELECT v.version_id, h.version_id IS NOT NULL AND fits.yes AS seen, coalesce(d.chunk_count, 0) AS chunks
FROM version v
JOIN operation o ON o.id = v.operation_id
JOIN record r ON r.id = v.record_id
LEFT JOIN head h ON h.version_id = v.version_id
LEFT JOIN document_version d ON d.version_id = v.version_id
LEFT JOIN chunk first ON first.version_id = v.version_id AND first.index = 0
CROSS JOIN LATERAL (SELECT %(kind)s <> 'feedback' OR EXISTS (
  SELECT FROM feedback f JOIN head t ON t.version_id = f.target_version_id WHERE f.version_id = v.version_id) AS yes) fits
WHERE r.collection_id = %(collection_id)s AND r.kind = %(kind)s AND o.life = 'published'
  AND o.position BETWEEN coalesce(%(first)s::bigint, 0) AND %(position)s::bigint
  AND (%(holds)s = 'history' OR (h.version_id IS NOT NULL AND fits.yes))
ORDER BY first.id, v.version_id

-- name: kinds_left_out
-- Records of other kinds that are seen, which an archive doesn't hold; and, where it holds what is seen, feedback on what isn't.
WITH head AS MATERIALIZED (SELECT h.version_id, h.kind FROM heads_at(%(collection_id)s::integer, %(position)s::bigint) h)
SELECT h.kind, count(*) AS records FROM head h
WHERE h.kind NOT IN ('document', 'watermark', 'feedback', 'quality_policy', 'quality_pin', 'retention_rule', 'search_weights')
   OR (h.kind = 'feedback' AND %(holds)s = 'seen' AND NOT EXISTS (
         SELECT FROM feedback f JOIN head t ON t.version_id = f.target_version_id WHERE f.version_id = h.version_id))
GROUP BY h.kind ORDER BY h.kind

-- name: state_of
-- What is seen, by kind: how many records, and sums over sha256 of kind, key and content. As verify's digest, without the
-- collection's id, which another database may have given another.
-- Feedback counts with what it is about.
WITH head AS MATERIALIZED (SELECT h.* FROM heads_at(%(collection_id)s::integer, %(position)s::bigint) h WHERE h.kind = ANY (%(kinds)s))
SELECT x.kind, count(*) AS records, digest_hex(sum(half(x.hash, 1)), sum(half(x.hash, 9))) AS digest
FROM (SELECT h.kind, sha256(convert_to(h.kind || '/' || h.key, 'UTF8') || h.content_hash) AS hash FROM head h
      WHERE h.kind <> 'feedback' OR EXISTS (
        SELECT FROM feedback f JOIN head t ON t.version_id = f.target_version_id WHERE f.version_id = h.version_id)) x
GROUP BY x.kind ORDER BY x.kind

-- name: version_columns
-- What every kind of record has, of these versions in this order. Put in front of `columns_of_document`, `columns_of_watermark`.
SELECT count(*) AS rows,
  string_agg(int8send(v.version_id), ''::bytea ORDER BY w.n) AS version_id,
  string_agg(int8send(v.record_id), ''::bytea ORDER BY w.n) AS record_id,
  string_agg(int8send(v.operation_id), ''::bytea ORDER BY w.n) AS operation_id,
  string_agg(int8send(o.position), ''::bytea ORDER BY w.n) AS position,
  string_agg(int8send(coalesce(v.over_operation_id, 0)), ''::bytea ORDER BY w.n) AS over_operation_id,
  string_agg(CASE WHEN v.tombstone THEN '\x01'::bytea ELSE '\x00'::bytea END, ''::bytea ORDER BY w.n) AS tombstone,
  string_agg(CASE v.payload WHEN 'kept' THEN '\x00'::bytea WHEN 'erased' THEN '\x01'::bytea ELSE '\x02'::bytea END, ''::bytea ORDER BY w.n) AS payload,
  string_agg(v.content_hash, ''::bytea ORDER BY w.n) AS content_hash,
  string_agg(convert_to(r.key, 'UTF8'), ''::bytea ORDER BY w.n) AS source,
  string_agg(int8send(octet_length(convert_to(r.key, 'UTF8'))), ''::bytea ORDER BY w.n) AS source_length,
  {columns}
FROM unnest(%(versions)s::bigint[]) WITH ORDINALITY AS w (version_id, n)
JOIN version v ON v.version_id = w.version_id
JOIN operation o ON o.id = v.operation_id
JOIN record r ON r.id = v.record_id
{joins}

-- name: columns_of_document
  string_agg(convert_to(coalesce(k.key, ''), 'UTF8'), ''::bytea ORDER BY w.n) AS origin,
  string_agg(int8send(octet_length(convert_to(coalesce(k.key, ''), 'UTF8'))), ''::bytea ORDER BY w.n) AS origin_length,
  string_agg(convert_to(coalesce(d.title, ''), 'UTF8'), ''::bytea ORDER BY w.n) AS title,
  string_agg(int8send(octet_length(convert_to(coalesce(d.title, ''), 'UTF8'))), ''::bytea ORDER BY w.n) AS title_length,
  string_agg(CASE WHEN d.title IS NULL THEN '\x00'::bytea ELSE '\x01'::bytea END, ''::bytea ORDER BY w.n) AS has_title,
  string_agg(convert_to(coalesce(d.format, ''), 'UTF8'), ''::bytea ORDER BY w.n) AS format,
  string_agg(int8send(octet_length(convert_to(coalesce(d.format, ''), 'UTF8'))), ''::bytea ORDER BY w.n) AS format_length,
  string_agg(coalesce(d.source_hash, decode(repeat('00', 32), 'hex')), ''::bytea ORDER BY w.n) AS source_hash,
  string_agg(coalesce(d.fingerprint, decode(repeat('00', 32), 'hex')), ''::bytea ORDER BY w.n) AS fingerprint,
  string_agg(convert_to(coalesce(d.attributes::text, '{}'), 'UTF8'), ''::bytea ORDER BY w.n) AS attributes,
  string_agg(int8send(octet_length(convert_to(coalesce(d.attributes::text, '{}'), 'UTF8'))), ''::bytea ORDER BY w.n) AS attributes_length,
  string_agg(int8send(coalesce(d.token_count, 0)), ''::bytea ORDER BY w.n) AS token_count

-- name: joins_of_document
LEFT JOIN document_version d ON d.version_id = v.version_id
LEFT JOIN record k ON k.id = d.origin_record_id

-- name: columns_of_watermark
  string_agg(int8send(coalesce(m.document_count, 0)), ''::bytea ORDER BY w.n) AS document_count,
  string_agg(coalesce(m.listing_hash, decode(repeat('00', 32), 'hex')), ''::bytea ORDER BY w.n) AS listing_hash,
  string_agg(convert_to(coalesce(m.state::text, '{}'), 'UTF8'), ''::bytea ORDER BY w.n) AS state,
  string_agg(int8send(octet_length(convert_to(coalesce(m.state::text, '{}'), 'UTF8'))), ''::bytea ORDER BY w.n) AS state_length

-- name: joins_of_watermark
LEFT JOIN watermark m ON m.version_id = v.version_id

-- name: columns_of_record
  string_agg(convert_to(r.kind, 'UTF8'), ''::bytea ORDER BY w.n) AS kind,
  string_agg(int8send(octet_length(r.kind)), ''::bytea ORDER BY w.n) AS kind_length,
  string_agg(convert_to(coalesce(x.content::text, '{}'), 'UTF8'), ''::bytea ORDER BY w.n) AS content,
  string_agg(int8send(octet_length(convert_to(coalesce(x.content::text, '{}'), 'UTF8'))), ''::bytea ORDER BY w.n) AS content_length

-- name: joins_of_record
CROSS JOIN LATERAL (SELECT CASE r.kind
  WHEN 'feedback' THEN (
    SELECT jsonb_build_object('source', t.key, 'target_version_id', f.target_version_id, 'target_operation_id', f.target_operation_id,
             'chunk_index', f.chunk_index, 'verdict', f.verdict, 'comment', f.comment, 'given_by', f.given_by)
    FROM feedback f JOIN record t ON t.id = f.target_record_id WHERE f.version_id = v.version_id)
  WHEN 'quality_policy' THEN (
    SELECT jsonb_build_object('doc_type', y.doc_type, 'half_life_days', y.half_life_days, 'grace_days', y.grace_days, 'floor', y.floor)
    FROM quality_policy y WHERE y.version_id = v.version_id)
  WHEN 'quality_pin' THEN (
    SELECT jsonb_build_object('source', t.key, 'score', n.score) FROM quality_pin n JOIN record t ON t.id = n.target_record_id
    WHERE n.version_id = v.version_id)
  WHEN 'retention_rule' THEN (
    SELECT jsonb_build_object('classification', y.classification, 'history_days', y.history_days, 'expire_days', y.expire_days)
    FROM retention_rule y WHERE y.version_id = v.version_id)
  WHEN 'search_weights' THEN (
    SELECT jsonb_build_object('method', y.method, 'semantic_weight', y.semantic_weight) FROM search_weights y WHERE y.version_id = v.version_id)
  END AS content) x

-- name: chunk_columns
-- The chunks of these versions, in their order. What is marked as destroyed may still have some: it is left out. (OFFSET 0,
-- so that what is converted is converted once.)
SELECT count(*) AS rows,
  string_agg(int8send(x.n), ''::bytea ORDER BY x.n, x.index) AS document,
  string_agg(int8send(x.id), ''::bytea ORDER BY x.n, x.index) AS chunk_id,
  string_agg(int4send(x.index), ''::bytea ORDER BY x.n, x.index) AS index,
  string_agg(int4send(x.token_count), ''::bytea ORDER BY x.n, x.index) AS token_count,
  string_agg(convert_to(x.chunk_type, 'UTF8'), ''::bytea ORDER BY x.n, x.index) AS chunk_type,
  string_agg(int8send(octet_length(convert_to(x.chunk_type, 'UTF8'))), ''::bytea ORDER BY x.n, x.index) AS chunk_type_length,
  string_agg(x.headers, ''::bytea ORDER BY x.n, x.index) AS parent_headers,
  string_agg(int8send(octet_length(x.headers)), ''::bytea ORDER BY x.n, x.index) AS parent_headers_length,
  string_agg(x.words, ''::bytea ORDER BY x.n, x.index) AS text,
  string_agg(int8send(octet_length(x.words)), ''::bytea ORDER BY x.n, x.index) AS text_length,
  string_agg(x.more, ''::bytea ORDER BY x.n, x.index) AS attributes,
  string_agg(int8send(octet_length(x.more)), ''::bytea ORDER BY x.n, x.index) AS attributes_length,
  string_agg(int8send(x.embedding_id), ''::bytea ORDER BY x.n, x.index) AS embedding
FROM (
  SELECT w.n - 1 AS n, c.id, c.index, c.token_count, c.chunk_type,
         CASE WHEN e.space_id = %(space_id)s THEN e.id
              ELSE (SELECT x.id FROM embedding x WHERE x.space_id = %(space_id)s AND x.text_hash = e.text_hash) END AS embedding_id, convert_to(c.text, 'UTF8') AS words,
         convert_to(to_json(c.parent_headers)::text, 'UTF8') AS headers, convert_to(c.attributes::text, 'UTF8') AS more
  FROM unnest(%(versions)s::bigint[]) WITH ORDINALITY AS w (version_id, n)
  JOIN version v ON v.version_id = w.version_id AND v.payload = 'kept'
  JOIN chunk c ON c.version_id = v.version_id
  JOIN embedding e ON e.id = c.embedding_id
  OFFSET 0
) x

-- name: copy_vectors
-- Of these embeddings, by id.
COPY (SELECT e.text_hash, e.vector FROM embedding e WHERE e.id = ANY (%(embeddings)s::bigint[]) ORDER BY e.id) TO STDOUT (FORMAT BINARY)

-- name: log_operations
-- These operations, and whatever control operations said something of them, or of those, by the position.
WITH RECURSIVE told (id) AS (
  SELECT unnest(%(operations)s::bigint[])
  UNION
  SELECT v.control_id FROM told t JOIN (
    SELECT control_id, operation_id FROM verdict UNION SELECT control_id, operation_id FROM record_verdict) v ON v.operation_id = t.id
  JOIN operation c ON c.id = v.control_id WHERE c.position <= %(position)s
)
SELECT o.id, o.position, o.control, o.kind, o.agent, o.message, to_json(o.closed_at) #>> '{}' AS published_at, o.chain,
  coalesce((SELECT h.visible FROM visibility_history h WHERE h.operation_id = o.id AND h.from_position <= %(position)s
            ORDER BY h.from_position DESC LIMIT 1), false) AS seen,
  jsonb_build_object('session', o.session, 'run_id', o.run_id, 'lineage_run_id', o.lineage_run_id, 'opened_at', o.opened_at,
    'base_position', o.base_position, 'last_wins', o.last_wins, 'parameters', o.parameters, 'context', o.context,
    'counts', o.counts, 'digest', o.digest)::text AS entry
FROM told t JOIN operation o ON o.id = t.id WHERE o.life = 'published' ORDER BY o.position

-- name: log_verdicts
SELECT v.control_id, v.operation_id, 0 AS record_id, v.shows
FROM verdict v JOIN operation c ON c.id = v.control_id
WHERE v.operation_id = ANY (%(operations)s::bigint[]) AND c.position <= %(position)s
UNION ALL
SELECT v.control_id, v.operation_id, v.record_id, v.shows
FROM record_verdict v JOIN operation c ON c.id = v.control_id
WHERE v.operation_id = ANY (%(operations)s::bigint[]) AND c.position <= %(position)s
ORDER BY 1, 2, 3

-- name: log_history
SELECT h.operation_id, 0 AS record_id, h.from_position, h.visible FROM visibility_history h
WHERE h.operation_id = ANY (%(operations)s::bigint[]) AND h.from_position <= %(position)s
UNION ALL
SELECT h.operation_id, h.record_id, h.from_position, h.visible FROM record_visibility_history h
WHERE h.operation_id = ANY (%(operations)s::bigint[]) AND h.from_position <= %(position)s
ORDER BY 1, 2, 3

-- name: log_dependencies
SELECT d.operation_id, d.input_operation_id, d.input_version_id, coalesce(d.version_id, 0) AS version_id, d.class
FROM dependency d WHERE d.operation_id = ANY (%(operations)s::bigint[])
ORDER BY 1, 2, 3, 4, 5

-- name: is_catalogued
-- Whether a file of this content was made by this installation.
SELECT EXISTS (SELECT FROM artifact a JOIN operation o ON o.id = a.operation_id
               WHERE a.sha256 = %(sha256)s AND a.kind = 'archive' AND o.life = 'published') AS made_here

-- name: archives_of_versions
-- Archives that stand and may hold these versions, the last made first, each with those that it may hold.
SELECT a.id AS artifact_id, a.path, a.operation_id, encode(a.sha256, 'hex') AS sha256, c.name AS collection, array_agg(v.version_id) AS versions,
       s.digest AS space_digest, EXISTS (SELECT FROM kept_space k WHERE k.collection_id = c.id AND k.space_id <> s.id) AS has_other_spaces
FROM artifact a JOIN operation w ON w.id = a.operation_id AND w.life = 'published'
JOIN collection c ON c.id = a.collection_id JOIN embedding_space s ON s.id = space_at(c.id, NULL)
JOIN record r ON r.collection_id = a.collection_id JOIN version v ON v.record_id = r.id
JOIN operation o ON o.id = v.operation_id AND o.position BETWEEN a.first_position AND a.position
WHERE v.version_id = ANY (%(versions)s::bigint[]) AND a.kind = 'archive' AND a.removed_at IS NULL AND NOT a.replaced
GROUP BY a.id, a.path, a.operation_id, a.sha256, a.read_position, c.id, c.name, s.id, s.digest ORDER BY a.read_position DESC, a.id DESC

-- name: holds_reclaimed
-- Whether a history may hold payloads that were reclaimed after it was made.
SELECT EXISTS (
  SELECT FROM artifact a JOIN horizon h ON true JOIN operation k ON k.id = h.operation_id AND k.position > a.read_position
  JOIN record r ON r.collection_id = a.collection_id JOIN version v ON v.record_id = r.id AND v.payload = 'reclaimed'
  JOIN operation o ON o.id = v.operation_id AND o.position BETWEEN a.first_position AND a.position
  WHERE a.id = %(artifact_id)s AND a.scope ->> 'holds' = 'history') AS holds

-- name: begin_revival
SELECT begin_revival AS version_id FROM begin_revival(%(versions)s::bigint[])

-- name: ensure_collection
SELECT collection_id, space_id FROM ensure_collection(%(name)s, %(model)s, %(digest)s, %(dimensions)s, %(trusted)s)

-- name: hashes_of
-- Of the versions that a writer sees as heads, what tells whether they say the same.
SELECT version_id, content_hash FROM version WHERE version_id = ANY (%(versions)s::bigint[])

-- name: heads_of_watermarks
SELECT r.key, head.operation_id, head.content_hash
FROM unnest(%(origins)s::text[]) AS wanted (key)
JOIN record r ON r.collection_id = %(collection_id)s AND r.kind = 'watermark' AND r.key = wanted.key
JOIN LATERAL (
  SELECT s.operation_id, s.content_hash FROM seen_version s WHERE s.record_id = r.id ORDER BY s.version_id DESC LIMIT 1
) head ON true

-- name: heads_of_records
SELECT r.key, head.operation_id, head.content_hash
FROM unnest(%(keys)s::text[]) AS wanted (key)
JOIN record r ON r.collection_id = %(collection_id)s AND r.kind = %(kind)s AND r.key = wanted.key
JOIN LATERAL (
  SELECT s.operation_id, s.content_hash FROM seen_version s WHERE s.record_id = r.id ORDER BY s.version_id DESC LIMIT 1
) head ON true

-- name: target_of_feedback
-- The version of a document that says what the feedback was about: the one being restored, or one that is seen.
SELECT v.version_id AS target_version_id, v.operation_id AS target_operation_id, v.record_id AS target_record_id
FROM record r JOIN version v ON v.record_id = r.id AND v.content_hash = %(content_hash)s
WHERE r.collection_id = %(collection_id)s AND r.kind = 'document' AND r.key = %(source)s
  AND (v.operation_id = %(restored)s OR EXISTS (SELECT FROM seen_version s WHERE s.version_id = v.version_id))
ORDER BY v.operation_id = %(restored)s DESC, v.version_id DESC LIMIT 1

-- name: add_record
INSERT INTO record (collection_id, kind, key) VALUES (%(collection_id)s, %(kind)s, %(key)s) ON CONFLICT DO NOTHING

-- name: add_version
INSERT INTO version (record_id, operation_id, batch_id, over_operation_id, content_hash)
SELECT r.id, %(operation_id)s, %(batch_id)s, %(over)s, %(content_hash)s FROM record r
WHERE r.collection_id = %(collection_id)s AND r.kind = %(kind)s AND r.key = %(key)s
RETURNING version_id

-- name: add_feedback
INSERT INTO feedback (version_id, target_version_id, chunk_index, target_record_id, target_operation_id, verdict, comment, given_by)
VALUES (%(version_id)s, %(target_version_id)s, %(chunk_index)s, %(target_record_id)s, %(target_operation_id)s, %(verdict)s, %(comment)s,
        %(given_by)s)

-- name: add_quality_policy
INSERT INTO quality_policy (version_id, doc_type, half_life_days, grace_days, floor)
VALUES (%(version_id)s, %(doc_type)s, %(half_life_days)s, %(grace_days)s, %(floor)s)

-- name: add_quality_pin
INSERT INTO quality_pin (version_id, target_record_id, score)
SELECT %(version_id)s, r.id, %(score)s FROM record r WHERE r.collection_id = %(collection_id)s AND r.kind = 'document' AND r.key = %(source)s

-- name: add_retention_rule
INSERT INTO retention_rule (version_id, classification, history_days, expire_days)
VALUES (%(version_id)s, %(classification)s, %(history_days)s, %(expire_days)s)

-- name: add_search_weights
INSERT INTO search_weights (version_id, method, semantic_weight) VALUES (%(version_id)s, %(method)s, %(semantic_weight)s)

-- name: add_origin
INSERT INTO record (collection_id, kind, key) VALUES (%(collection_id)s, 'watermark', %(origin)s) ON CONFLICT DO NOTHING

-- name: add_watermark
WITH added AS (
  INSERT INTO version (record_id, operation_id, batch_id, over_operation_id, content_hash)
  SELECT r.id, %(operation_id)s, %(batch_id)s, %(over)s, %(content_hash)s FROM record r
  WHERE r.collection_id = %(collection_id)s AND r.kind = 'watermark' AND r.key = %(origin)s
  RETURNING version_id
)
SELECT version_id FROM added

-- name: add_watermark_state
INSERT INTO watermark (version_id, document_count, listing_hash, state)
VALUES (%(version_id)s, %(document_count)s, %(listing_hash)s, %(state)s)
