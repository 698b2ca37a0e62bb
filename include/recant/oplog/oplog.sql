-- The log's own statements. Changes of life go through the coordinator's functions (init-scripts/0005_coordinator.sql).

-- name: open_operation
SELECT open_operation(
  %(kind)s, %(agent)s, %(session)s, %(run_id)s, %(lineage_run_id)s, %(collection)s, %(message)s, %(parameters)s, %(context)s,
  %(datasets)s, %(last_wins)s, %(lease_seconds)s, %(open_key)s) AS operation_id

-- name: begin_batch
SELECT begin_batch(%(operation_id)s, %(key)s, %(lease_seconds)s) AS batch_id

-- name: finish_batch
SELECT finish_batch(%(batch_id)s, %(counts)s)

-- name: extend_lease
SELECT extend_lease(%(operation_id)s, %(lease_seconds)s)

-- name: hold_operation
SELECT hold_operation(%(operation_id)s, %(lease_seconds)s)

-- name: publish_operations
SELECT operation_id, "position" FROM publish_operations(%(operation_ids)s) ORDER BY "position"

-- name: refresh_quality
SELECT refresh_quality() AS changed

-- name: abort_operation
SELECT abort_operation(%(operation_id)s, %(reason)s, %(event)s) AS aborted

-- name: abort_expired
SELECT abort_expired AS operation_id FROM abort_expired()

-- name: log_position
SELECT log_position() AS position

-- name: find_operations
-- Newest first: open and aborted ones among the published by the time they were opened. Every condition is optional.
SELECT o.id, o.position, o.kind, o.agent, o.session, o.run_id, o.lineage_run_id::text, c.name AS collection, o.message, o.opened_at,
       CASE WHEN o.life = 'published' THEN o.closed_at END AS published_at, o.parameters, o.context, o.reason, o.digest,
       CASE WHEN o.life = 'open' THEN batch_counts(o.id) ELSE o.counts END AS counts,
       coalesce(l.held, false) AS held, l.until AS lease_until, coalesce(l.until < clock_timestamp(), false) AS lease_expired,
       CASE WHEN o.life <> 'published' THEN o.life::text
            WHEN o.visible THEN 'published'
            WHEN hidden.kind = 'quarantine' THEN 'quarantined'
            ELSE 'reverted' END AS state
FROM operation o
LEFT JOIN collection c ON c.id = o.collection_id
LEFT JOIN lease l ON l.operation_id = o.id AND o.life = 'open'
LEFT JOIN LATERAL (
  SELECT k.kind FROM verdict v JOIN operation k ON k.id = v.control_id
  WHERE v.operation_id = o.id AND k.visible AND o.life = 'published' AND NOT o.visible
  ORDER BY k.position DESC LIMIT 1
) hidden ON true
WHERE {conditions}
  AND (%(sources)s::text[] IS NULL AND %(documents)s::bigint[] IS NULL OR o.id IN ({wrote}))
  AND (%(before_position)s::bigint IS NULL OR o.position < %(before_position)s)
ORDER BY o.id DESC
LIMIT %(limit)s

-- name: select_published
-- What a selector picks for a rollback: published, writing operations; seen or not, oldest first. By document, those
-- that affirmed it as well as those that wrote it. `seen`: those of them that are.
SELECT coalesce(array_agg(x.id), '{{}}') AS operations, coalesce(array_agg(x.id) FILTER (WHERE x.visible), '{{}}') AS seen FROM (
SELECT o.id, o.visible
FROM operation o
LEFT JOIN collection c ON c.id = o.collection_id
WHERE o.life = 'published' AND NOT o.control
  AND {conditions}
  AND (%(sources)s::text[] IS NULL AND %(documents)s::bigint[] IS NULL OR o.id IN ({wrote}
    UNION
    SELECT d.operation_id FROM record r JOIN version v ON v.record_id = r.id JOIN dependency d ON d.input_version_id = v.version_id
    WHERE r.kind = 'document' AND (%(sources)s::text[] IS NULL OR r.key = ANY (%(sources)s))
      AND (%(documents)s::bigint[] IS NULL OR r.id = ANY (%(documents)s)) AND d.class = 'affirmed'))
ORDER BY o.position) x

-- name: conditions
-- Of a selector, about an operation o and its collection c.
(%(operations)s::bigint[] IS NULL OR o.id = ANY (%(operations)s))
  AND (%(runs)s::text[] IS NULL OR o.run_id = ANY (%(runs)s) OR o.lineage_run_id::text = ANY (%(runs)s))
  AND (%(agents)s::text[] IS NULL OR o.agent = ANY (%(agents)s))
  AND (%(sessions)s::text[] IS NULL OR o.session = ANY (%(sessions)s))
  AND (%(kinds)s::text[] IS NULL OR o.kind = ANY (%(kinds)s))
  AND (%(collections)s::text[] IS NULL OR c.name = ANY (%(collections)s))
  AND (%(since)s::timestamptz IS NULL OR o.closed_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR o.closed_at < %(until)s)
  AND (%(first_position)s::bigint IS NULL OR o.position >= %(first_position)s)
  AND (%(last_position)s::bigint IS NULL OR o.position <= %(last_position)s)
  AND (%(touching)s::text[] IS NULL OR o.id IN (
    SELECT v.operation_id FROM record r JOIN version v ON v.record_id = r.id
    WHERE r.kind = 'document' AND r.key = ANY (%(touching)s)
    UNION
    SELECT d.operation_id FROM record r JOIN version v ON v.record_id = r.id JOIN dependency d ON d.input_version_id = v.version_id
    WHERE r.kind = 'document' AND r.key = ANY (%(touching)s)))

-- name: wrote
-- Operations that wrote a version of a document.
SELECT v.operation_id FROM record r JOIN version v ON v.record_id = r.id
    WHERE r.kind = 'document' AND (%(sources)s::text[] IS NULL OR r.key = ANY (%(sources)s))
      AND (%(documents)s::bigint[] IS NULL OR r.id = ANY (%(documents)s))

-- name: known_operations
SELECT o.id, o.life::text AS life, o.control, o.kind, o.visible FROM operation o WHERE o.id = ANY (%(operations)s)

-- name: rejections_of
SELECT source, code, reason FROM rejection WHERE operation_id = %(operation_id)s ORDER BY source, code LIMIT %(limit)s

-- name: quality_checks_of
SELECT suite, success, result FROM quality_check WHERE operation_id = %(operation_id)s ORDER BY id

-- name: datasets_of
SELECT direction, namespace, name FROM operation_dataset WHERE operation_id = %(operation_id)s ORDER BY direction, namespace, name

-- name: verdicts_about
SELECT v.control_id, c.kind, c.agent, c.position, v.shows, c.visible AS in_effect
FROM verdict v JOIN operation c ON c.id = v.control_id WHERE v.operation_id = %(operation_id)s ORDER BY c.position

-- name: verdicts_of
SELECT operation_id, shows FROM verdict WHERE control_id = %(operation_id)s ORDER BY operation_id

-- name: record_verdicts_about
SELECT v.control_id, c.kind, c.agent, c.position, v.record_id, r.key AS source, v.shows, c.visible AS in_effect
FROM record_verdict v JOIN operation c ON c.id = v.control_id JOIN record r ON r.id = v.record_id
WHERE v.operation_id = %(operation_id)s ORDER BY c.position, r.key LIMIT %(limit)s

-- name: record_verdicts_of
SELECT v.operation_id, v.record_id, r.key AS source, v.shows FROM record_verdict v JOIN record r ON r.id = v.record_id
WHERE v.control_id = %(operation_id)s ORDER BY v.operation_id, r.key LIMIT %(limit)s

-- name: withheld_of
SELECT w.record_id, r.key AS source FROM withheld w JOIN record r ON r.id = w.record_id
WHERE w.operation_id = %(operation_id)s ORDER BY r.key LIMIT %(limit)s

-- name: visibility_history_of
SELECT from_position, visible FROM visibility_history WHERE operation_id = %(operation_id)s ORDER BY from_position

-- name: citations_of
-- Documents that its writer named, with the operation whose version of each that was.
SELECT r.key AS source, d.input_operation_id AS operation_id FROM dependency d
JOIN version v ON v.version_id = d.input_version_id JOIN record r ON r.id = v.record_id
WHERE d.operation_id = %(operation_id)s AND d.class = 'cited' ORDER BY source, operation_id LIMIT %(limit)s

-- name: searches_of
-- What its session was shown since the session's write before; `shown` are the operations whose versions these were.
SELECT s.id AS search_id, s.agent, c.name AS collection, s.query, s.position, to_json(s.searched_at) #>> '{}' AS searched_at,
  ARRAY(SELECT DISTINCT h.operation_id FROM session_read h WHERE h.search_id = s.id ORDER BY 1) AS shown
FROM session_search s JOIN collection c ON c.id = s.collection_id
WHERE s.operation_id = %(operation_id)s ORDER BY s.id LIMIT %(limit)s
