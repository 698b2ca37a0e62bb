-- The coordinator: the only road to an operation's life and to verdicts. Each change is one transaction, whatever the
-- number of rows behind it. Error codes: RC002 closed, RC003 stale batch, RC004 write conflict, RC005 input withdrawn,
-- RC006 nothing to change, RC007 unknown operation, RC008 batch unfinished.

SET ROLE recant_owner;
SET search_path = recant, public;

-- The lock under which positions are given out; held until the transaction ends.
CREATE FUNCTION lock_log() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7241169, 1);
  RETURN log_position();
END $$;

CREATE FUNCTION log_position() RETURNS bigint
LANGUAGE sql STABLE SET search_path = recant, public, pg_temp
AS $$ SELECT coalesce(max(position), 0) FROM operation $$;

-- Sums of 64-bit halves, shown as 32 hex digits.
CREATE FUNCTION digest_hex(p_high numeric, p_low numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = recant, public, pg_temp AS $$
  SELECT string_agg(lpad(to_hex((CASE WHEN m >= 9223372036854775808 THEN m - 18446744073709551616 ELSE m END)::bigint), 16, '0'), '' ORDER BY n)
  FROM (VALUES (1, mod(mod(coalesce(p_high, 0), 18446744073709551616) + 18446744073709551616, 18446744073709551616)),
               (2, mod(mod(coalesce(p_low, 0), 18446744073709551616) + 18446744073709551616, 18446744073709551616))) AS half (n, m)
$$;

CREATE FUNCTION half(p_hash bytea, p_from integer) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT ('x' || encode(substr(p_hash, p_from, 8), 'hex'))::bit(64)::bigint::numeric $$;

CREATE FUNCTION emit_lineage(p_operation bigint, p_type text, p_time timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  event bigint;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(7241169, 2);
  INSERT INTO lineage_event (operation_id, event_type, event_time) VALUES (p_operation, p_type, p_time) RETURNING id INTO event;
  INSERT INTO lineage_delivery (destination, event_id) SELECT name, event FROM lineage_destination;
  PERFORM pg_notify('recant_lineage', event::text);
END $$;

-- A new destination is owed the whole history. The exclusive lock waits for events in flight, so none falls between.
CREATE FUNCTION register_lineage_destination(p_name text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  owed bigint := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(7241169, 2);
  INSERT INTO lineage_destination (name) VALUES (p_name) ON CONFLICT DO NOTHING;
  IF FOUND THEN
    INSERT INTO lineage_delivery (destination, event_id) SELECT p_name, id FROM lineage_event;
    GET DIAGNOSTICS owed = ROW_COUNT;
  END IF;
  RETURN owed;
END $$;

CREATE FUNCTION open_operation(
  p_kind text, p_agent text, p_session text, p_run_id text, p_lineage_run_id uuid, p_collection text, p_message text,
  p_parameters jsonb, p_context jsonb, p_datasets jsonb, p_last_wins boolean, p_lease_seconds double precision, p_open_key text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  opened record;
  collection_id integer;
  opened_id bigint;
BEGIN
  IF p_open_key IS NOT NULL THEN
    PERFORM pg_advisory_xact_lock(7241169, hashtext(p_open_key));
    SELECT id, life INTO opened FROM operation WHERE open_key = p_open_key;
    IF FOUND THEN
      IF opened.life <> 'open' THEN
        RAISE EXCEPTION 'operation %, opened with the key "%", is %', opened.id, p_open_key, opened.life
          USING ERRCODE = 'RC002', HINT = 'Start a new run.';
      END IF;
      RETURN opened.id;
    END IF;
  END IF;
  IF p_collection IS NOT NULL THEN
    SELECT id INTO collection_id FROM collection WHERE name = p_collection;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'no collection is named "%"', p_collection USING ERRCODE = 'RC009';
    END IF;
  END IF;
  INSERT INTO operation (kind, agent, session, run_id, lineage_run_id, collection_id, message, parameters, context, last_wins,
                         open_key, base_position, opened_at)
  VALUES (p_kind, p_agent, p_session, p_run_id, p_lineage_run_id, collection_id, coalesce(p_message, ''), p_parameters, p_context,
          p_last_wins, p_open_key, log_position(), clock_timestamp())
  RETURNING id INTO opened_id;
  INSERT INTO lease (operation_id, until) VALUES (opened_id, clock_timestamp() + make_interval(secs => p_lease_seconds));
  INSERT INTO operation_dataset (operation_id, direction, namespace, name)
  SELECT opened_id, d ->> 'direction', d ->> 'namespace', d ->> 'name' FROM jsonb_array_elements(p_datasets) d
  ON CONFLICT DO NOTHING;
  PERFORM emit_lineage(opened_id, 'START', clock_timestamp());
  RETURN opened_id;
END $$;

-- Collections come into being with their first write; their space is fixed then.
CREATE FUNCTION ensure_collection(p_name text, p_model text, p_digest text, p_dimensions integer, p_trusted boolean)
RETURNS TABLE (collection_id integer, space_id integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  wanted_space integer;
BEGIN
  INSERT INTO embedding_space (model, digest, dimensions, trusted) VALUES (p_model, p_digest, p_dimensions, p_trusted)
  ON CONFLICT DO NOTHING;
  SELECT s.id INTO wanted_space FROM embedding_space s WHERE s.model = p_model AND s.digest = p_digest AND s.trusted = p_trusted;
  INSERT INTO collection (name, space_id) VALUES (p_name, wanted_space) ON CONFLICT DO NOTHING;
  RETURN QUERY SELECT c.id, c.space_id FROM collection c WHERE c.name = p_name;
END $$;

CREATE FUNCTION discard_batch(p_batch bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  DELETE FROM dependency WHERE batch_id = p_batch AND operation_id = (SELECT operation_id FROM batch WHERE id = p_batch);
  DELETE FROM rejection WHERE batch_id = p_batch AND operation_id = (SELECT operation_id FROM batch WHERE id = p_batch);
  DELETE FROM quality_check WHERE batch_id = p_batch AND operation_id = (SELECT operation_id FROM batch WHERE id = p_batch);
  DELETE FROM chunk USING version v WHERE chunk.version_id = v.version_id AND v.batch_id = p_batch
    AND v.operation_id = (SELECT operation_id FROM batch WHERE id = p_batch);
  DELETE FROM document_version d USING version v WHERE d.version_id = v.version_id AND v.batch_id = p_batch
    AND v.operation_id = (SELECT operation_id FROM batch WHERE id = p_batch);
  DELETE FROM watermark w USING version v WHERE w.version_id = v.version_id AND v.batch_id = p_batch
    AND v.operation_id = (SELECT operation_id FROM batch WHERE id = p_batch);
  DELETE FROM version WHERE batch_id = p_batch AND operation_id = (SELECT operation_id FROM batch WHERE id = p_batch);
$$;

-- Takes single records out of an open operation again (the gate's quarantine).
CREATE FUNCTION discard_versions(p_operation bigint, p_versions bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  discarded bigint;
BEGIN
  PERFORM check_fence(ARRAY[p_operation], '{}');
  IF EXISTS (SELECT FROM version WHERE version_id = ANY (p_versions) AND operation_id <> p_operation) THEN
    RAISE EXCEPTION 'versions of another operation are not discarded with operation %', p_operation USING ERRCODE = 'RC002';
  END IF;
  DELETE FROM dependency WHERE operation_id = p_operation AND version_id = ANY (p_versions);
  DELETE FROM chunk WHERE version_id = ANY (p_versions);
  DELETE FROM document_version WHERE version_id = ANY (p_versions);
  DELETE FROM watermark WHERE version_id = ANY (p_versions);
  DELETE FROM version WHERE version_id = ANY (p_versions);
  GET DIAGNOSTICS discarded = ROW_COUNT;
  RETURN discarded;
END $$;

-- Starts an attempt at a batch. An earlier attempt's rows are discarded; its worker, should it still live, is refused.
CREATE FUNCTION begin_batch(p_operation bigint, p_key text, p_lease_seconds double precision) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  earlier record;
  next_attempt integer := 1;
  begun bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(7241169, hashtext(p_operation || ':' || p_key));
  PERFORM check_fence(ARRAY[p_operation], '{}');
  FOR earlier IN SELECT id, attempt, state FROM batch WHERE operation_id = p_operation AND key = p_key ORDER BY attempt FOR UPDATE LOOP
    next_attempt := earlier.attempt + 1;
    IF earlier.state <> 'superseded' THEN
      UPDATE batch SET state = 'superseded' WHERE id = earlier.id;
      PERFORM discard_batch(earlier.id);
    END IF;
  END LOOP;
  UPDATE lease SET until = greatest(until, clock_timestamp() + make_interval(secs => p_lease_seconds)) WHERE operation_id = p_operation;
  INSERT INTO batch (operation_id, key, attempt, started_at) VALUES (p_operation, p_key, next_attempt, clock_timestamp()) RETURNING id INTO begun;
  RETURN begun;
END $$;

CREATE FUNCTION finish_batch(p_batch bigint, p_counts jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  PERFORM check_fence(array_agg(operation_id), array_agg(id)) FROM batch WHERE id = p_batch;
  UPDATE batch SET state = 'done', counts = p_counts WHERE id = p_batch AND state = 'open';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'batch % was taken over by a later attempt', p_batch USING ERRCODE = 'RC003';
  END IF;
END $$;

-- Leases are extended by a worker that is alive between batches.
CREATE FUNCTION extend_lease(p_operation bigint, p_lease_seconds double precision) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  PERFORM check_fence(ARRAY[p_operation], '{}');
  UPDATE lease SET until = greatest(until, clock_timestamp() + make_interval(secs => p_lease_seconds)) WHERE operation_id = p_operation;
END $$;

-- Versions whose predecessor is not the head that their writer saw. Only records that moved since the operations were
-- opened can be among them, so the work follows what happened in between, not what was written.
CREATE FUNCTION write_conflicts(p_operations bigint[], p_since bigint)
RETURNS TABLE (operation_id bigint, record_id bigint, expected bigint, actual bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH moved AS MATERIALIZED (
    SELECT DISTINCT h.operation_id FROM visibility_history h WHERE h.from_position > p_since
  ), suspect AS MATERIALIZED (
    SELECT n.record_id FROM moved m JOIN version n ON n.operation_id = m.operation_id
    UNION
    -- written over its session's own open work, which may not have been published
    SELECT v.record_id
    FROM operation mine
    JOIN version v ON v.operation_id = mine.id
    JOIN operation o ON o.id = v.over_operation_id AND o.life <> 'published'
    WHERE mine.id = ANY (p_operations) AND mine.session IS NOT NULL
  )
  SELECT v.operation_id, v.record_id, v.over_operation_id, head.operation_id
  FROM suspect s
  JOIN version v ON v.record_id = s.record_id AND v.operation_id = ANY (p_operations)
  LEFT JOIN LATERAL (
    SELECT n.operation_id
    FROM version n
    WHERE n.record_id = v.record_id AND n.operation_id <> v.operation_id
      AND ((SELECT o.visible FROM operation o WHERE o.id = n.operation_id)
           OR n.operation_id = ANY (p_operations) AND n.operation_id < v.operation_id)
    ORDER BY n.operation_id = ANY (p_operations) DESC, n.version_id DESC
    LIMIT 1
  ) head ON true
  WHERE head.operation_id IS DISTINCT FROM v.over_operation_id
$$;

CREATE FUNCTION operation_digest(p_operation bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT digest_hex(sum(half(content_hash, 1)), sum(half(content_hash, 9))) FROM version WHERE operation_id = p_operation
$$;

CREATE FUNCTION verdict_digest(p_operation bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT encode(sha256(convert_to(coalesce(string_agg(operation_id || ':' || shows, ',' ORDER BY operation_id), ''), 'UTF8')), 'hex')
  FROM verdict WHERE control_id = p_operation
$$;

-- What the hash chain covers of one entry of the log.
CREATE FUNCTION chain_link(p_previous bytea, o operation) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT sha256(coalesce(p_previous, ''::bytea) || convert_to(jsonb_build_array(
    o.position, o.id, o.kind, o.agent, o.session, o.run_id, o.lineage_run_id, o.collection_id, o.message,
    to_char(o.opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), to_char(o.closed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
    o.parameters, o.context, o.counts, o.digest, verdict_digest(o.id))::text, 'UTF8'))
$$;

-- Gives an operation its position. The caller holds the log's lock and the operation's row.
CREATE FUNCTION commit_operation(p_operation bigint, p_counts jsonb, p_digest text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  previous record;
  entry operation;
BEGIN
  SELECT position, closed_at, chain INTO previous FROM operation WHERE position = log_position();
  UPDATE operation SET
    position = coalesce(previous.position, 0) + 1, life = 'published', visible = true, counts = p_counts, digest = p_digest,
    closed_at = greatest(clock_timestamp(), previous.closed_at + interval '1 microsecond'), chain = '\x00'
  WHERE id = p_operation RETURNING * INTO entry;
  UPDATE operation SET chain = chain_link(previous.chain, entry) WHERE id = p_operation;
  INSERT INTO visibility_history (operation_id, from_position, visible) VALUES (p_operation, entry.position, true);
  PERFORM emit_lineage(p_operation, 'COMPLETE', entry.closed_at);
  PERFORM pg_notify('recant_position', entry.position::text);
  RETURN entry.position;
END $$;

-- A version must come after every published version of its record, seen or not; the few that don't are numbered anew.
CREATE FUNCTION renumber_versions(p_operation bigint, p_since bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  UPDATE version v SET version_id = DEFAULT
  FROM (
    SELECT DISTINCT mine.version_id
    FROM operation o
    JOIN version n ON n.operation_id = o.id
    JOIN version mine ON mine.record_id = n.record_id AND mine.operation_id = p_operation AND mine.version_id < n.version_id
    WHERE o.position > p_since
  ) late
  WHERE v.version_id = late.version_id;
END $$;

CREATE FUNCTION raise_conflicts(p_operations bigint[], p_since bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  c record;
BEGIN
  SELECT w.operation_id, w.expected, w.actual, r.kind, r.key, count(*) OVER () AS total INTO c
  FROM write_conflicts(p_operations, p_since) w
  JOIN record r ON r.id = w.record_id JOIN operation o ON o.id = w.operation_id
  WHERE NOT o.last_wins ORDER BY r.kind, r.key LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'operation % wrote % "%" over %, but the head is now %', c.operation_id, c.kind, c.key,
      coalesce('operation ' || c.expected, 'nothing'), coalesce('operation ' || c.actual, 'nothing')
      USING ERRCODE = 'RC004', HINT = 'Run it again: it will see what is there now.',
        DETAIL = jsonb_build_object('operation_id', c.operation_id, 'record', c.key, 'kind', c.kind, 'expected', c.expected, 'actual', c.actual, 'conflicts', c.total)::text;
  END IF;
END $$;

CREATE FUNCTION raise_withdrawn_inputs(p_operations bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  c record;
BEGIN
  SELECT d.operation_id, d.input_operation_id, d.class INTO c
  FROM (SELECT DISTINCT operation_id, input_operation_id, class FROM dependency WHERE operation_id = ANY (p_operations)) d
  JOIN operation i ON i.id = d.input_operation_id
  WHERE NOT i.visible AND NOT i.id = ANY (p_operations) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'operation % was made from operation % (%), which is no longer seen', c.operation_id, c.input_operation_id, c.class
      USING ERRCODE = 'RC005', HINT = 'Run it again without that input, or redo what withdrew it.',
        DETAIL = jsonb_build_object('operation_id', c.operation_id, 'input', c.input_operation_id, 'class', c.class)::text;
  END IF;
END $$;

CREATE FUNCTION batch_counts(p_operation bigint) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT coalesce(jsonb_object_agg(name, total), '{}') FROM (
    SELECT c.key AS name, sum(c.value::text::numeric) AS total
    FROM batch b, jsonb_each(b.counts) c
    WHERE b.operation_id = p_operation AND b.state = 'done' AND jsonb_typeof(c.value) = 'number' GROUP BY c.key) t
$$;

-- Publishes operations in the order they were opened, all or none. Row locks first, by id, then the log's lock.
CREATE FUNCTION publish_operations(p_operations bigint[]) RETURNS TABLE (operation_id bigint, "position" bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  o record;
  unfinished record;
  base bigint;
  checked bigint;
  locked bigint;
  counts jsonb[] := '{}';
  digests text[] := '{}';
  i integer := 0;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'recant publishes under READ COMMITTED only' USING ERRCODE = 'RC001';
  END IF;
  FOR o IN SELECT id, life, base_position FROM operation WHERE id = ANY (p_operations) ORDER BY id FOR UPDATE LOOP
    IF o.life <> 'open' THEN
      RAISE EXCEPTION 'operation % is already %', o.id, o.life USING ERRCODE = 'RC002';
    END IF;
    base := least(base, o.base_position);
  END LOOP;
  IF base IS NULL OR cardinality(p_operations) > (SELECT count(*) FROM operation WHERE id = ANY (p_operations)) THEN
    RAISE EXCEPTION 'no such operation among %', p_operations USING ERRCODE = 'RC007';
  END IF;
  SELECT b.operation_id, b.key INTO unfinished FROM batch b WHERE b.operation_id = ANY (p_operations) AND b.state = 'open' LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'batch "%" of operation % is not finished', unfinished.key, unfinished.operation_id
      USING ERRCODE = 'RC008', HINT = 'Wait for its worker, run the batch again, or abort the operation.';
  END IF;
  checked := log_position();
  PERFORM raise_conflicts(p_operations, base);
  FOR o IN SELECT id FROM operation WHERE id = ANY (p_operations) ORDER BY id LOOP
    counts := counts || batch_counts(o.id);
    digests := digests || operation_digest(o.id);
  END LOOP;
  locked := lock_log();
  IF locked > checked THEN
    PERFORM raise_conflicts(p_operations, checked);
  END IF;
  PERFORM raise_withdrawn_inputs(p_operations);
  FOR o IN SELECT id, base_position FROM operation WHERE id = ANY (p_operations) ORDER BY id LOOP
    i := i + 1;
    PERFORM renumber_versions(o.id, o.base_position);
    operation_id := o.id;
    position := commit_operation(o.id, counts[i], digests[i]);
    RETURN NEXT;
  END LOOP;
END $$;

-- An aborted operation's rows were never seen by others and never will be. Aborting twice is no error.
CREATE FUNCTION abort_operation(p_operation bigint, p_reason text, p_event text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  life_now operation_life;
  closed timestamptz := clock_timestamp();
BEGIN
  SELECT life INTO life_now FROM operation WHERE id = p_operation FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no operation %', p_operation USING ERRCODE = 'RC007';
  ELSIF life_now = 'published' THEN
    RAISE EXCEPTION 'operation % is published: it can be rolled back, not aborted', p_operation USING ERRCODE = 'RC002';
  ELSIF life_now = 'aborted' THEN
    RETURN false;
  END IF;
  UPDATE operation SET life = 'aborted', closed_at = closed, reason = p_reason, counts = batch_counts(p_operation) WHERE id = p_operation;
  PERFORM emit_lineage(p_operation, p_event, closed);
  RETURN true;
END $$;

CREATE FUNCTION abort_expired() RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  gone bigint;
BEGIN
  FOR gone IN SELECT o.id FROM operation o JOIN lease l ON l.operation_id = o.id
              WHERE o.life = 'open' AND l.until < clock_timestamp() ORDER BY o.id FOR UPDATE OF o SKIP LOCKED LOOP
    PERFORM abort_operation(gone, 'its lease ran out: the worker that held it is gone', 'ABORT');
    RETURN NEXT gone;
  END LOOP;
END $$;

-- What would change its visibility, were these verdicts the last word: the operations named, and, where one of them is
-- a control operation, whatever its own verdicts then stop or start to say, over any number of levels.
CREATE FUNCTION flips(p_operations bigint[], p_shows boolean[]) RETURNS TABLE (operation_id bigint, visible boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  all_ids bigint[] := '{}';
  all_shows boolean[] := '{}';
  level_ids bigint[];
  level_shows boolean[];
  control_ids bigint[] := '{}';
  control_shows boolean[] := '{}';
BEGIN
  SELECT array_agg(o.id), array_agg(x.shows) INTO level_ids, level_shows
  FROM unnest(p_operations, p_shows) AS x (id, shows) JOIN operation o ON o.id = x.id
  WHERE o.life = 'published' AND o.visible <> x.shows;
  WHILE level_ids IS NOT NULL LOOP
    all_ids := all_ids || level_ids;
    all_shows := all_shows || level_shows;
    SELECT c.ids, c.shows INTO level_ids, level_shows FROM (
      SELECT array_agg(l.id) AS ids, array_agg(l.shows) AS shows
      FROM unnest(level_ids, level_shows) AS l (id, shows) JOIN operation o ON o.id = l.id WHERE o.control) c;
    EXIT WHEN level_ids IS NULL;
    control_ids := control_ids || level_ids;
    control_shows := control_shows || level_shows;
    WITH overlay AS (
      SELECT DISTINCT ON (u.id) u.id, u.shows FROM unnest(control_ids, control_shows) WITH ORDINALITY AS u (id, shows, n) ORDER BY u.id, u.n DESC
    ), settled AS (
      SELECT DISTINCT ON (u.id) u.id, u.shows FROM unnest(all_ids, all_shows) WITH ORDINALITY AS u (id, shows, n) ORDER BY u.id, u.n DESC
    ), target AS (
      SELECT DISTINCT v.operation_id AS id FROM verdict v WHERE v.control_id = ANY (level_ids) AND NOT v.operation_id = ANY (p_operations)
    ), answer AS (
      SELECT DISTINCT ON (t.id) t.id, v.shows
      FROM target t JOIN verdict v ON v.operation_id = t.id JOIN operation c ON c.id = v.control_id LEFT JOIN overlay y ON y.id = c.id
      WHERE coalesce(y.shows, c.visible) ORDER BY t.id, c.position DESC
    )
    SELECT array_agg(t.id), array_agg(coalesce(a.shows, true)) INTO level_ids, level_shows
    FROM target t JOIN operation o ON o.id = t.id LEFT JOIN answer a ON a.id = t.id LEFT JOIN settled s ON s.id = t.id
    WHERE coalesce(a.shows, true) <> coalesce(s.shows, o.visible);
  END LOOP;
  RETURN QUERY
    SELECT f.id, f.shows FROM (
      SELECT DISTINCT ON (u.id) u.id, u.shows FROM unnest(all_ids, all_shows) WITH ORDINALITY AS u (id, shows, n) ORDER BY u.id, u.n DESC) f
    JOIN operation o ON o.id = f.id WHERE o.visible <> f.shows;
END $$;

-- A control operation: verdicts, and their effect, in one transaction. Takes time by the operation, never by the row.
CREATE FUNCTION apply_verdicts(
  p_kind text, p_agent text, p_session text, p_run_id text, p_lineage_run_id uuid, p_message text, p_parameters jsonb, p_context jsonb,
  p_datasets jsonb, p_counts jsonb, p_operations bigint[], p_shows boolean[])
RETURNS TABLE (control_id bigint, "position" bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  flipped_ids bigint[];
  flipped_shows boolean[];
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'recant writes under READ COMMITTED only' USING ERRCODE = 'RC001';
  END IF;
  IF p_kind NOT IN ('rollback', 'redo', 'quarantine', 'release', 'restore') THEN
    RAISE EXCEPTION 'kind "%" carries no verdicts', p_kind USING ERRCODE = 'RC002';
  END IF;
  IF coalesce(cardinality(p_operations), 0) = 0 THEN
    RAISE EXCEPTION 'a % without verdicts would change nothing', p_kind USING ERRCODE = 'RC006';
  END IF;
  IF EXISTS (SELECT FROM unnest(p_operations) x (id) LEFT JOIN operation o ON o.id = x.id WHERE o.life IS DISTINCT FROM 'published') THEN
    RAISE EXCEPTION 'verdicts are about published operations only' USING ERRCODE = 'RC002';
  END IF;
  PERFORM lock_log();
  SELECT array_agg(f.operation_id), array_agg(f.visible) INTO flipped_ids, flipped_shows FROM flips(p_operations, p_shows) f;
  INSERT INTO operation (kind, control, agent, session, run_id, lineage_run_id, message, parameters, context, base_position, opened_at)
  VALUES (p_kind, true, p_agent, p_session, p_run_id, p_lineage_run_id, coalesce(p_message, ''), p_parameters, p_context,
          log_position(), clock_timestamp())
  RETURNING id INTO control_id;
  INSERT INTO operation_dataset (operation_id, direction, namespace, name)
  SELECT control_id, d ->> 'direction', d ->> 'namespace', d ->> 'name' FROM jsonb_array_elements(p_datasets) d ON CONFLICT DO NOTHING;
  PERFORM emit_lineage(control_id, 'START', clock_timestamp());
  INSERT INTO verdict (control_id, operation_id, shows) SELECT control_id, u.id, u.shows FROM unnest(p_operations, p_shows) AS u (id, shows);
  position := commit_operation(control_id, p_counts, digest_hex(0, 0));
  UPDATE operation o SET visible = f.shows FROM unnest(flipped_ids, flipped_shows) AS f (id, shows) WHERE o.id = f.id;
  INSERT INTO visibility_history (operation_id, from_position, visible)
  SELECT f.id, position, f.shows FROM unnest(flipped_ids, flipped_shows) AS f (id, shows);
  RETURN NEXT;
END $$;

CREATE FUNCTION store_plan(p_id uuid, p_kind text, p_selector jsonb, p_policy text, p_position bigint, p_withdraw bigint[],
                           p_consequences text, p_report jsonb, p_agent text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  INSERT INTO rollback_plan (id, kind, selector, policy, position, withdraw, consequences, report, agent)
  VALUES (p_id, p_kind, p_selector, p_policy, p_position, p_withdraw, p_consequences, p_report, p_agent)
$$;

CREATE FUNCTION approve_plan(p_id uuid, p_by text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  UPDATE rollback_plan SET approved_by = p_by, approved_at = clock_timestamp() WHERE id = p_id AND state = 'open'
$$;

CREATE FUNCTION close_plan(p_id uuid, p_state plan_state, p_applied_as bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  UPDATE rollback_plan SET state = p_state, applied_as = p_applied_as WHERE id = p_id AND state = 'open'
$$;

-- The vector index of a space, built whole: cheaper than row by row after a large first load.
CREATE FUNCTION build_vector_index(p_space integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  name text := 'embedding_vector_' || p_space;
  dims integer;
BEGIN
  SELECT dimensions INTO STRICT dims FROM embedding_space WHERE id = p_space;
  EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON recant.embedding USING hnsw ((vector::halfvec(%s)) halfvec_ip_ops) WHERE space_id = %s',
                 name, dims, p_space);
  RETURN name;
END $$;

RESET ROLE;
