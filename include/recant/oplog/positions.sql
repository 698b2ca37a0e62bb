-- Which position is meant, and whether it can still be answered.

-- name: position_at
SELECT coalesce(max(position), 0) AS position FROM operation WHERE life = 'published' AND closed_at <= %(time)s

-- name: find_tag
SELECT position FROM tag WHERE name = %(name)s

-- name: require_answerable
SELECT require_answerable_of(%(position)s, %(collection)s)

-- name: horizon_position
SELECT horizon_position() AS position

-- name: undo_limits
-- Until when operations were promised to be undoable: what they wrote over is kept that long after they were published, by
-- the shortest of the rules of its collection (of a control operation: of those that it spoke of), or the installation's.
-- Where a reclaim has come past them earlier, the promise ended then. Tagged right before: no limit.
WITH rule AS MATERIALIZED (
  SELECT r.collection_id, min(r.history_days) AS shortest, bool_or(r.classification = '') AS covers_all
  FROM retention_rules() r WHERE r.history_days IS NOT NULL GROUP BY r.collection_id
)
SELECT o.id, least(o.closed_at + make_interval(days => least(own.shortest, CASE WHEN own.covers_all THEN NULL ELSE %(retention_days)s::integer END)),
                   CASE WHEN o.position <= horizon_of(o.collection_id) THEN coalesce(l.closed_at, r.closed_at) END) AS undoable_until
FROM operation o LEFT JOIN horizon h ON true LEFT JOIN operation r ON r.id = h.operation_id
LEFT JOIN collection_horizon k ON k.collection_id = o.collection_id LEFT JOIN operation l ON l.id = k.operation_id
LEFT JOIN LATERAL (
  SELECT min(x.shortest) AS shortest, bool_and(x.covers_all) AND o.collection_id IS NOT NULL AS covers_all FROM rule x
  WHERE x.collection_id = o.collection_id OR (o.control AND o.collection_id IS NULL AND (
    EXISTS (SELECT FROM verdict v JOIN operation w ON w.id = v.operation_id WHERE v.control_id = o.id AND w.collection_id = x.collection_id)
    OR EXISTS (SELECT FROM record_verdict v JOIN operation w ON w.id = v.operation_id WHERE v.control_id = o.id AND w.collection_id = x.collection_id)))
) own ON true
WHERE o.id = ANY (%(operations)s) AND o.life = 'published' AND o.kind NOT IN ('erase', 'reclaim')
  AND NOT EXISTS (SELECT FROM tag t WHERE t.position = o.position - 1)
