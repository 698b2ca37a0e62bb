-- Upkeep and monitoring: what is measured, which alerts stand, which vectors the vector index holds, which backups there are.

SET ROLE recant_owner;
SET search_path = recant, public;

-- Monitoring. Nothing here grows with the knowledge: minutes, samples and alerts are pruned by age.

CREATE TABLE activity (
  what    text PRIMARY KEY CHECK (what ~ '^[a-z][a-z_]*$'),
  calls   bigint NOT NULL,
  seconds double precision NOT NULL,
  buckets bigint[] NOT NULL
);
COMMENT ON TABLE activity IS 'Calls since the beginning, how long they took together, and how many took at most so long (bounds: recant.monitoring.activity).';

CREATE TABLE activity_minute (
  what    text NOT NULL,
  minute  timestamptz NOT NULL,
  calls   bigint NOT NULL,
  seconds double precision NOT NULL,
  buckets bigint[] NOT NULL,
  PRIMARY KEY (what, minute)
);
COMMENT ON TABLE activity_minute IS 'The same by the minute, for some days.';

CREATE TABLE health_sample (
  taken_at timestamptz PRIMARY KEY,
  metrics  jsonb NOT NULL
);
COMMENT ON TABLE health_sample IS 'What was measured at a time: an object of values by series, name{label="value"}.';

CREATE TABLE alert (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  rule        text NOT NULL,
  series      text NOT NULL,
  severity    text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  summary     text NOT NULL,
  value       double precision NOT NULL,
  threshold   double precision NOT NULL,
  seen_at     timestamptz NOT NULL,
  fired_at    timestamptz,
  resolved_at timestamptz,
  CHECK (resolved_at IS NULL OR fired_at IS NOT NULL)
);
COMMENT ON TABLE alert IS 'pending (past its threshold, not for long enough yet) -> firing -> resolved. A pending one that passes leaves nothing.';
CREATE UNIQUE INDEX alert_standing ON alert (rule, series) WHERE resolved_at IS NULL;
CREATE INDEX alert_resolved ON alert (resolved_at) WHERE resolved_at IS NOT NULL;

CREATE INDEX operation_aborted ON operation (closed_at) WHERE life = 'aborted';

-- What a process counted within a minute is added up. Nobody waits for the disk because of it.
CREATE FUNCTION record_activity(p_what text, p_minute timestamptz, p_calls bigint, p_seconds double precision, p_buckets bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  INSERT INTO activity AS t (what, calls, seconds, buckets) VALUES (p_what, p_calls, p_seconds, p_buckets)
  ON CONFLICT (what) DO UPDATE SET calls = t.calls + excluded.calls, seconds = t.seconds + excluded.seconds,
    buckets = ARRAY(SELECT coalesce(x.a, 0) + coalesce(x.b, 0) FROM unnest(t.buckets, excluded.buckets) WITH ORDINALITY AS x (a, b, n) ORDER BY x.n);
  INSERT INTO activity_minute AS t (what, minute, calls, seconds, buckets)
  VALUES (p_what, date_trunc('minute', p_minute), p_calls, p_seconds, p_buckets)
  ON CONFLICT (what, minute) DO UPDATE SET calls = t.calls + excluded.calls, seconds = t.seconds + excluded.seconds,
    buckets = ARRAY(SELECT coalesce(x.a, 0) + coalesce(x.b, 0) FROM unnest(t.buckets, excluded.buckets) WITH ORDINALITY AS x (a, b, n) ORDER BY x.n);
END $$;

-- Keeps a sample, and forgets samples, minutes and resolved alerts that are older than so many days.
CREATE FUNCTION store_health(p_metrics jsonb, p_days double precision) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  taken timestamptz := clock_timestamp();
  oldest timestamptz := taken - make_interval(secs => p_days * 86400);
BEGIN
  INSERT INTO health_sample (taken_at, metrics) VALUES (taken, p_metrics) ON CONFLICT DO NOTHING;
  DELETE FROM health_sample WHERE taken_at < oldest;
  DELETE FROM activity_minute WHERE minute < oldest;
  DELETE FROM alert WHERE resolved_at < oldest;
  RETURN taken;
END $$;

-- Compares the thresholds that are passed now with the alerts that stand. Returns the alerts that changed: began to fire,
-- or were resolved. One at a time: two checks at once don't both tell.
CREATE FUNCTION settle_alerts(p_breaches jsonb) RETURNS SETOF alert
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  moment timestamptz;
BEGIN
  PERFORM pg_advisory_xact_lock(7241169, 251);
  moment := clock_timestamp();
  INSERT INTO alert AS a (rule, series, severity, summary, value, threshold, seen_at)
  SELECT b.rule, b.series, b.severity, b.summary, b.value, b.threshold, moment
  FROM jsonb_to_recordset(p_breaches) AS b (rule text, series text, severity text, summary text, value float8, threshold float8)
  ON CONFLICT (rule, series) WHERE resolved_at IS NULL
  DO UPDATE SET severity = excluded.severity, summary = excluded.summary, value = excluded.value, threshold = excluded.threshold;
  RETURN QUERY
    UPDATE alert a SET fired_at = moment
    FROM jsonb_to_recordset(p_breaches) AS b (rule text, series text, for_seconds float8)
    WHERE a.rule = b.rule AND a.series = b.series AND a.resolved_at IS NULL AND a.fired_at IS NULL
      AND a.seen_at + make_interval(secs => b.for_seconds) <= moment
    RETURNING a.*;
  DELETE FROM alert a WHERE a.fired_at IS NULL AND NOT EXISTS (
    SELECT FROM jsonb_to_recordset(p_breaches) AS b (rule text, series text) WHERE b.rule = a.rule AND b.series = a.series);
  RETURN QUERY
    UPDATE alert a SET resolved_at = moment
    WHERE a.fired_at IS NOT NULL AND a.resolved_at IS NULL AND NOT EXISTS (
      SELECT FROM jsonb_to_recordset(p_breaches) AS b (rule text, series text) WHERE b.rule = a.rule AND b.series = a.series)
    RETURNING a.*;
END $$;

-- The vector index is a projection: it holds the embeddings that something visible or open needs. Taken out is what only
-- withdrawn, superseded or aborted versions use. A search asks the index only where nothing that it could be shown is
-- outside; while something may be, it compares everything.

ALTER TABLE embedding ADD COLUMN indexed boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN embedding.indexed IS 'Whether the vector index of its space holds it.';
CREATE INDEX embedding_outside ON embedding (space_id, id) WHERE NOT indexed;

CREATE TABLE vector_index (
  space_id        integer PRIMARY KEY REFERENCES embedding_space,
  tended_position bigint NOT NULL DEFAULT 0,
  tended_at       timestamptz,
  generation      bigint NOT NULL DEFAULT 0,
  outside         bigint NOT NULL DEFAULT 0,
  built_bytes     bigint,
  built_entries   bigint,
  built_at        timestamptz,
  recall          double precision CHECK (recall BETWEEN 0 AND 1),
  recall_queries  integer,
  checked_at      timestamptz
);
COMMENT ON TABLE vector_index IS 'How each space''s vector index stands.';
COMMENT ON COLUMN vector_index.tended_position IS 'At this position all that was visible was in the index. What was written since is put in as it is written; only a control operation published later can show something that is outside.';
COMMENT ON COLUMN vector_index.generation IS 'Rises with each share that is taken out.';
COMMENT ON COLUMN vector_index.outside IS 'Embeddings outside, never fewer than there are.';

-- Whether something visible or open uses an embedding.
CREATE FUNCTION is_needed(p_embedding bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT EXISTS (
    SELECT FROM chunk c JOIN version v ON v.version_id = c.version_id
    WHERE c.embedding_id = p_embedding AND (
      (SELECT o.life = 'open' FROM operation o WHERE o.id = v.operation_id)
      OR EXISTS (SELECT FROM seen_version s WHERE s.version_id = v.version_id)
         AND NOT EXISTS (SELECT FROM seen_version n WHERE n.record_id = v.record_id AND n.version_id > v.version_id)))
$$;

-- A candidate for leaving: no head of any collection, and no open operation, has a chunk with it. In one pass over all.
CREATE FUNCTION surplus_embeddings(p_space integer) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH needed AS MATERIALIZED (
    SELECT c.embedding_id FROM heads_at(NULL, NULL) h JOIN chunk c ON c.version_id = h.version_id WHERE h.kind = 'document'
    UNION
    SELECT c.embedding_id FROM operation o JOIN version v ON v.operation_id = o.id JOIN chunk c ON c.version_id = v.version_id WHERE o.life = 'open'
  )
  SELECT e.id FROM embedding e LEFT JOIN needed n ON n.embedding_id = e.id
  WHERE e.space_id = p_space AND e.indexed AND n.embedding_id IS NULL ORDER BY e.id
$$;

-- Outside, and needed again.
CREATE FUNCTION missing_embeddings(p_space integer) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT e.id FROM embedding e WHERE e.space_id = p_space AND NOT e.indexed AND is_needed(e.id) ORDER BY e.id
$$;

-- Takes some out. Whoever is writing a chunk with one holds its row, so that it is passed over here; whoever comes later
-- waits for this, and puts it back (index_again). The second look is a statement of its own, younger than the locks.
CREATE FUNCTION leave_index(p_space integer, p_embeddings bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  locked bigint[];
  gone bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'recant tends its index under READ COMMITTED only' USING ERRCODE = 'RC001';
  END IF;
  locked := ARRAY(SELECT e.id FROM embedding e WHERE e.id = ANY (p_embeddings) AND e.space_id = p_space AND e.indexed ORDER BY e.id FOR UPDATE SKIP LOCKED);
  UPDATE embedding e SET indexed = false WHERE e.id = ANY (locked) AND NOT is_needed(e.id);
  GET DIAGNOSTICS gone = ROW_COUNT;
  UPDATE vector_index SET generation = generation + 1, outside = outside + gone WHERE space_id = p_space;
  RETURN gone;
END $$;

CREATE FUNCTION enter_index(p_space integer, p_embeddings bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  entered bigint;
BEGIN
  PERFORM FROM embedding e WHERE e.id = ANY (p_embeddings) AND e.space_id = p_space AND NOT e.indexed ORDER BY e.id FOR NO KEY UPDATE;
  UPDATE embedding e SET indexed = true WHERE e.id = ANY (p_embeddings) AND e.space_id = p_space AND NOT e.indexed;
  GET DIAGNOSTICS entered = ROW_COUNT;
  RETURN entered;
END $$;

-- A chunk's embedding is in the index from its writing on. The foreign key has locked its row before this runs.
CREATE FUNCTION index_again() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM embedding WHERE NOT indexed) THEN
    PERFORM FROM embedding e WHERE e.id IN (SELECT a.embedding_id FROM added a) AND NOT e.indexed ORDER BY e.id FOR NO KEY UPDATE;
    UPDATE embedding e SET indexed = true WHERE e.id IN (SELECT a.embedding_id FROM added a) AND NOT e.indexed;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER index_again AFTER INSERT ON chunk REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION index_again();

-- One tending at a time, for as long as the connection lives. False: another is at work.
CREATE FUNCTION begin_tending(p_space integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  IF NOT pg_try_advisory_lock(7241169, 252) THEN
    RETURN false;
  END IF;
  INSERT INTO vector_index (space_id) VALUES (p_space) ON CONFLICT DO NOTHING;
  RETURN true;
END $$;

-- What was visible at p_position is in the index.
CREATE FUNCTION end_tending(p_space integer, p_position bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  left_out bigint;
BEGIN
  left_out := (SELECT count(*) FROM embedding WHERE space_id = p_space AND NOT indexed);
  UPDATE vector_index SET tended_position = p_position, tended_at = clock_timestamp(), outside = left_out WHERE space_id = p_space;
  RETURN left_out;
END $$;

-- What an interrupted REINDEX CONCURRENTLY left: writers keep it up, nobody reads it. The caller is the one that tends.
CREATE FUNCTION drop_broken_indexes() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  broken name;
  dropped bigint := 0;
BEGIN
  FOR broken IN SELECT c.relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
                WHERE i.indrelid = 'recant.embedding'::regclass AND NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$' LOOP
    EXECUTE format('DROP INDEX recant.%I', broken);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$;

CREATE FUNCTION record_recall(p_space integer, p_recall double precision, p_queries integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  INSERT INTO vector_index (space_id, recall, recall_queries, checked_at) VALUES (p_space, p_recall, p_queries, clock_timestamp())
  ON CONFLICT (space_id) DO UPDATE SET recall = excluded.recall, recall_queries = excluded.recall_queries, checked_at = excluded.checked_at
$$;

-- How large the index is when it is fresh: what its later size is compared with.
CREATE FUNCTION record_build(p_space integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  INSERT INTO vector_index (space_id, built_bytes, built_entries, built_at)
  SELECT p_space, pg_relation_size(i.oid), i.reltuples::bigint, clock_timestamp() FROM pg_class i WHERE i.oid = to_regclass('recant.embedding_vector_' || p_space)
  ON CONFLICT (space_id) DO UPDATE SET built_bytes = excluded.built_bytes, built_entries = excluded.built_entries, built_at = excluded.built_at
$$;

CREATE OR REPLACE FUNCTION build_vector_index(p_space integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  name text := 'embedding_vector_' || p_space;
  dims integer;
BEGIN
  SELECT dimensions INTO STRICT dims FROM embedding_space WHERE id = p_space;
  IF to_regclass('recant.' || name) IS NULL THEN
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON recant.embedding USING hnsw ((vector::halfvec(%s)) halfvec_ip_ops) WHERE space_id = %s AND indexed',
                   name, dims, p_space);
    PERFORM record_build(p_space);
  END IF;
  RETURN name;
END $$;

-- Indexes made before know nothing of what is outside: they are built anew.
DO $$
DECLARE
  space integer;
BEGIN
  PERFORM set_config('maintenance_work_mem', '1GB', true);
  FOR space IN SELECT s.id FROM embedding_space s WHERE to_regclass('recant.embedding_vector_' || s.id) IS NOT NULL LOOP
    EXECUTE format('DROP INDEX recant.%I', 'embedding_vector_' || space);
    PERFORM build_vector_index(space);
  END LOOP;
END $$;

-- Searches of sessions, once nobody can come to ask about them: older than p_before, taken by a write that is as old, or by
-- none in a session that isn't open.
CREATE INDEX session_search_time ON session_search USING brin (searched_at);

CREATE FUNCTION prune_searches(p_before timestamptz, p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  pruned bigint;
BEGIN
  DELETE FROM session_search WHERE id IN (
    SELECT s.id FROM session_search s LEFT JOIN operation o ON o.id = s.operation_id
    WHERE s.searched_at < p_before
      AND CASE WHEN s.operation_id IS NULL
               THEN NOT EXISTS (SELECT FROM session x WHERE x.name = s.session AND x.closed_at IS NULL)
                    AND NOT EXISTS (SELECT FROM operation w WHERE w.session = s.session AND w.life = 'open')
               ELSE o.closed_at < p_before END
    LIMIT p_limit);
  GET DIAGNOSTICS pruned = ROW_COUNT;
  RETURN pruned;
END $$;

CREATE TABLE backup (
  name       text PRIMARY KEY,
  kind       text NOT NULL CHECK (kind IN ('logical', 'physical')),
  place      text NOT NULL,
  position   bigint NOT NULL,
  taken_at   timestamptz NOT NULL,
  seconds    double precision NOT NULL,
  size_bytes bigint NOT NULL
);
COMMENT ON TABLE backup IS 'Backups that were made of this database, whether or not they are still there. The backup''s own manifest says the same, and more.';
CREATE INDEX backup_taken_at ON backup (taken_at);

CREATE FUNCTION record_backup(p_name text, p_kind text, p_place text, p_position bigint, p_taken_at timestamptz, p_seconds double precision, p_size_bytes bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  INSERT INTO backup (name, kind, place, position, taken_at, seconds, size_bytes)
  VALUES (p_name, p_kind, p_place, p_position, p_taken_at, p_seconds, p_size_bytes) ON CONFLICT (name) DO NOTHING
$$;

REVOKE ALL ON FUNCTION record_activity(text, timestamptz, bigint, double precision, bigint[]), store_health(jsonb, double precision),
  settle_alerts(jsonb), is_needed(bigint), surplus_embeddings(integer), missing_embeddings(integer), leave_index(integer, bigint[]),
  enter_index(integer, bigint[]), index_again(), begin_tending(integer), end_tending(integer, bigint), drop_broken_indexes(),
  record_recall(integer, double precision, integer), record_build(integer), prune_searches(timestamptz, integer),
  record_backup(text, text, text, bigint, timestamptz, double precision, bigint) FROM PUBLIC;
GRANT SELECT ON activity, activity_minute, health_sample, alert, vector_index, backup TO recant_reader;
GRANT EXECUTE ON FUNCTION is_needed(bigint), surplus_embeddings(integer), missing_embeddings(integer) TO recant_reader;
GRANT EXECUTE ON FUNCTION record_activity(text, timestamptz, bigint, double precision, bigint[]), store_health(jsonb, double precision),
  settle_alerts(jsonb), leave_index(integer, bigint[]), enter_index(integer, bigint[]), begin_tending(integer), end_tending(integer, bigint), drop_broken_indexes(),
  record_recall(integer, double precision, integer), record_build(integer), prune_searches(timestamptz, integer),
  record_backup(text, text, text, bigint, timestamptz, double precision, bigint) TO recant_coordinator;

-- pg_dump reads sequences too: whoever may read may make a logical backup.
GRANT SELECT ON ALL SEQUENCES IN SCHEMA recant TO recant_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA recant GRANT SELECT ON SEQUENCES TO recant_reader;

-- From PostgreSQL 17 on upkeep may vacuum and rebuild indexes without owning the tables; before, autovacuum and the owner do.
DO $$
BEGIN
  IF current_setting('server_version_num')::integer >= 170000 THEN
    GRANT MAINTAIN ON embedding, chunk, version, record, document_version, dependency, session_search, session_read, lineage_delivery,
      lineage_event, visibility_history, operation TO recant_coordinator;
  END IF;
END $$;

RESET ROLE;
