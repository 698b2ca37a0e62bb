-- The keyword index: what is read of it, written to it, and tended. {braces} are filled with parts of search.sql.


-- name: list_segments
-- What a scope reads: segments of what is published, and of the session's own open operations. Ids rise with their making.
SELECT array_agg(s.id ORDER BY s.id) AS ids
FROM keyword_segment s LEFT JOIN operation o ON o.id = s.operation_id
WHERE s.collection_id = %(collection_id)s AND s.analysis = %(analysis)s
  AND (s.operation_id IS NULL OR o.life = 'published' OR o.id = ANY (%(own)s::bigint[]))


-- name: read_state
-- What an answer depends on besides the question, as a text. As of a position: if that can still be answered.
SELECT s::text || coalesce(l.ids::text, '') || coalesce(CASE WHEN %(as_of)s::bigint IS NOT NULL THEN require_answerable_of(%(as_of)s::bigint, %(collection)s::text)::text END, '') AS state
FROM ({scope}) s CROSS JOIN ({segments}) l


-- name: if_state_is
-- These rows, or one that is empty, if the state is the one that is expected; otherwise nothing.
SELECT r.* FROM ({state}) g LEFT JOIN ({rows}) r ON true WHERE g.state = %(state)s ORDER BY r.number


-- name: read_headers
SELECT id, operation_id, bucket_bits, documents, lengths, languages FROM keyword_segment WHERE id = ANY (%(ids)s::bigint[])


-- name: read_postings
SELECT p.segment_id, p.key, p.data
FROM unnest(%(segments)s::bigint[], %(keys)s::bigint[]) AS w (segment_id, key)
CROSS JOIN LATERAL (SELECT k.segment_id, k.key, k.data FROM keyword_posting k WHERE k.segment_id = w.segment_id AND k.key = w.key LIMIT 1) p


-- name: read_all_postings
SELECT key, data FROM keyword_posting WHERE segment_id = %(segment)s


-- name: seen_heads
-- The document versions that are seen, packed: of each the operation and the record, big-endian.
SELECT string_agg(int8send(h.operation_id) || int8send(h.record_id), ''::bytea) AS packed
FROM ({heads}) h


-- name: seen_heads_session
-- The same with the session's own: those heads may be tombstones.
SELECT string_agg(int8send(h.operation_id) || int8send(h.record_id), ''::bytea) AS packed
FROM ({heads}) h JOIN version v ON v.version_id = h.version_id WHERE NOT v.tombstone AND v.payload = 'kept'


-- name: changed_heads
-- Records whose heads may be others than they were at an earlier position, packed: the operation of the head that is seen now,
-- 0 where there is none, and the record. Not worked out when they are more than a limit (`touched`), or when payloads were
-- destroyed since. Each publish and each verdict has its rows in the histories.
WITH touched AS MATERIALIZED (
  SELECT t.record_id FROM (
    SELECT v.record_id FROM visibility_history h JOIN operation o ON o.id = h.operation_id AND o.collection_id = %(collection_id)s
    JOIN version v ON v.operation_id = h.operation_id
    WHERE h.from_position > %(since)s::bigint
    UNION
    SELECT h.record_id FROM record_visibility_history h JOIN operation o ON o.id = h.operation_id AND o.collection_id = %(collection_id)s
    WHERE h.from_position > %(since)s::bigint) t
  JOIN record r ON r.id = t.record_id AND r.kind = 'document'
  LIMIT %(most)s::bigint + 1),
counted AS MATERIALIZED (
  SELECT (SELECT count(*) FROM touched) AS touched,
    EXISTS (SELECT FROM operation o WHERE o.control AND o.position > %(since)s::bigint AND o.kind NOT IN ('rollback', 'redo', 'quarantine', 'release')) AS destroyed)
SELECT n.touched, n.destroyed, CASE WHEN n.touched <= %(most)s::bigint AND NOT n.destroyed THEN (
  SELECT string_agg(int8send(coalesce(h.operation_id, 0)) || int8send(t.record_id), ''::bytea)
  FROM touched t LEFT JOIN LATERAL (
    SELECT s.operation_id, s.version_id FROM seen_version s WHERE s.record_id = t.record_id ORDER BY s.version_id DESC LIMIT 1) s ON true
  LEFT JOIN version h ON h.version_id = s.version_id AND NOT h.tombstone AND h.payload = 'kept') END AS packed
FROM counted n


-- name: filtered_chunks
-- The chunks that are seen and pass the filters, packed: of each the record and its place in the document.
WITH head AS MATERIALIZED ({heads})
SELECT string_agg(int8send(v.record_id) || int8send(c.index), ''::bytea) AS packed
FROM head v JOIN chunk c ON c.version_id = v.version_id{documents} WHERE true{filters}


-- name: read_passages
-- What is indexed of document versions, document by document.
SELECT v.operation_id, v.record_id, d.title, c.parent_headers, c.text
FROM unnest(%(operations)s::bigint[], %(records)s::bigint[]) AS w (operation_id, record_id)
JOIN version v ON v.operation_id = w.operation_id AND v.record_id = w.record_id AND v.payload = 'kept'
JOIN document_version d ON d.version_id = v.version_id
JOIN chunk c ON c.version_id = v.version_id
ORDER BY v.operation_id, v.record_id, c.index


-- name: read_candidates
-- Chunks given by operation, record and place, in the order given, without those that fail the filters; with what hits show,
-- or without.
WITH near AS MATERIALIZED (
  SELECT w.number, w.index, c.id AS chunk_id, {place} AS embedding_id, v.version_id, v.record_id, v.operation_id
  FROM unnest(%(operations)s::bigint[], %(records)s::bigint[], %(places)s::integer[]) WITH ORDINALITY AS w (operation_id, record_id, index, number)
  CROSS JOIN LATERAL (SELECT * FROM version x WHERE x.operation_id = w.operation_id AND x.record_id = w.record_id LIMIT 1) v
  CROSS JOIN LATERAL (SELECT * FROM chunk x WHERE x.version_id = v.version_id AND x.index = w.index LIMIT 1) c{documents}
  WHERE true{filters})
SELECT n.number, n.index, n.chunk_id, n.embedding_id, n.record_id AS document_id, n.operation_id, round(q.score::numeric, 1)::float8 AS quality{shown}
FROM near n
LEFT JOIN {quality} q ON q.chunk_id = n.chunk_id{shown_from}
ORDER BY n.number


-- name: shown
, r.key AS source, d.title, c.text, c.chunk_type, c.parent_headers, d.attributes || c.attributes AS attributes


-- name: shown_from
JOIN chunk c ON c.id = n.chunk_id
JOIN document_version d ON d.version_id = n.version_id
JOIN record r ON r.id = n.record_id


-- name: records_of
SELECT wanted.key, r.id FROM unnest(%(sources)s::text[]) AS wanted (key)
CROSS JOIN LATERAL (SELECT id FROM record WHERE collection_id = %(collection_id)s AND kind = 'document' AND key = wanted.key LIMIT 1) r


-- name: add_segment
INSERT INTO keyword_segment (collection_id, operation_id, batch_id, analysis, languages, bucket_bits, chunk_count, documents, lengths)
VALUES (%(collection_id)s, %(operation_id)s, %(batch_id)s, %(analysis)s, %(languages)s::text[], %(bucket_bits)s, %(chunks)s, %(documents)s, %(lengths)s)
RETURNING id


-- name: copy_postings
COPY keyword_posting (segment_id, key, data) FROM STDIN (FORMAT BINARY)


-- name: lock_index
SELECT lock_keyword_index()


-- name: replace_segments
SELECT replace_keyword_segments(%(collection_id)s::integer, %(old)s::bigint[], %(analysis)s::text, %(languages)s::text[], %(bucket_bits)s::integer,
  %(chunks)s::integer, %(documents)s::bytea, %(lengths)s::bytea, %(keys)s::bigint[], %(data)b::bytea[]) AS id


-- name: lock_indexable
SELECT operation_id, record_id FROM lock_indexable(%(operations)s::bigint[], %(records)s::bigint[])


-- name: list_for_upkeep
-- Segments that may be merged, and those that are to go: of aborted operations, and made in another way.
SELECT s.id, s.chunk_count AS chunks, s.analysis <> %(analysis)s OR coalesce(o.life = 'aborted', false) AS obsolete
FROM keyword_segment s LEFT JOIN operation o ON o.id = s.operation_id
WHERE s.collection_id = %(collection_id)s AND coalesce(o.life <> 'open', true)
ORDER BY s.id


-- name: list_all_segments
SELECT array_agg(id ORDER BY id) AS ids FROM keyword_segment WHERE collection_id = %(collection_id)s AND analysis = %(analysis)s


-- name: living_versions
-- Of these document versions, those whose payload is there and whose operation may still be seen.
SELECT v.operation_id, v.record_id
FROM unnest(%(operations)s::bigint[], %(records)s::bigint[]) AS w (operation_id, record_id)
JOIN version v ON v.operation_id = w.operation_id AND v.record_id = w.record_id AND v.payload = 'kept'
JOIN operation o ON o.id = v.operation_id AND o.life <> 'aborted'


-- name: indexable_versions
-- Every document version of a collection that could be in a segment, newest first, with the number of its chunks; packed.
SELECT string_agg(int8send(v.operation_id) || int8send(v.record_id) || int8send(d.chunk_count), ''::bytea ORDER BY v.version_id DESC) AS packed
FROM operation o JOIN version v ON v.operation_id = o.id JOIN document_version d ON d.version_id = v.version_id
WHERE o.collection_id = %(collection_id)s AND o.life = 'published' AND v.payload = 'kept' AND d.chunk_count BETWEEN 1 AND %(max_chunks)s


-- name: queued_purges
SELECT q.operation_id, q.record_id FROM keyword_purge q JOIN record r ON r.id = q.record_id
WHERE r.collection_id = %(collection_id)s ORDER BY q.operation_id, q.record_id


-- name: finish_purge
SELECT finish_keyword_purge(%(operations)s::bigint[], %(records)s::bigint[]) AS purged


-- name: collections
SELECT id, name FROM collection WHERE %(name)s::text IS NULL OR name = %(name)s ORDER BY name
