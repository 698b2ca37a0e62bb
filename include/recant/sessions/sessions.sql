-- Sessions, opened or only written in. Changes go through the functions of init-scripts/0009_sessions.sql.

-- name: open_session
SELECT open_session(%(name)s, %(agent)s, %(mode)s, %(max_records)s, %(max_operations)s, %(expires_in_seconds)s, %(message)s)

-- name: merge_session
SELECT operation_id, "position" FROM merge_session(%(name)s) ORDER BY "position"

-- name: discard_session
SELECT discard_session AS operation_id FROM discard_session(%(name)s, %(reason)s) ORDER BY 1

-- name: explores
SELECT EXISTS (SELECT FROM session WHERE name = %(name)s AND mode = 'exploration' AND closed_at IS NULL) AS explores

-- name: find_sessions
-- By name, or those with something open, or all; the latest first. Nothing is counted of sessions that aren't shown.
WITH named AS (
  SELECT name FROM session
  WHERE CASE WHEN %(name)s::text IS NULL THEN %(closed)s OR closed_at IS NULL ELSE name = %(name)s END
  UNION
  SELECT session FROM operation
  WHERE session IS NOT NULL AND CASE WHEN %(name)s::text IS NULL THEN %(closed)s OR life = 'open' ELSE session = %(name)s END
), shown AS (
  SELECT n.name, s.name IS NOT NULL AS registered, s.agent, s.mode, s.message, s.max_records, s.max_operations, s.expires_at, s.closed_at,
         s.outcome, coalesce(s.opened_at, (SELECT o.opened_at FROM operation o WHERE o.session = n.name ORDER BY o.id LIMIT 1)) AS opened_at
  FROM named n LEFT JOIN session s ON s.name = n.name
  ORDER BY opened_at DESC, n.name LIMIT %(limit)s
)
SELECT s.name, s.registered, coalesce(s.mode, 'normal') AS mode, s.agent, coalesce(s.message, '') AS message, s.opened_at, s.expires_at, s.closed_at,
       s.max_records, s.max_operations, coalesce(s.outcome, CASE WHEN s.expires_at <= clock_timestamp() THEN 'expired' ELSE 'open' END) AS state,
       coalesce(wrote.agents, '{}') AS agents, coalesce(held.open_operations, 0) AS open_operations, held.lease_until,
       cardinality(session_operations(s.name)) AS operations, count_records(session_operations(s.name)) AS records
FROM shown s
LEFT JOIN LATERAL (
  SELECT array_agg(DISTINCT o.agent ORDER BY o.agent) AS agents FROM operation o WHERE o.session = s.name AND NOT o.control
) wrote ON true
LEFT JOIN LATERAL (
  SELECT count(*) AS open_operations, min(l.until) AS lease_until
  FROM operation o JOIN lease l ON l.operation_id = o.id WHERE o.session = s.name AND o.life = 'open'
) held ON true
ORDER BY s.opened_at DESC, s.name

-- name: merge_obstacles
SELECT operation_id, obstacle, kind, key, expected, actual, message FROM merge_obstacles(%(name)s)

-- name: open_operations
SELECT id FROM operation WHERE session = %(name)s AND life = 'open' ORDER BY id

-- name: written_collections
SELECT DISTINCT c.space_id, e.dimensions
FROM operation o JOIN collection_space c ON c.collection_id = o.collection_id JOIN embedding_space e ON e.id = c.space_id
WHERE o.id = ANY (%(operation_ids)s)
