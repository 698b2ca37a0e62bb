-- What is measured. Each statement reads what is open, what is within the window, or PostgreSQL's own statistics: none
-- reads through a table that grows with the knowledge.

-- name: record_activity
SELECT record_activity(%(what)s, %(minute)s, %(calls)s, %(seconds)s, %(buckets)s)

-- name: limit_time
-- Whoever asks how things are doesn't make them worse.
SELECT set_config('statement_timeout', '15s', true), set_config('jit', 'off', true)

-- name: log
-- Where the log stands, and how long ago it moved.
SELECT o.position, extract(epoch FROM clock_timestamp() - o.closed_at)::float8 AS age_seconds
FROM operation o WHERE o.position IS NOT NULL ORDER BY o.position DESC LIMIT 1

-- name: published
-- Operations published within the window, by kind. From the newest back, so that only the window is read.
SELECT o.kind, count(*) AS operations, avg(extract(epoch FROM o.closed_at - o.opened_at))::float8 AS mean_seconds,
  max(extract(epoch FROM o.closed_at - o.opened_at))::float8 AS longest_seconds,
  sum((o.counts ->> 'documents')::numeric)::float8 AS documents, sum((o.counts ->> 'chunks')::numeric)::float8 AS chunks
FROM operation o
WHERE o.position > coalesce((
  SELECT p.position FROM operation p WHERE p.position IS NOT NULL AND p.closed_at <= clock_timestamp() - make_interval(secs => %(window)s)
  ORDER BY p.position DESC LIMIT 1), 0)
GROUP BY o.kind ORDER BY o.kind

-- name: aborted
-- Operations given up within the window, and those among them that had lost a race against another write or an undo.
SELECT count(*) AS aborted, count(*) FILTER (WHERE o.reason ~ '(WriteConflict|InputWithdrawn)') AS conflicts,
  count(*) FILTER (WHERE o.reason ~ 'GateFailed') AS gate, count(*) FILTER (WHERE o.reason ~ 'lease ran out') AS leases
FROM operation o WHERE o.life = 'aborted' AND o.closed_at > clock_timestamp() - make_interval(secs => %(window)s)

-- name: open_operations
SELECT count(*) AS open, count(*) FILTER (WHERE l.held) AS held, count(*) FILTER (WHERE l.until < clock_timestamp()) AS expired,
  extract(epoch FROM clock_timestamp() - min(o.opened_at) FILTER (WHERE NOT l.held))::float8 AS oldest_seconds
FROM operation o JOIN lease l ON l.operation_id = o.id WHERE o.life = 'open'

-- name: collections
-- How long ago each collection was written to.
SELECT c.name AS collection, extract(epoch FROM clock_timestamp() - last.closed_at)::float8 AS age_seconds
FROM collection c
CROSS JOIN LATERAL (SELECT o.closed_at FROM operation o WHERE o.collection_id = c.id AND o.position IS NOT NULL ORDER BY o.position DESC LIMIT 1) last
ORDER BY c.name

-- name: lineage
-- What each destination that is attached is owed, counted to a bound, and what it will never take.
SELECT d.name AS destination,
  (SELECT count(*) FROM (SELECT FROM lineage_delivery x WHERE x.destination = d.name AND x.state = 'pending' LIMIT 100000) t) AS pending,
  (SELECT count(*) FROM (SELECT FROM lineage_delivery x WHERE x.destination = d.name AND x.state = 'dead' LIMIT 100000) t) AS dead,
  coalesce((SELECT extract(epoch FROM clock_timestamp() - e.event_time)
   FROM lineage_delivery x JOIN lineage_event e ON e.id = x.event_id
   WHERE x.destination = d.name AND x.state = 'pending' ORDER BY x.event_id LIMIT 1), 0)::float8 AS oldest_seconds
FROM lineage_destination d WHERE d.attached ORDER BY d.name

-- name: plans
-- Plans that could be applied now, and those that await an answer because something was proposed.
SELECT count(*) AS open, count(*) FILTER (WHERE EXISTS (SELECT FROM proposal q WHERE q.plan_id = p.id)) AS proposed
FROM rollback_plan p WHERE p.created_at > now() - interval '31 days' AND plan_life(p) IN ('open', 'approved')

-- name: sessions
SELECT count(*) AS open FROM session WHERE closed_at IS NULL

-- name: horizon
-- How far back undoing goes: by the log's horizon, and how long ago that position was.
SELECT h.position, extract(epoch FROM clock_timestamp() - o.closed_at)::float8 AS age_seconds
FROM horizon h LEFT JOIN operation o ON o.position = h.position

-- name: oldest
-- Until something was reclaimed, undoing goes back to the first operation.
SELECT extract(epoch FROM clock_timestamp() - o.closed_at)::float8 AS age_seconds FROM operation o WHERE o.position = 1

-- name: tables
-- Sizes and estimates of the tables, from PostgreSQL's statistics.
SELECT c.relname AS name, pg_table_size(c.oid)::float8 AS table_bytes, pg_indexes_size(c.oid)::float8 AS index_bytes,
  greatest(c.reltuples, s.n_live_tup, 0)::float8 AS rows,
  CASE WHEN s.n_live_tup + s.n_dead_tup > 10000 THEN s.n_dead_tup::float8 / (s.n_live_tup + s.n_dead_tup) ELSE 0 END::float8 AS dead_ratio
FROM pg_class c JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE c.relnamespace = 'recant'::regnamespace AND c.relkind = 'r' ORDER BY c.relname

-- name: server
SELECT pg_database_size(current_database())::float8 AS database_bytes,
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::float8 AS connections,
  current_setting('max_connections')::float8 AS connections_allowed,
  (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - a.xact_start)), 0) FROM pg_stat_activity a
   WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid())::float8 AS longest_transaction_seconds,
  (SELECT age(d.datfrozenxid) FROM pg_database d WHERE d.datname = current_database())::float8 AS transaction_age,
  (SELECT deadlocks FROM pg_stat_database WHERE datname = current_database())::float8 AS deadlocks

-- name: vector_indexes
-- Each space's index: size, what is outside of it, how far tending is behind, and what the last check of recall said.
SELECT s.id::text AS space, s.model, i.oid IS NOT NULL AS indexed, coalesce(pg_relation_size(i.oid), 0)::float8 AS bytes,
  greatest(i.reltuples, 0)::float8 AS entries, coalesce(x.outside, 0)::float8 AS outside, x.recall,
  extract(epoch FROM clock_timestamp() - x.checked_at)::float8 AS checked_seconds,
  CASE WHEN coalesce(x.outside, 0) > 0 THEN greatest(coalesce((SELECT max(o.position) FROM operation o WHERE o.control), 0) - x.tended_position, 0) ELSE 0 END::float8 AS untended,
  CASE WHEN x.built_bytes > 0 AND x.built_entries > 1000 AND i.reltuples > 1000
       THEN greatest(pg_relation_size(i.oid) / i.reltuples / (x.built_bytes::float8 / x.built_entries) - 1, 0) END::float8 AS bloat
FROM embedding_space s LEFT JOIN vector_index x ON x.space_id = s.id
LEFT JOIN pg_class i ON i.oid = to_regclass('recant.embedding_vector_' || s.id)
ORDER BY s.id

-- name: backups
SELECT b.kind, extract(epoch FROM clock_timestamp() - max(b.taken_at))::float8 AS age_seconds FROM backup b GROUP BY b.kind ORDER BY b.kind

-- name: activity
SELECT what, calls, seconds, buckets FROM activity ORDER BY what

-- name: recent_activity
-- The minutes within the window, by kind.
SELECT what, calls, seconds, buckets FROM activity_minute
WHERE minute > clock_timestamp() - make_interval(secs => %(window)s) ORDER BY what, minute

-- name: store_health
SELECT store_health(%(metrics)s, %(days)s) AS taken_at

-- name: settle_alerts
SELECT * FROM settle_alerts(%(breaches)s)

-- name: find_alerts
-- Those that stand, pending ones first seen last; with %(all)s the resolved ones too, newest first.
SELECT * FROM alert WHERE resolved_at IS NULL OR %(all)s ORDER BY resolved_at DESC NULLS FIRST, seen_at DESC, id DESC LIMIT %(limit)s

-- name: history
SELECT taken_at, (metrics ->> %(series)s::text)::float8 AS value FROM health_sample
WHERE taken_at >= %(since)s AND metrics ? %(series)s::text ORDER BY taken_at DESC LIMIT %(limit)s

-- name: last_sample
SELECT taken_at FROM health_sample ORDER BY taken_at DESC LIMIT 1


-- name: relevance
-- The last evaluation of each series, and how far its nDCG is below the best of the ten before it.
WITH last AS (
  SELECT DISTINCT ON (collection_id, mode, queries_digest, k) id, collection_id, mode, queries_name, queries_digest, k,
    (measures ->> 'ndcg')::float8 AS ndcg
  FROM evaluation WHERE evaluated_at > clock_timestamp() - interval '90 days'
  ORDER BY collection_id, mode, queries_digest, k, id DESC)
SELECT DISTINCT ON (c.name, l.mode, l.queries_name) c.name AS collection, l.mode, l.queries_name AS queries, l.ndcg,
  greatest(0, coalesce((SELECT max(b.ndcg) FROM (
    SELECT (e.measures ->> 'ndcg')::float8 AS ndcg FROM evaluation e
    WHERE e.collection_id = l.collection_id AND e.mode = l.mode AND e.queries_digest = l.queries_digest AND e.k = l.k AND e.id < l.id
    ORDER BY e.id DESC LIMIT 10) b) - l.ndcg, 0)) AS drop
FROM last l JOIN collection c ON c.id = l.collection_id
ORDER BY c.name, l.mode, l.queries_name, l.id DESC

-- name: last_audits
-- The last audit of each collection.
SELECT c.name AS collection, extract(epoch FROM clock_timestamp() - a.ended_at)::float8 AS age_seconds, (NOT a.success)::int AS failed,
  a.failing_documents, (SELECT coalesce(sum((e ->> 'unexpected')::bigint), 0)::float8 FROM jsonb_array_elements(a.expectations) e) AS failing_rows,
  (a.summary ->> 'reject_rate')::float8 AS reject_rate, (a.summary ->> 'drift_p_value')::float8 AS drift_p_value
FROM collection c
CROSS JOIN LATERAL (SELECT * FROM audit x WHERE x.collection_id = c.id ORDER BY x.id DESC LIMIT 1) a
ORDER BY c.name

-- name: stale_artifacts
-- Of the last hundred places that something was written to.
SELECT s.kind, count(*) FILTER (WHERE s.state IN ('stale', 'erased')) AS stale
FROM artifact_state s
WHERE s.id IN (SELECT max(a.id) FROM artifact a WHERE a.removed_at IS NULL GROUP BY a.path ORDER BY max(a.id) DESC LIMIT 100)
GROUP BY s.kind ORDER BY s.kind
