-- What the tables of an export hold, each as of one position: bound as %(position)s (null for the latest, which is quicker)
-- and %(at)s (always a number). %(collection_id)s null: of all collections. {filters} speak of c, v and d, as in a search.

-- name: scope
-- The last position, the collections asked for and the length of their vectors, in the snapshot that is exported.
SELECT log_position() AS position,
       (SELECT c.id FROM collection c WHERE c.name = %(collection)s) AS collection_id,
       ARRAY(SELECT c.name FROM collection c WHERE %(collection)s::text IS NULL OR c.name = %(collection)s ORDER BY c.name) AS collections,
       ARRAY(SELECT DISTINCT s.dimensions FROM collection c JOIN embedding_space s ON s.id = space_at(c.id, %(as_of)s::bigint)
             WHERE %(collection)s::text IS NULL OR c.name = %(collection)s ORDER BY 1) AS dimensions

-- name: prepare
SELECT set_config('TimeZone', 'UTC', true)

-- name: is_behind
-- Whether anything was published or taken back since a position that an export of the collection would show.
SELECT EXISTS (
  SELECT FROM visibility_history h JOIN operation o ON o.id = h.operation_id
  WHERE h.from_position > %(position)s AND NOT o.kind = ANY (%(kinds)s::text[])
    AND (%(collection)s::text IS NULL OR o.collection_id IS NULL
         OR o.collection_id = (SELECT c.id FROM collection c WHERE c.name = %(collection)s))) AS behind

-- name: sorted_rows
-- What is written of a table.
SELECT {shown} FROM ({rows}) AS t ORDER BY {order}

-- name: documents
SELECT k.name AS collection, v.record_id AS document_id, v.key AS source, d.title, d.format, d.chunk_count, d.token_count,
       encode(d.source_hash, 'hex') AS source_sha256, d.attributes, v.operation_id, o.position, o.agent, o.closed_at AS published_at
FROM heads_at(%(collection_id)s::integer, %(position)s::bigint) v
JOIN document_version d ON d.version_id = v.version_id
JOIN operation o ON o.id = v.operation_id
JOIN collection k ON k.id = o.collection_id
WHERE v.kind = 'document'{agents}{some_chunk}

-- name: some_chunk
-- A document passes the filters when one of its chunks does.
AND EXISTS (SELECT FROM chunk c WHERE c.version_id = v.version_id{filters})

-- name: chunks
-- With the vectors of the space that was in use then.
SELECT k.name AS collection, c.id AS chunk_id, v.record_id AS document_id, v.key AS source, d.title, c.index AS chunk_index, c.chunk_type,
       c.parent_headers, c.token_count, c.text, c.attributes, v.operation_id,
       CASE WHEN e.space_id = k.space_id THEN e.vector
            ELSE (SELECT x.vector FROM embedding x WHERE x.space_id = k.space_id AND x.text_hash = e.text_hash) END AS vector
FROM heads_at(%(collection_id)s::integer, %(position)s::bigint) v
JOIN document_version d ON d.version_id = v.version_id
JOIN chunk c ON c.version_id = v.version_id
JOIN operation o ON o.id = v.operation_id
JOIN (SELECT x.id, x.name, space_at(x.id, %(position)s::bigint) AS space_id FROM collection x OFFSET 0) k ON k.id = o.collection_id
LEFT JOIN embedding e ON e.id = c.embedding_id
WHERE v.kind = 'document'{agents}{filters}

-- name: scores
-- Worked out for the position, so that an export of an earlier one has the scores of then. Without a row: neutral.
SELECT k.name AS collection, c.id AS chunk_id, v.record_id AS document_id, v.key AS source, c.index AS chunk_index, q.score, q.feedback,
       q.access, q.freshness, q.pinned, v.operation_id
FROM collection k
CROSS JOIN LATERAL compute_quality(k.id, %(at)s::bigint, NULL) q
JOIN chunk c ON c.id = q.chunk_id
JOIN heads_at(%(collection_id)s::integer, %(position)s::bigint) v ON v.version_id = c.version_id
JOIN document_version d ON d.version_id = v.version_id
JOIN operation o ON o.id = v.operation_id
WHERE v.kind = 'document' AND (%(collection_id)s::integer IS NULL OR k.id = %(collection_id)s){agents}{filters}

-- name: agents
AND o.agent = ANY (%(agents)s::text[])

-- name: seen
-- Whether an operation o was seen at the position.
coalesce((SELECT s.visible FROM visibility_history s WHERE s.operation_id = o.id AND s.from_position <= %(at)s::bigint
          ORDER BY s.from_position DESC LIMIT 1), false)

-- name: operations
-- The log: what was taken back is in it, with its state. A control operation of no collection is there when it says
-- something of one of the collection's.
SELECT o.id AS operation_id, o.position, o.kind, o.agent, o.session, o.run_id, o.lineage_run_id::text AS lineage_run_id, k.name AS collection,
       CASE WHEN {seen} THEN 'published'
            WHEN (SELECT w.kind FROM verdict x JOIN operation w ON w.id = x.control_id
                  WHERE x.operation_id = o.id AND NOT x.shows AND w.position <= %(at)s::bigint
                    AND (SELECT s.visible FROM visibility_history s WHERE s.operation_id = w.id AND s.from_position <= %(at)s::bigint
                         ORDER BY s.from_position DESC LIMIT 1)
                  ORDER BY w.position DESC LIMIT 1) = 'quarantine' THEN 'quarantined'
            ELSE 'reverted' END AS state,
       o.message, o.opened_at, o.closed_at AS published_at, (o.counts ->> 'documents')::bigint AS documents, (o.counts ->> 'chunks')::bigint AS chunks,
       (o.counts ->> 'rejected')::bigint AS rejected, o.counts, o.parameters, o.context, o.digest
FROM operation o LEFT JOIN collection k ON k.id = o.collection_id
WHERE o.life = 'published' AND o.position <= %(at)s::bigint{agents}
  AND (%(collection_id)s::integer IS NULL OR o.collection_id = %(collection_id)s
       OR o.control AND o.collection_id IS NULL AND (
         EXISTS (SELECT FROM verdict x JOIN operation t ON t.id = x.operation_id WHERE x.control_id = o.id AND t.collection_id = %(collection_id)s)
         OR EXISTS (SELECT FROM record_verdict x JOIN operation t ON t.id = x.operation_id
                    WHERE x.control_id = o.id AND t.collection_id = %(collection_id)s)))

-- name: feedback
-- It counts while what it is about is seen.
SELECT k.name AS collection, v.key AS feedback_id, f.verdict, f.comment, f.given_by, t.key AS source, f.target_record_id AS document_id,
       f.chunk_index, c.id AS chunk_id, f.target_operation_id AS about_operation_id, h.version_id IS NOT NULL AS counts, v.operation_id,
       o.position, o.closed_at AS given_at
FROM heads_at(%(collection_id)s::integer, %(position)s::bigint) v
JOIN feedback f ON f.version_id = v.version_id
JOIN record t ON t.id = f.target_record_id
JOIN operation o ON o.id = v.operation_id
JOIN collection k ON k.id = o.collection_id
LEFT JOIN heads_at(%(collection_id)s::integer, %(position)s::bigint) h ON h.version_id = f.target_version_id
LEFT JOIN chunk c ON c.version_id = f.target_version_id AND c.index = f.chunk_index
WHERE v.kind = 'feedback'{agents}

-- name: dependencies
-- What was made from what: between operations that were both seen.
SELECT k.name AS collection, d.operation_id, d.input_operation_id, d.class, y.kind AS output_kind, y.key AS output, x.kind AS input_kind,
       x.key AS input, o.position, o.agent, o.closed_at AS published_at
FROM dependency d
JOIN operation o ON o.id = d.operation_id
LEFT JOIN collection k ON k.id = o.collection_id
LEFT JOIN version w ON w.version_id = d.version_id
LEFT JOIN record y ON y.id = w.record_id
JOIN version i ON i.version_id = d.input_version_id
JOIN record x ON x.id = i.record_id
WHERE o.life = 'published' AND o.position <= %(at)s::bigint AND {seen}
  AND (SELECT {seen} FROM operation o WHERE o.id = d.input_operation_id)
  AND (%(collection_id)s::integer IS NULL OR o.collection_id = %(collection_id)s){agents}

-- name: rejections
SELECT k.name AS collection, r.operation_id, r.source, r.code, r.reason, o.position, o.agent, o.closed_at AS published_at
FROM rejection r
JOIN operation o ON o.id = r.operation_id
LEFT JOIN collection k ON k.id = o.collection_id
WHERE o.life = 'published' AND o.position <= %(at)s::bigint
  AND (%(collection_id)s::integer IS NULL OR o.collection_id = %(collection_id)s){agents}

-- name: checks
-- What the gate said of each batch, an expectation a row.
SELECT k.name AS collection, q.id AS check_id, q.operation_id, q.suite, e.value ->> 'name' AS expectation, e.value ->> 'severity' AS severity,
       (e.value ->> 'success')::boolean AS success, (e.value ->> 'checked')::bigint AS checked, (e.value ->> 'unexpected')::bigint AS unexpected,
       o.position, o.agent, o.closed_at AS published_at
FROM quality_check q
JOIN operation o ON o.id = q.operation_id
LEFT JOIN collection k ON k.id = o.collection_id
CROSS JOIN LATERAL jsonb_array_elements(q.result -> 'expectations') e
WHERE o.life = 'published' AND o.position <= %(at)s::bigint
  AND (%(collection_id)s::integer IS NULL OR o.collection_id = %(collection_id)s){agents}

-- name: searches
-- Searches inside sessions, which alone are on record, and how many passages each showed.
SELECT k.name AS collection, s.id AS search_id, s.session, o.agent, s.query, s.position, s.searched_at,
       (SELECT count(*) FROM session_read r WHERE r.search_id = s.id) AS hits, s.operation_id
FROM session_search s
CROSS JOIN LATERAL (SELECT s.agent) o
JOIN collection k ON k.id = s.collection_id
WHERE s.position <= %(at)s::bigint AND (%(collection_id)s::integer IS NULL OR s.collection_id = %(collection_id)s){agents}
