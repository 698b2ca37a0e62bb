-- Which position is meant, and whether it can still be answered.

-- name: position_at
SELECT coalesce(max(position), 0) AS position FROM operation WHERE life = 'published' AND closed_at <= %(time)s

-- name: find_tag
SELECT position FROM tag WHERE name = %(name)s

-- name: require_answerable
SELECT require_answerable(%(position)s)

-- name: horizon_position
SELECT horizon_position() AS position

-- name: undo_limits
-- Until when operations were promised to be undoable: what they wrote over is kept that long after they were published.
-- Where a reclaim has come past them earlier, the promise ended then. Tagged right before: no limit.
SELECT o.id, least(o.closed_at + make_interval(days => %(retention_days)s::integer),
                   CASE WHEN o.position <= h.position THEN r.closed_at END) AS undoable_until
FROM operation o LEFT JOIN horizon h ON true LEFT JOIN operation r ON r.id = h.operation_id
WHERE o.id = ANY (%(operations)s) AND o.life = 'published' AND o.kind NOT IN ('erase', 'reclaim')
  AND NOT EXISTS (SELECT FROM tag t WHERE t.position = o.position - 1)
