-- Sessions that were opened: what they may write, and how they end. A session needs no opening; only these have a row.
-- Error code: RC010 limit exceeded.
--
-- Locks: a session's row before its operations' rows before the log's lock. Appends never lock the session's row; what
-- several of them add up to is counted exactly when a batch is finished, under an advisory lock (7241170, hash).

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE session (
  name           text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 200),
  agent          text NOT NULL CHECK (length(agent) BETWEEN 1 AND 200),
  mode           text NOT NULL CHECK (mode IN ('normal', 'exploration')),
  max_records    bigint CHECK (max_records > 0),
  max_operations bigint CHECK (max_operations > 0),
  opened_at      timestamptz NOT NULL,
  expires_at     timestamptz CHECK (expires_at > opened_at),
  closed_at      timestamptz,
  outcome        text CHECK (outcome IN ('merged', 'discarded')),
  message        text NOT NULL DEFAULT '',
  CHECK ((closed_at IS NULL) = (outcome IS NULL))
);
COMMENT ON TABLE session IS 'open -> merged | discarded -> open (opened again, with new limits). Any other name on an operation is a session without limits.';
COMMENT ON COLUMN session.mode IS 'exploration: ingests are held, that is, stay open until the session is merged.';
CREATE INDEX session_limited ON session (name) WHERE closed_at IS NULL AND (max_records IS NOT NULL OR expires_at IS NOT NULL);

ALTER TABLE lease ADD COLUMN held boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN lease.held IS 'Its writing is over; it waits for its session to be merged or discarded.';

-- What counts towards a session's limits: operations that are open, and those published since the session was opened.
CREATE FUNCTION session_operations(p_name text) RETURNS bigint[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT coalesce(array_agg(o.id), '{}')
  FROM operation o LEFT JOIN session s ON s.name = o.session
  WHERE o.session = p_name AND NOT o.control AND (o.life = 'open' OR o.life = 'published' AND o.opened_at >= s.opened_at)
$$;

-- Records written or removed by these operations, once for each operation; watermarks are bookkeeping and don't count.
CREATE FUNCTION count_records(p_operations bigint[]) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT count(*) FROM version v JOIN record r ON r.id = v.record_id AND r.kind <> 'watermark' WHERE v.operation_id = ANY (p_operations)
$$;

CREATE FUNCTION raise_limit(p_session text, p_limit text, p_message text, p_details jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = recant, public, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'session "%" %', p_session, p_message
    USING ERRCODE = 'RC010', HINT = 'Nothing of it is lost: merge or discard the session, then open it again, with another limit where one is needed.',
      DETAIL = (jsonb_build_object('session', p_session, 'limit', p_limit) || p_details)::text;
END $$;

CREATE FUNCTION raise_expired(p_session text, p_expires_at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = recant, public, pg_temp AS $$
BEGIN
  IF p_expires_at <= clock_timestamp() THEN
    PERFORM raise_limit(p_session, 'time', format('expired at %s UTC: it takes no more writes', to_char(p_expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')),
      jsonb_build_object('expires_at', p_expires_at));
  END IF;
END $$;

-- Whether a session takes one more operation. Locks its row: neither two openings nor an opening and a merge pass each other.
CREATE FUNCTION admit_operation(p_session text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  s session;
  used bigint;
BEGIN
  SELECT * INTO s FROM session WHERE name = p_session FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF s.closed_at IS NOT NULL THEN
    RAISE EXCEPTION 'session "%" was % at % UTC: it takes no more writes', s.name, s.outcome, to_char(s.closed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
      USING ERRCODE = 'RC002', HINT = 'Open it again, or write under another name.',
        DETAIL = jsonb_build_object('session', s.name, 'outcome', s.outcome)::text;
  END IF;
  PERFORM raise_expired(s.name, s.expires_at);
  IF s.max_operations IS NOT NULL THEN
    used := cardinality(session_operations(s.name));
    IF used >= s.max_operations THEN
      PERFORM raise_limit(s.name, 'operations', format('may write %s operation(s), and has written %s', s.max_operations, used),
        jsonb_build_object('allowed', s.max_operations, 'used', used));
    END IF;
  END IF;
END $$;

-- Whether what these operations' sessions have written is within their limits. Counts cheaply, watermarks included, and
-- looks closely only where that is too many.
CREATE FUNCTION check_limits(p_operations bigint[], p_finishing boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  s record;
  own bigint[];
  used bigint;
BEGIN
  FOR s IN SELECT DISTINCT x.name, x.max_records, x.expires_at FROM operation o JOIN session x ON x.name = o.session
           WHERE o.id = ANY (p_operations) AND x.closed_at IS NULL ORDER BY x.name LOOP
    IF NOT p_finishing THEN
      PERFORM raise_expired(s.name, s.expires_at);
    END IF;
    CONTINUE WHEN s.max_records IS NULL;
    IF p_finishing THEN
      PERFORM pg_advisory_xact_lock(7241170, hashtext(s.name));
    END IF;
    own := session_operations(s.name);
    SELECT count(*) INTO used FROM (SELECT FROM version WHERE operation_id = ANY (own) LIMIT s.max_records + 1) v;
    CONTINUE WHEN used <= s.max_records;
    used := count_records(own);
    IF used > s.max_records THEN
      PERFORM raise_limit(s.name, 'records', format('may write %s record(s), and with these it would be %s', s.max_records, used),
        jsonb_build_object('allowed', s.max_records, 'used', used));
    END IF;
  END LOOP;
END $$;

-- Where no session has limits, an append pays for one look at an empty index.
CREATE FUNCTION limit_versions() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM session WHERE closed_at IS NULL AND (max_records IS NOT NULL OR expires_at IS NOT NULL)) THEN
    PERFORM check_limits((SELECT array_agg(DISTINCT operation_id) FROM added), false);
  END IF;
  RETURN NULL;
END $$;

-- Appends at the same moment don't see each other's rows: of those that are too many together, none is finished.
CREATE FUNCTION limit_batches() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM session WHERE closed_at IS NULL AND (max_records IS NOT NULL OR expires_at IS NOT NULL)) THEN
    PERFORM check_limits(ARRAY[NEW.operation_id], true);
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER limits AFTER INSERT ON version REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION limit_versions();
CREATE TRIGGER limits AFTER UPDATE OF state ON batch FOR EACH ROW WHEN (NEW.state = 'done') EXECUTE FUNCTION limit_batches();

-- As in 0005, and a session that was opened has a say.
CREATE OR REPLACE FUNCTION open_operation(
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
  IF p_session IS NOT NULL THEN
    PERFORM admit_operation(p_session);
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

-- An operation whose writing is over, left open under a long lease for its session to be merged. Holding twice is no error.
CREATE FUNCTION hold_operation(p_operation bigint, p_lease_seconds double precision) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  unfinished text;
BEGIN
  PERFORM check_fence(ARRAY[p_operation], '{}');
  IF (SELECT session IS NULL FROM operation WHERE id = p_operation) THEN
    RAISE EXCEPTION 'operation % belongs to no session', p_operation
      USING ERRCODE = 'RC006', HINT = 'Nobody could see it, or merge it: publish or abort it.';
  END IF;
  SELECT key INTO unfinished FROM batch WHERE operation_id = p_operation AND state = 'open' LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'batch "%" of operation % is not finished', unfinished, p_operation
      USING ERRCODE = 'RC008', HINT = 'Wait for its worker, run the batch again, or abort the operation.';
  END IF;
  UPDATE lease SET held = true, until = greatest(until, clock_timestamp() + make_interval(secs => p_lease_seconds)) WHERE operation_id = p_operation;
END $$;

CREATE FUNCTION open_session(p_name text, p_agent text, p_mode text, p_max_records bigint, p_max_operations bigint,
                             p_expires_in_seconds double precision, p_message text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  now_is timestamptz := clock_timestamp();
BEGIN
  INSERT INTO session AS s (name, agent, mode, max_records, max_operations, opened_at, expires_at, message)
  VALUES (p_name, p_agent, p_mode, p_max_records, p_max_operations, now_is, now_is + make_interval(secs => p_expires_in_seconds), coalesce(p_message, ''))
  ON CONFLICT (name) DO UPDATE SET
    agent = excluded.agent, mode = excluded.mode, max_records = excluded.max_records, max_operations = excluded.max_operations,
    opened_at = excluded.opened_at, expires_at = excluded.expires_at, message = excluded.message, closed_at = NULL, outcome = NULL
  WHERE s.closed_at IS NOT NULL;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'session "%" is open already', p_name
      USING ERRCODE = 'RC006', HINT = 'Merge or discard it first; `recant session show` says what it holds.';
  END IF;
END $$;

-- Publishes a session's open operations, all or none, in the order they were opened, and closes the session. One that was
-- aborted at the same moment is not among them.
CREATE FUNCTION merge_session(p_name text) RETURNS TABLE (operation_id bigint, "position" bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  own bigint[];
BEGIN
  PERFORM FROM session WHERE name = p_name FOR UPDATE;
  SELECT array_agg(o.id) INTO own FROM (SELECT id FROM operation WHERE session = p_name AND life = 'open' ORDER BY id FOR UPDATE) o;
  IF own IS NOT NULL THEN
    RETURN QUERY SELECT p.operation_id, p.position FROM publish_operations(own) p;
  END IF;
  UPDATE session SET closed_at = clock_timestamp(), outcome = 'merged' WHERE name = p_name AND closed_at IS NULL;
END $$;

-- Aborts a session's open operations and closes the session.
CREATE FUNCTION discard_session(p_name text, p_reason text) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  own bigint;
BEGIN
  PERFORM FROM session WHERE name = p_name FOR UPDATE;
  FOR own IN SELECT id FROM operation WHERE session = p_name AND life = 'open' ORDER BY id FOR UPDATE LOOP
    PERFORM abort_operation(own, p_reason, 'ABORT');
    RETURN NEXT own;
  END LOOP;
  UPDATE session SET closed_at = clock_timestamp(), outcome = 'discarded' WHERE name = p_name AND closed_at IS NULL;
END $$;

-- What a merge would be refused with, were it tried now: unfinished batches, conflicts, and the first withdrawn input.
CREATE FUNCTION merge_obstacles(p_name text)
RETURNS TABLE (operation_id bigint, obstacle text, kind text, key text, expected bigint, actual bigint, message text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  own bigint[];
  base bigint;
  said text;
  detail jsonb;
BEGIN
  SELECT array_agg(o.id ORDER BY o.id), min(o.base_position) INTO own, base FROM operation o WHERE o.session = p_name AND o.life = 'open';
  IF own IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY
    SELECT b.operation_id, 'unfinished_batch', NULL::text, b.key, NULL::bigint, NULL::bigint,
           format('batch "%s" of operation %s is not finished', b.key, b.operation_id)
    FROM batch b WHERE b.operation_id = ANY (own) AND b.state = 'open' ORDER BY b.operation_id, b.key;
  RETURN QUERY
    SELECT w.operation_id, 'write_conflict', r.kind, r.key, w.expected, w.actual,
           format('operation %s wrote %s "%s" over %s, but the head is now %s', w.operation_id, r.kind, r.key,
                  coalesce('operation ' || w.expected, 'nothing'), coalesce('operation ' || w.actual, 'nothing'))
    FROM write_conflicts(own, base) w JOIN record r ON r.id = w.record_id JOIN operation o ON o.id = w.operation_id
    WHERE NOT o.last_wins ORDER BY w.operation_id, r.kind, r.key;
  BEGIN
    PERFORM raise_withdrawn_inputs(own);
  EXCEPTION WHEN SQLSTATE 'RC005' THEN
    GET STACKED DIAGNOSTICS said = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RETURN QUERY SELECT (detail ->> 'operation_id')::bigint, 'input_withdrawn', NULL::text, NULL::text, (detail ->> 'input')::bigint, NULL::bigint, said;
  END;
END $$;

REVOKE ALL ON FUNCTION session_operations(text), count_records(bigint[]), raise_limit(text, text, text, jsonb), raise_expired(text, timestamptz),
  admit_operation(text), check_limits(bigint[], boolean), limit_versions(), limit_batches(), hold_operation(bigint, double precision),
  open_session(text, text, text, bigint, bigint, double precision, text), merge_session(text), discard_session(text, text),
  merge_obstacles(text) FROM PUBLIC;
GRANT SELECT ON session TO recant_reader;
GRANT EXECUTE ON FUNCTION session_operations(text), count_records(bigint[]), merge_obstacles(text), batch_counts(bigint) TO recant_reader;
GRANT EXECUTE ON FUNCTION hold_operation(bigint, double precision), open_session(text, text, text, bigint, bigint, double precision, text),
  merge_session(text), discard_session(text, text) TO recant_writer;

RESET ROLE;
