-- name: attach_destination
-- Makes a receiver known, or wanted again; the name that it is known by.
SELECT attach_lineage_destination(%(kind)s, %(address)s) AS name;

-- name: detach_destinations
-- Nothing more is put down for destinations that aren't among these.
SELECT detach_lineage_destinations(%(keep)s);

-- name: fill_destination
-- Puts down for a destination what isn't yet, in a transaction after the one that attached it. True when nothing is missing.
SELECT fill_lineage_destination(%(destination)s) AS complete;

-- name: due_deliveries
-- What a destination may be sent now, oldest first. An event waits while an earlier one of its operation has to, or isn't put
-- down for the destination yet.
SELECT d.event_id, d.attempts, e.operation_id
FROM lineage_delivery d
JOIN lineage_event e ON e.id = d.event_id
WHERE d.destination = %(destination)s AND d.state = 'pending' AND d.next_attempt_at <= clock_timestamp()
  AND NOT EXISTS (
    SELECT FROM lineage_event earlier
    LEFT JOIN lineage_delivery waiting ON waiting.event_id = earlier.id AND waiting.destination = d.destination
    WHERE earlier.operation_id = e.operation_id AND earlier.id < e.id
      AND (waiting.event_id IS NULL OR waiting.state = 'pending' AND waiting.next_attempt_at > clock_timestamp()))
ORDER BY d.event_id
LIMIT %(at_most)s;

-- name: seconds_until_next_attempt
-- How long until something is due for a destination; null when nothing is pending.
SELECT extract(epoch FROM min(next_attempt_at) - clock_timestamp())::float8 AS seconds
FROM lineage_delivery
WHERE destination = %(destination)s AND state = 'pending';

-- name: read_events
-- Everything that an event's rendering needs, from the log alone: of what may still change nothing. Of what an operation was made
-- from, an event tells what those before it of its run didn't. RUNNING events are some microseconds before the last one, as receivers
-- (Marquez) take what was said last by its time.
SELECT e.id AS event_id, e.event_type,
       e.event_time - interval '1 microsecond' * CASE WHEN e.event_type <> 'RUNNING' THEN 0 ELSE (
         SELECT count(*) FROM lineage_event r WHERE r.operation_id = e.operation_id AND r.event_type = 'RUNNING' AND r.part >= e.part)
       END AS event_time,
       o.id AS operation_id, o.position, o.kind, o.control, o.agent, o.session, o.run_id,
       o.lineage_run_id::text AS lineage_run_id, o.message, o.reason, o.counts, o.context, o.parameters, c.name AS collection,
       coalesce(o.position = (SELECT min(x.position) FROM operation x WHERE x.collection_id = o.collection_id), false)
         AS first_of_collection,
       coalesce(datasets.rows, '[]') AS datasets, coalesce(checks.rows, '[]') AS quality,
       coalesce(verdicts.rows, '[]') AS verdicts, coalesce(record_verdicts.rows, '[]') AS record_verdicts, plan.found AS plan,
       made_from.found AS made_from
FROM lineage_event e
JOIN operation o ON o.id = e.operation_id
LEFT JOIN collection c ON c.id = o.collection_id
LEFT JOIN LATERAL (
  SELECT jsonb_agg(jsonb_build_object('direction', d.direction, 'namespace', d.namespace, 'name', d.name, 'dimensions', s.dimensions)
                   ORDER BY d.direction, d.namespace, d.name) AS rows
  FROM operation_dataset d
  LEFT JOIN collection held ON d.name = 'recant.recant.' || held.name
  LEFT JOIN embedding_space s ON s.id = space_at(held.id, coalesce(o.position, o.base_position))
  WHERE d.operation_id = o.id
) datasets ON true
LEFT JOIN LATERAL (
  SELECT jsonb_agg(q.result -> 'expectations' ORDER BY q.id) AS rows FROM quality_check q WHERE q.operation_id = o.id
) checks ON e.event_type NOT IN ('START', 'RUNNING')
LEFT JOIN LATERAL (
  SELECT jsonb_agg(jsonb_build_object('operation_id', v.operation_id, 'run_id', target.lineage_run_id, 'shows', v.shows)
                   ORDER BY v.operation_id) AS rows
  FROM verdict v JOIN operation target ON target.id = v.operation_id
  WHERE v.control_id = o.id
) verdicts ON o.control AND e.event_type NOT IN ('START', 'RUNNING')
LEFT JOIN LATERAL (
  SELECT jsonb_agg(jsonb_build_object('operation_id', v.id, 'run_id', v.lineage_run_id, 'shows', v.shows, 'records', v.records)
                   ORDER BY v.id, v.shows) AS rows
  FROM (SELECT target.id, target.lineage_run_id, r.shows, count(*) AS records
        FROM record_verdict r JOIN operation target ON target.id = r.operation_id
        WHERE r.control_id = o.id GROUP BY target.id, r.shows) v
) record_verdicts ON o.control AND e.event_type NOT IN ('START', 'RUNNING')
LEFT JOIN LATERAL (
  SELECT jsonb_build_object(
    'planned_by', p.agent, 'approved_at', to_char(p.approved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'position', p.position, 'blast_radius', p.report -> 'blast_radius' #- '{operations}' #- '{sample}',
    'operations', CASE -- of many, only the first are described
      WHEN jsonb_array_length(p.report -> 'blast_radius' -> 'operations') <
           (SELECT sum(n.value::bigint) FROM jsonb_each_text(p.report -> 'blast_radius' -> 'counts') n) THEN p.report -> 'blast_radius' -> 'counts'
      ELSE (SELECT coalesce(jsonb_object_agg(a.relation, a.operations), '{}')
            FROM (SELECT x ->> 'relation' AS relation, count(*) AS operations
                  FROM jsonb_array_elements(p.report -> 'blast_radius' -> 'operations') x GROUP BY 1) a) END) AS found
  FROM rollback_plan p WHERE p.applied_as = o.id
) plan ON o.control AND e.event_type NOT IN ('START', 'RUNNING')
LEFT JOIN LATERAL (
  SELECT jsonb_build_object('total', min(b.total), 'first', min(b.place), 'rows', jsonb_agg(
           jsonb_build_object('operation_id', b.input_operation_id, 'run_id', made.lineage_run_id, 'class', b.class, 'records', b.records)
           ORDER BY b.place)) AS found
  FROM (SELECT *, count(*) OVER () AS total FROM lineage_built_on(o.id)) b
  JOIN operation made ON made.id = b.input_operation_id
  WHERE CASE WHEN e.event_type = 'RUNNING' THEN b.place > 1000 * (e.part - 1) AND b.place <= 1000 * e.part
             ELSE b.place > 1000 * (SELECT count(*) FROM lineage_event r WHERE r.operation_id = o.id AND r.event_type = 'RUNNING') END
  HAVING count(*) > 0
) made_from ON e.event_type IN ('RUNNING', 'COMPLETE')
WHERE e.id = ANY (%(events)s)
ORDER BY e.id;

-- name: commit_lazily
-- What became of an attempt needn't be on the disk at once: lost with the server, it is tried again. A writer's commit would
-- wait for the disk to be done with it.
SET LOCAL synchronous_commit = off

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
-- What each destination has had and is still owed: read from what is owed, however much was delivered.
SELECT n.name AS destination, n.address, n.attached, n.filled,
       waiting.pending, coalesce(had.delivered, 0) AS delivered, gone.dead, waiting.failing,
       oldest.seconds AS oldest_pending_seconds, waiting.next_attempt_seconds, had.last_delivered_at, last.error AS last_error
FROM lineage_destination n
LEFT JOIN lineage_tally had ON had.destination = n.name
CROSS JOIN LATERAL (
  SELECT count(*) AS pending, count(*) FILTER (WHERE d.attempts > 0) AS failing,
         extract(epoch FROM min(d.next_attempt_at) - clock_timestamp())::float8 AS next_attempt_seconds
  FROM lineage_delivery d
  WHERE d.destination = n.name AND d.state = 'pending'
) waiting
LEFT JOIN LATERAL (
  SELECT extract(epoch FROM clock_timestamp() - e.event_time)::float8 AS seconds
  FROM lineage_delivery d JOIN lineage_event e ON e.id = d.event_id
  WHERE d.destination = n.name AND d.state = 'pending' ORDER BY d.event_id LIMIT 1
) oldest ON true
CROSS JOIN LATERAL (
  SELECT count(*) AS dead FROM lineage_delivery d WHERE d.destination = n.name AND d.state = 'dead'
) gone
LEFT JOIN LATERAL (
  SELECT x.error FROM (
    (SELECT d.event_id, d.error FROM lineage_delivery d
     WHERE d.destination = n.name AND d.state = 'pending' AND d.error IS NOT NULL ORDER BY d.event_id DESC LIMIT 1)
    UNION ALL
    (SELECT d.event_id, d.error FROM lineage_delivery d
     WHERE d.destination = n.name AND d.state = 'dead' ORDER BY d.event_id DESC LIMIT 1)) x
  ORDER BY x.event_id DESC LIMIT 1
) last ON true
ORDER BY n.name;

-- name: relay_at_work
-- Whether a relay holds its lock on this database.
SELECT EXISTS (
  SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 7241170 AND objid = 1 AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS running;

-- name: find_dead
-- What was given up, oldest first, and why.
SELECT d.destination, d.event_id, e.operation_id, e.event_type, o.kind, o.agent, o.lineage_run_id::text AS run_id, d.attempts, d.error
FROM lineage_delivery d JOIN lineage_event e ON e.id = d.event_id JOIN operation o ON o.id = e.operation_id
WHERE d.state = 'dead'
ORDER BY d.event_id, d.destination
LIMIT %(at_most)s;

-- name: replay
-- Owed once more, from now on: what was given up, an operation's or a run's events, or everything. One row a destination.
WITH again AS (
  UPDATE lineage_delivery d SET state = 'pending', attempts = 0, next_attempt_at = clock_timestamp(), delivered_at = NULL, error = NULL
  FROM lineage_event e JOIN operation o ON o.id = e.operation_id
  WHERE e.id = d.event_id
    AND (%(destination)s::text IS NULL OR d.destination = %(destination)s)
    AND (NOT %(dead)s OR d.state = 'dead')
    AND (%(operation)s::bigint IS NULL OR o.id = %(operation)s)
    AND (%(run)s::text IS NULL OR o.run_id = %(run)s OR o.lineage_run_id::text = %(run)s)
  RETURNING d.destination
)
SELECT destination, count(*) AS events FROM again GROUP BY destination ORDER BY destination;

-- name: tell_the_relay
SELECT pg_notify('recant_lineage', 'replay');

-- name: find_events
-- Events in the order in which they came to be.
SELECT e.id AS event_id
FROM lineage_event e JOIN operation o ON o.id = e.operation_id
WHERE e.id > %(after)s
  AND (%(operation)s::bigint IS NULL OR o.id = %(operation)s)
  AND (%(run)s::text IS NULL OR o.run_id = %(run)s OR o.lineage_run_id::text = %(run)s)
ORDER BY e.id
LIMIT %(at_most)s;
