-- name: register_destination
-- Makes a destination known; a new one is owed the whole history. Returns how many events that is.
SELECT register_lineage_destination(%(destination)s) AS owed;

-- name: find_destinations
-- Which of these destinations are known already.
SELECT name FROM lineage_destination WHERE name = ANY (%(destinations)s);

-- name: due_deliveries
-- What a destination may be sent now, oldest first. An event waits while an earlier one of its operation has to.
SELECT d.event_id, d.attempts, e.operation_id
FROM lineage_delivery d
JOIN lineage_event e ON e.id = d.event_id
WHERE d.destination = %(destination)s AND d.state = 'pending' AND d.next_attempt_at <= clock_timestamp()
  AND NOT EXISTS (
    SELECT FROM lineage_event earlier
    JOIN lineage_delivery waiting ON waiting.event_id = earlier.id AND waiting.destination = d.destination
    WHERE earlier.operation_id = e.operation_id AND earlier.id < e.id
      AND waiting.state = 'pending' AND waiting.next_attempt_at > clock_timestamp())
ORDER BY d.event_id
LIMIT %(at_most)s;

-- name: seconds_until_next_attempt
-- How long until something is due for a destination; null when nothing is pending.
SELECT extract(epoch FROM min(next_attempt_at) - clock_timestamp())::float8 AS seconds
FROM lineage_delivery
WHERE destination = %(destination)s AND state = 'pending';

-- name: read_events
-- Everything that an event's rendering needs, from the log alone.
SELECT e.id AS event_id, e.event_type, e.event_time,
       o.id AS operation_id, o.position, o.kind, o.agent, o.session, o.run_id, o.lineage_run_id::text AS lineage_run_id,
       o.message, o.reason, o.counts, o.context, c.name AS collection,
       coalesce(datasets.rows, '[]') AS datasets, coalesce(checks.rows, '[]') AS quality, coalesce(verdicts.rows, '[]') AS verdicts
FROM lineage_event e
JOIN operation o ON o.id = e.operation_id
LEFT JOIN collection c ON c.id = o.collection_id
LEFT JOIN LATERAL (
  SELECT jsonb_agg(jsonb_build_object('direction', d.direction, 'namespace', d.namespace, 'name', d.name, 'dimensions', s.dimensions)
                   ORDER BY d.direction, d.namespace, d.name) AS rows
  FROM operation_dataset d
  LEFT JOIN collection held ON d.name = 'recant.recant.' || held.name
  LEFT JOIN embedding_space s ON s.id = held.space_id
  WHERE d.operation_id = o.id
) datasets ON true
LEFT JOIN LATERAL (
  SELECT jsonb_agg(q.result -> 'expectations' ORDER BY q.id) AS rows FROM quality_check q WHERE q.operation_id = o.id
) checks ON e.event_type <> 'START'
LEFT JOIN LATERAL (
  SELECT jsonb_agg(jsonb_build_object('operation_id', v.operation_id, 'run_id', target.lineage_run_id, 'shows', v.shows)
                   ORDER BY v.operation_id) AS rows
  FROM verdict v JOIN operation target ON target.id = v.operation_id
  WHERE v.control_id = o.id
) verdicts ON o.control AND e.event_type <> 'START'
WHERE e.id = ANY (%(events)s)
ORDER BY e.id;

-- name: mark_delivered
UPDATE lineage_delivery SET state = 'delivered', attempts = attempts + 1, delivered_at = clock_timestamp(), error = NULL
WHERE destination = %(destination)s AND event_id = ANY (%(events)s) AND state = 'pending';

-- name: postpone
-- The next attempt comes after a pause; what went wrong is kept for whoever looks.
UPDATE lineage_delivery
SET attempts = attempts + 1, error = %(error)s, next_attempt_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE destination = %(destination)s AND event_id = ANY (%(events)s) AND state = 'pending';

-- name: mark_dead
-- The destination will never take it: no further attempt.
UPDATE lineage_delivery SET state = 'dead', attempts = attempts + 1, error = %(error)s
WHERE destination = %(destination)s AND event_id = ANY (%(events)s) AND state = 'pending';

-- name: take_the_relays_lock
-- One relay a database, for as long as its connection lives.
SELECT pg_try_advisory_lock(7241170, 1) AS taken;

-- name: listen
LISTEN recant_lineage;

-- name: lineage_status
-- What each destination has had and is still owed.
SELECT n.name AS destination,
       count(*) FILTER (WHERE d.state = 'pending') AS pending,
       count(*) FILTER (WHERE d.state = 'delivered') AS delivered,
       count(*) FILTER (WHERE d.state = 'dead') AS dead,
       extract(epoch FROM clock_timestamp() - min(e.event_time) FILTER (WHERE d.state = 'pending'))::float8 AS oldest_pending_seconds,
       (array_agg(d.error ORDER BY d.event_id DESC) FILTER (WHERE d.error IS NOT NULL))[1] AS last_error
FROM lineage_destination n
LEFT JOIN lineage_delivery d ON d.destination = n.name
LEFT JOIN lineage_event e ON e.id = d.event_id
GROUP BY n.name
ORDER BY n.name;
