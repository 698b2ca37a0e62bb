-- Statements of the room, and the parts they are put together from. {braces} are filled with other parts or with
-- validated integers, never with a caller's text; everything of a caller's is a bound parameter.
--
-- Two shapes, for two sizes. Nearest neighbours through the vector index ask about visibility by scalar subqueries, row
-- by row: joins there trap the planner (59 ms where this takes 0.4). Exact search works out all heads first: for whole
-- scans that is cheaper than asking row by row. A tombstone has no chunks, so it hides by being the head.


-- name: describe_scope
-- What a search needs to know before it starts, read in the snapshot that answers it. `own`: the session's open operations.
-- `spaces`: where the collection was re-embedded, those that its chunks may have been written in.
SELECT c.id AS collection_id, s.id AS space_id, s.dimensions, s.model, s.digest AS model_digest,
  coalesce((SELECT max(o.position) FROM operation o), 0) AS position,
  EXISTS (SELECT FROM chunk_quality) OR coalesce(q.folding IS NOT NULL, false) AS has_quality,
  coalesce(q.highest, 100)::float8 AS highest_quality,
  EXISTS (SELECT FROM operation o WHERE o.collection_id = c.id AND o.kind IN ('feedback', 'set_policy', 'recalculate_quality')
          AND o.position <= %(as_of)s::bigint) AS had_quality,
  coalesce((SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass('recant.embedding_vector_' || s.id)), false) AS has_index,
  coalesce(x.outside, 0) AS outside, coalesce(x.tended_position, 0) AS tended_position, coalesce(x.generation, 0) AS generation,
  coalesce((SELECT max(k.position) FROM operation k WHERE k.control), 0) AS control_position,
  coalesce((SELECT p.reltuples FROM pg_class p WHERE p.oid = to_regclass('recant.embedding_vector_' || s.id)), 0)::bigint AS indexed,
  ARRAY(SELECT o.id FROM operation o WHERE o.session = %(session)s::text AND o.life = 'open' AND o.collection_id = c.id ORDER BY o.id) AS own,
  ARRAY(SELECT k.space_id FROM kept_space k WHERE k.collection_id = c.id AND (
    %(space_id)s::integer IS NOT NULL OR EXISTS (SELECT FROM record r WHERE r.collection_id = c.id AND r.kind = 'embedding_space'))) AS spaces
FROM collection c
JOIN embedding_space s ON s.id = coalesce(%(space_id)s::integer,
  CASE WHEN EXISTS (SELECT FROM embedding_choice) THEN space_at(c.id, %(as_of)s::bigint) ELSE c.space_id END)
LEFT JOIN vector_index x ON x.space_id = s.id
LEFT JOIN scored_collection q ON q.collection_id = c.id
WHERE c.name = %(collection)s::text


-- name: state
-- What every answer outside of a session depends on, besides the question. Both rise with whatever changes one.
SELECT coalesce((SELECT max(position) FROM operation), 0) AS position, (SELECT true_position FROM quality_projection) AS scored


-- name: list_collections
SELECT name FROM collection ORDER BY name


-- name: record_search
-- What a session is about to be shown: for each hit, the operation and the record of its version, best first.
SELECT record_search(%(session)s, %(agent)s, %(collection_id)s, %(query)s, %(position)s, %(operations)s::bigint[], %(records)s::bigint[])


-- name: count_parts
-- Chunks of a collection that were ever published by a position, seen or not, as its document versions count them;
-- counting ends at a limit of documents.
SELECT coalesce(sum(t.chunk_count), 0)::bigint AS chunks FROM (
  SELECT d.chunk_count
  FROM operation o JOIN version v ON v.operation_id = o.id JOIN document_version d ON d.version_id = v.version_id
  WHERE o.collection_id = %(collection_id)s AND o.position <= %(position)s::bigint
  LIMIT {limit}) t


-- name: is_settled
-- Whether nothing that is seen is outside the vector index. Only a control operation since the last tending can have shown
-- something that is: of the records that those touched, the versions seen now are looked at.
SELECT NOT EXISTS (
  SELECT FROM (
    SELECT v.record_id FROM operation k JOIN visibility_history h ON h.from_position = k.position JOIN version v ON v.operation_id = h.operation_id
    WHERE k.control AND k.position > %(tended_position)s
    UNION
    SELECT h.record_id FROM operation k JOIN record_visibility_history h ON h.from_position = k.position
    WHERE k.control AND k.position > %(tended_position)s) touched
  JOIN record r ON r.id = touched.record_id AND r.collection_id = %(collection_id)s
  JOIN version v ON v.record_id = r.id
  JOIN chunk c ON c.version_id = v.version_id
  JOIN embedding e ON e.id = c.embedding_id AND NOT e.indexed
  WHERE {visible}) AS settled


-- name: is_settled_anew
-- The same of a collection that was re-embedded: not where another space came into use, nor where what is seen again has its
-- vector in this one outside the index.
SELECT NOT EXISTS (
  SELECT FROM (
    SELECT v.record_id FROM operation k JOIN visibility_history h ON h.from_position = k.position JOIN version v ON v.operation_id = h.operation_id
    WHERE k.control AND k.position > %(tended_position)s
    UNION
    SELECT h.record_id FROM operation k JOIN record_visibility_history h ON h.from_position = k.position
    WHERE k.control AND k.position > %(tended_position)s) touched
  JOIN record r ON r.id = touched.record_id AND r.collection_id = %(collection_id)s
  WHERE r.kind = 'embedding_space' OR EXISTS (
    SELECT FROM version v
    JOIN chunk c ON c.version_id = v.version_id
    JOIN embedding o ON o.id = c.embedding_id
    JOIN embedding e ON e.space_id = {space_id} AND e.text_hash = o.text_hash AND NOT e.indexed
    WHERE v.record_id = r.id AND {visible})) AS settled


-- name: prepare_index_search
-- One plan for all, made once: planning each time is the larger half of what versions cost a search.
SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('hnsw.iterative_scan', 'strict_order', true),
  set_config('hnsw.ef_search', %(ef_search)s::text, true), set_config('enable_seqscan', 'off', true),
  set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)


-- name: prepare_exact_search
-- Planned for the values at hand. Run after prepare_index_search in one transaction, it takes that one's settings back.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'on', true),
  set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true)


-- name: search_index
-- The nearest visible embeddings through the space's HNSW index, each shown by the first visible chunk that has it: a
-- boilerplate text in a thousand documents takes one place. What is filled in speaks of c, v and d. A step is an embedding
-- that was looked at, seen or not.
WITH near AS MATERIALIZED (
  SELECT e.distance, e.step, h.*
  FROM (SELECT s.*, row_number() OVER (ORDER BY s.distance) AS step FROM ({source}) s) e
  CROSS JOIN LATERAL (
    SELECT c.id AS chunk_id, v.version_id, v.record_id, v.operation_id
    FROM chunk c JOIN version v ON v.version_id = c.version_id{documents}
    WHERE c.embedding_id {written_with}
      AND (SELECT r.collection_id FROM record r WHERE r.id = v.record_id) = %(collection_id)s
      AND {visible}{filters}
    ORDER BY c.id LIMIT 1) h
  ORDER BY e.distance LIMIT {candidates})
{details}


-- name: source_index
-- What the index holds.
SELECT x.id, x.vector::halfvec({dimensions}) <#> %(vector)s AS distance{text_hash} FROM embedding x
    WHERE x.space_id = {space_id} AND x.indexed ORDER BY x.vector::halfvec({dimensions}) <#> %(vector)s LIMIT {reach}


-- name: source_all
-- And what was taken out of it, merged by distance as either is asked for more.
SELECT b.* FROM ((
    SELECT x.id, x.vector::halfvec({dimensions}) <#> %(vector)s AS distance{text_hash} FROM embedding x
    WHERE x.space_id = {space_id} AND x.indexed ORDER BY x.vector::halfvec({dimensions}) <#> %(vector)s LIMIT {reach})
    UNION ALL (
    SELECT x.id, x.vector::halfvec({dimensions}) <#> %(vector)s AS distance{text_hash} FROM embedding x
    WHERE x.space_id = {space_id} AND NOT x.indexed ORDER BY x.vector::halfvec({dimensions}) <#> %(vector)s LIMIT {reach})) b
    ORDER BY b.distance LIMIT {reach}


-- name: search_exact
-- The same without the index: every match is compared, ties by chunk id. Naming no space keeps the index out of the plan.
WITH head AS MATERIALIZED ({heads}),
match AS MATERIALIZED (
  SELECT c.embedding_id, min(c.id) AS chunk_id
  FROM head v JOIN chunk c ON c.version_id = v.version_id{documents}
  WHERE true{filters}
  GROUP BY c.embedding_id),
nearest AS MATERIALIZED (
  SELECT e.vector::halfvec({dimensions}) <#> %(vector)s AS distance, m.chunk_id
  FROM {embedded}
  ORDER BY 1, 2 LIMIT {candidates}),
near AS (
  SELECT n.distance, NULL::bigint AS step, n.chunk_id, v.version_id, v.record_id, v.operation_id
  FROM nearest n JOIN chunk c ON c.id = n.chunk_id JOIN version v ON v.version_id = c.version_id)
{details}


-- name: heads_filtered
-- Heads among the versions that can have what the filters ask for: found first, by indexes where there are, seen or not.
SELECT v.version_id, v.record_id, v.operation_id
  FROM version v JOIN document_version d ON d.version_id = v.version_id
  JOIN record r ON r.id = v.record_id AND r.collection_id = %(collection_id)s
  WHERE {candidates}
      AND {visible}


-- name: count_candidates
-- Chunks, seen or not, of the versions that have what the filters ask for, which their documents decide; counting ends at a
-- limit.
SELECT coalesce(sum(t.chunk_count), 0)::bigint AS chunks FROM (
  SELECT d.chunk_count FROM version v JOIN document_version d ON d.version_id = v.version_id WHERE {candidates} LIMIT {limit}) t


-- name: count_matches
-- The same where chunks have a say.
SELECT count(*) AS chunks FROM (
  SELECT FROM version v JOIN document_version d ON d.version_id = v.version_id JOIN chunk c ON c.version_id = v.version_id
  WHERE {candidates}{filters} LIMIT {limit}) t


-- name: details
-- What a hit shows, of the best of the candidates in `near`.
SELECT n.distance, n.chunk_id, n.record_id AS document_id, r.key AS source, d.title, c.text, n.operation_id, n.quality,
  c.index, c.chunk_type, c.parent_headers, d.attributes || c.attributes AS attributes, {place} AS embedding_id, n.candidates, n.furthest, n.steps
FROM ({best}) n
JOIN chunk c ON c.id = n.chunk_id
JOIN document_version d ON d.version_id = n.version_id
JOIN record r ON r.id = n.record_id
ORDER BY n.distance, n.chunk_id


-- name: best_by_distance
-- Quality is looked up for these alone.
SELECT n.*, round(q.score::numeric, 1)::float8 AS quality
FROM (SELECT t.*, count(*) OVER () AS candidates, max(t.distance) OVER () AS furthest, max(t.step) OVER () AS steps
      FROM near t ORDER BY t.distance, t.chunk_id LIMIT {shown}) n
LEFT JOIN {quality} q ON q.chunk_id = n.chunk_id


-- name: best_by_score
-- Quality is looked up for every candidate, by its id, and all else for the best; the formula is that of recant.search.ranking.
SELECT s.* FROM (
  SELECT n.*, round(q.score::numeric, 1)::float8 AS quality, count(*) OVER () AS candidates, max(n.distance) OVER () AS furthest, max(n.step) OVER () AS steps
  FROM near n LEFT JOIN {quality} q ON q.chunk_id = n.chunk_id) s
ORDER BY {score} DESC, s.chunk_id LIMIT {shown}


-- name: score
least(- s.distance, 1::float8) * CASE WHEN s.distance >= 0 OR s.quality IS NULL THEN 1::float8
  ELSE 1::float8 + (s.quality - {neutral}::float8) / {neutral}::float8 * CASE WHEN s.quality > {neutral}::float8 THEN {up}::float8 ELSE {down}::float8 END END


-- name: quality_stored
-- Of a recalculation that is being folded in, what it drafted comes first.
LATERAL (
  SELECT n.chunk_id AS chunk_id, CASE WHEN d.chunk_id IS NULL THEN k.score ELSE d.score END AS score
  FROM (SELECT) one LEFT JOIN chunk_quality k ON k.chunk_id = n.chunk_id
  LEFT JOIN quality_draft d ON d.chunk_id = n.chunk_id
    AND d.operation_id = (SELECT f.folding FROM scored_collection f WHERE f.collection_id = %(collection_id)s::integer))


-- name: quality_as_of
-- Worked out from the log: what was stored then.
compute_quality(%(collection_id)s::integer, %(position)s::bigint, ARRAY(SELECT x.chunk_id FROM near x))


-- name: quality_none
(SELECT NULL::bigint AS chunk_id, NULL::real AS score WHERE false)


-- name: text_hash_any
-- What follows is filled in where all chunks of a collection have their vectors in its one space (`own`), or where chunks were
-- written in several and are found by their texts (`any`).
, x.text_hash


-- name: written_with_own
= e.id


-- name: written_with_any
IN (SELECT o.id FROM embedding o WHERE o.space_id = ANY ('{{{spaces}}}'::integer[]) AND o.text_hash = e.text_hash)


-- name: embedded_own
match m JOIN embedding e ON e.id = m.embedding_id


-- name: embedded_any
(SELECT o.text_hash, min(x.chunk_id) AS chunk_id FROM match x JOIN embedding o ON o.id = x.embedding_id GROUP BY o.text_hash) m
  JOIN embedding e ON e.space_id = {space_id} AND e.text_hash = m.text_hash


-- name: place_own
c.embedding_id


-- name: place_any
(SELECT min(y.id) FROM embedding o JOIN embedding y ON y.space_id = ANY ('{{{spaces}}}'::integer[]) AND y.text_hash = o.text_hash WHERE o.id = c.embedding_id)


-- name: visible_latest
(SELECT o.visible AND (NOT o.narrowed OR NOT EXISTS (
           SELECT FROM withheld w WHERE w.operation_id = o.id AND w.record_id = v.record_id))
       FROM operation o WHERE o.id = v.operation_id)
      AND NOT EXISTS (SELECT FROM seen_version n WHERE n.record_id = v.record_id AND n.version_id > v.version_id)


-- name: visible_as_of
-- The last word at or before the position, about the operation and about its record.
(SELECT o.visible FROM visibility_history o
       WHERE o.operation_id = v.operation_id AND o.from_position <= %(position)s::bigint ORDER BY o.from_position DESC LIMIT 1)
      AND coalesce((SELECT w.visible FROM record_visibility_history w
       WHERE w.operation_id = v.operation_id AND w.record_id = v.record_id AND w.from_position <= %(position)s::bigint
       ORDER BY w.from_position DESC LIMIT 1), true)
      AND NOT EXISTS (
        SELECT FROM version n
        WHERE n.record_id = v.record_id AND n.version_id > v.version_id
          AND (SELECT p.visible FROM visibility_history p
               WHERE p.operation_id = n.operation_id AND p.from_position <= %(position)s::bigint ORDER BY p.from_position DESC LIMIT 1)
          AND coalesce((SELECT w.visible FROM record_visibility_history w
               WHERE w.operation_id = n.operation_id AND w.record_id = n.record_id AND w.from_position <= %(position)s::bigint
               ORDER BY w.from_position DESC LIMIT 1), true))


-- name: visible_session
-- Own open operations come after everything published, among themselves in the order they were opened.
(SELECT o.id = ANY (%(own)s::bigint[]) OR o.visible AND (NOT o.narrowed OR NOT EXISTS (
           SELECT FROM withheld w WHERE w.operation_id = o.id AND w.record_id = v.record_id))
       FROM operation o WHERE o.id = v.operation_id)
      AND NOT EXISTS (
        SELECT FROM version n
        WHERE n.record_id = v.record_id AND n.operation_id = ANY (%(own)s::bigint[])
          AND (NOT v.operation_id = ANY (%(own)s::bigint[]) OR n.operation_id > v.operation_id))
      AND (v.operation_id = ANY (%(own)s::bigint[]) OR NOT EXISTS (
        SELECT FROM seen_version n WHERE n.record_id = v.record_id AND n.version_id > v.version_id))


-- name: heads_latest
SELECT h.version_id, h.record_id, h.operation_id FROM heads_at(%(collection_id)s::integer, NULL) h WHERE h.kind = 'document'


-- name: heads_as_of
SELECT h.version_id, h.record_id, h.operation_id FROM heads_at(%(collection_id)s::integer, %(position)s::bigint) h WHERE h.kind = 'document'


-- name: heads_session
SELECT DISTINCT ON (v.record_id) v.version_id, v.record_id, v.operation_id
  FROM record r JOIN version v ON v.record_id = r.id JOIN operation o ON o.id = v.operation_id
  WHERE r.collection_id = %(collection_id)s AND r.kind = 'document'
    AND (o.id = ANY (%(own)s::bigint[]) OR o.visible
         AND NOT (o.narrowed AND EXISTS (SELECT FROM withheld w WHERE w.operation_id = o.id AND w.record_id = v.record_id)))
  ORDER BY v.record_id, CASE WHEN o.id = ANY (%(own)s::bigint[]) THEN o.id END DESC NULLS LAST, v.version_id DESC


-- name: documents
-- Joined where there are filters, which speak of c, v and d.
JOIN document_version d ON d.version_id = v.version_id
