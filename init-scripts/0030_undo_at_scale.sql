-- Rollbacks and blast radii of hundreds of thousands of operations: sets are passed on whole, and looked up in one walk
-- through an index.

SET ROLE recant_owner;
SET search_path = recant, public;

-- Only the coordinator's functions insert into these, about an operation whose row they have just written, read or locked;
-- nobody may delete an operation, and its id never changes. Each of the keys was asked, for every row that a verdict flips,
-- whether it minds.
ALTER TABLE lease DROP CONSTRAINT lease_operation_id_fkey;
ALTER TABLE batch DROP CONSTRAINT batch_operation_id_fkey;
ALTER TABLE operation_dataset DROP CONSTRAINT operation_dataset_operation_id_fkey;
ALTER TABLE lineage_event DROP CONSTRAINT lineage_event_operation_id_fkey;
ALTER TABLE record_verdict DROP CONSTRAINT record_verdict_control_id_fkey, DROP CONSTRAINT record_verdict_operation_id_fkey;
ALTER TABLE rollback_plan DROP CONSTRAINT rollback_plan_applied_as_fkey;
ALTER TABLE horizon DROP CONSTRAINT horizon_operation_id_fkey;
ALTER TABLE block DROP CONSTRAINT block_control_id_fkey;

-- Whether anything was taken back since; and the few control operations of a long log.
CREATE INDEX undo_control ON operation (position) WHERE control;

-- As before, byte for byte; a control operation that says the same of all is put into words by one concatenation.
CREATE OR REPLACE FUNCTION verdict_digest(p_operation bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT encode(sha256(convert_to(
    (SELECT CASE WHEN x.ids IS NULL THEN ''
                 WHEN x.each = x.any THEN array_to_string(x.ids, ':' || x.any || ',') || ':' || x.any
                 ELSE (SELECT string_agg(operation_id || ':' || shows, ',' ORDER BY operation_id) FROM verdict WHERE control_id = p_operation) END
     FROM (SELECT array_agg(operation_id ORDER BY operation_id) AS ids, bool_and(shows) AS each, bool_or(shows) AS any
           FROM verdict WHERE control_id = p_operation) x)
    || coalesce((SELECT '/' || string_agg(operation_id || '#' || record_id || ':' || shows, ',' ORDER BY operation_id, record_id)
                 FROM record_verdict WHERE control_id = p_operation), ''), 'UTF8')), 'hex')
$$;

-- Which operations would change their visibility, if these verdicts were said. As before, in arrays; two cases are told at
-- once. What nothing follows from flips as it is told. And where the last control operation is taken back itself, nobody
-- has said anything since: all that flipped with it flips back. `known`: how many of these are published; `controls`: of
-- what flips, the control operations.
CREATE FUNCTION flipped_by(p_operations bigint[], p_shows boolean[],
                           OUT known bigint, OUT hidden bigint[], OUT shown bigint[], OUT controls bigint[])
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = recant, public, pg_temp SET plan_cache_mode = force_generic_plan SET work_mem = '64MB' AS $$
DECLARE
  first CONSTANT boolean := p_shows[1];
  taken_back bigint;
  follows boolean;
BEGIN
  IF cardinality(p_operations) = 1 AND NOT first THEN
    SELECT o.position INTO taken_back FROM operation o
    WHERE o.id = p_operations[1] AND o.control AND o.visible
      AND NOT EXISTS (SELECT FROM operation later WHERE later.control AND later.position > o.position);
  END IF;
  IF taken_back IS NOT NULL THEN
    SELECT 1, coalesce(array_agg(h.operation_id) FILTER (WHERE h.visible), '{}'),
           coalesce(array_agg(h.operation_id) FILTER (WHERE NOT h.visible), '{}') INTO known, hidden, shown
    FROM visibility_history h WHERE h.from_position = taken_back;
  ELSIF (NOT first) = ANY (p_shows) THEN
    SELECT count(*), true INTO known, follows FROM operation o WHERE o.id = ANY (p_operations) AND o.life = 'published';
  ELSE
    SELECT count(*), coalesce(array_agg(o.id) FILTER (WHERE o.visible <> first), '{}'), coalesce(bool_or(o.control), false)
    INTO known, hidden, follows FROM operation o WHERE o.id = ANY (p_operations) AND o.life = 'published';
    IF NOT follows AND first THEN
      shown := hidden;
      hidden := '{}';
    END IF;
  END IF;
  IF follows THEN
    SELECT coalesce(array_agg(f.operation_id) FILTER (WHERE NOT f.visible), '{}'),
           coalesce(array_agg(f.operation_id) FILTER (WHERE f.visible), '{}') INTO hidden, shown FROM flips(p_operations, p_shows) f;
  END IF;
  shown := coalesce(shown, '{}');
  controls := CASE WHEN follows OR taken_back IS NOT NULL
                   THEN ARRAY(SELECT o.id FROM operation o WHERE o.control AND (o.id IN (SELECT unnest(hidden || shown))) IS TRUE)
                   ELSE '{}' END;
END $$;

CREATE OR REPLACE FUNCTION apply_verdicts(
  p_kind text, p_agent text, p_session text, p_run_id text, p_lineage_run_id uuid, p_message text, p_parameters jsonb, p_context jsonb,
  p_datasets jsonb, p_counts jsonb, p_operations bigint[], p_shows boolean[],
  p_record_operations bigint[] DEFAULT '{}', p_records bigint[] DEFAULT '{}', p_record_shows boolean[] DEFAULT '{}')
RETURNS TABLE (control_id bigint, "position" bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  flipped record;
  pair_operations bigint[];
  pair_records bigint[];
  pair_shows boolean[];
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'recant writes under READ COMMITTED only' USING ERRCODE = 'RC001';
  END IF;
  IF p_kind NOT IN ('rollback', 'redo', 'quarantine', 'release', 'restore') THEN
    RAISE EXCEPTION 'kind "%" carries no verdicts', p_kind USING ERRCODE = 'RC002';
  END IF;
  IF coalesce(cardinality(p_operations), 0) + coalesce(cardinality(p_record_operations), 0) = 0 THEN
    RAISE EXCEPTION 'a % without verdicts would change nothing', p_kind USING ERRCODE = 'RC006';
  END IF;
  PERFORM lock_log();
  flipped := flipped_by(p_operations, p_shows);
  IF flipped.known < coalesce(cardinality(p_operations), 0) OR EXISTS (
    SELECT FROM (SELECT DISTINCT unnest(p_record_operations) AS id) x LEFT JOIN operation o ON o.id = x.id
    WHERE o.life IS DISTINCT FROM 'published') THEN
    RAISE EXCEPTION 'verdicts are about published operations only' USING ERRCODE = 'RC002';
  END IF;
  IF EXISTS (SELECT FROM operation o WHERE o.id = ANY (p_record_operations) AND o.control) THEN
    RAISE EXCEPTION 'a control operation has no records: take it back as a whole' USING ERRCODE = 'RC002';
  END IF;
  IF cardinality(flipped.controls) + coalesce(cardinality(p_records), 0) > 0 THEN
    SELECT array_agg(f.operation_id), array_agg(f.record_id), array_agg(f.visible) INTO pair_operations, pair_records, pair_shows
    FROM record_flips(flipped.controls, ARRAY(SELECT c.id = ANY (flipped.shown) FROM unnest(flipped.controls) AS c (id)),
                      p_record_operations, p_records, p_record_shows) f;
  END IF;
  INSERT INTO operation (kind, control, agent, session, run_id, lineage_run_id, message, parameters, context, base_position, opened_at)
  VALUES (p_kind, true, p_agent, p_session, p_run_id, p_lineage_run_id, coalesce(p_message, ''), p_parameters, p_context,
          log_position(), clock_timestamp())
  RETURNING id INTO control_id;
  INSERT INTO operation_dataset (operation_id, direction, namespace, name)
  SELECT control_id, d ->> 'direction', d ->> 'namespace', d ->> 'name' FROM jsonb_array_elements(p_datasets) d ON CONFLICT DO NOTHING;
  PERFORM emit_lineage(control_id, 'START', clock_timestamp());
  INSERT INTO verdict (control_id, operation_id, shows) SELECT control_id, u.id, u.shows FROM unnest(p_operations, p_shows) AS u (id, shows);
  INSERT INTO record_verdict (control_id, operation_id, record_id, shows)
  SELECT control_id, u.o, u.r, u.s FROM unnest(p_record_operations, p_records, p_record_shows) AS u (o, r, s);
  position := commit_operation(control_id, p_counts, digest_hex(0, 0));
  UPDATE operation o SET visible = true WHERE o.id = ANY (flipped.shown);
  UPDATE operation o SET visible = false WHERE o.id = ANY (flipped.hidden);
  INSERT INTO visibility_history (operation_id, from_position, visible)
  SELECT u.id, position, true FROM unnest(flipped.shown) AS u (id) UNION ALL
  SELECT u.id, position, false FROM unnest(flipped.hidden) AS u (id);
  IF cardinality(pair_operations) > 0 THEN
    PERFORM withhold(position, pair_operations, pair_records, pair_shows);
  END IF;
  RETURN NEXT;
END $$;

-- Seen operations built on these over any number of hops, hidden ones in between included, by position: the ids of all,
-- and, of the first `p_listed` (null: of all), the first hop that leads to each. A narrowed operation's hop counts only if
-- its own record is seen. Each step of the walk takes the whole of the last one to the index, as a sorted array that it
-- goes through once; a join of the two looked up every operation on its own.
DROP FUNCTION dependents_of(bigint[]);
CREATE FUNCTION dependents_of(p_operations bigint[], p_listed integer, OUT ids bigint[], OUT classes text[], OUT vias bigint[])
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = recant, public, pg_temp SET plan_cache_mode = force_generic_plan SET work_mem = '64MB' AS $$
DECLARE
  reached bigint[];
  narrowing CONSTANT boolean := EXISTS (SELECT FROM withheld);
BEGIN
  WITH RECURSIVE reach (id) AS (
    SELECT unnest(p_operations)
    UNION
    SELECT d.operation_id FROM (SELECT array_agg(l.id) AS ids FROM (SELECT r.id FROM reach r) l) step
    JOIN dependency d ON d.input_operation_id = ANY (step.ids)
  )
  SELECT array_agg(r.id) INTO reached FROM reach r;
  SELECT coalesce(array_agg(o.id ORDER BY o.position), '{}') INTO ids
  FROM operation o
  WHERE o.id = ANY (reached) AND o.life = 'published' AND o.visible AND o.id NOT IN (SELECT unnest(p_operations))
    AND (NOT o.narrowed OR EXISTS (
      SELECT FROM dependency d WHERE d.operation_id = o.id AND (d.input_operation_id IN (SELECT unnest(reached))) IS TRUE
        AND (NOT narrowing OR hop_is_seen(d))));
  SELECT array_agg(v.class ORDER BY n.nth), array_agg(v.via ORDER BY n.nth) INTO classes, vias
  FROM unnest(ids[:coalesce(p_listed, cardinality(ids))]) WITH ORDINALITY AS n (id, nth) CROSS JOIN LATERAL (
    SELECT d.class, d.input_operation_id AS via FROM dependency d
    WHERE d.operation_id = n.id AND (d.input_operation_id IN (SELECT unnest(reached))) IS TRUE
        AND (NOT narrowing OR hop_is_seen(d))
    ORDER BY d.input_operation_id, d.class LIMIT 1) v;
END $$;

-- Whether what a dependency is of is still seen of its operation: the record that names its input, or that was affirmed.
CREATE FUNCTION hop_is_seen(d dependency) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT NOT EXISTS (
    SELECT FROM version x JOIN withheld w ON w.operation_id = d.operation_id AND w.record_id = x.record_id
    WHERE x.version_id = coalesce(d.version_id, CASE WHEN d.class = 'affirmed' THEN d.input_version_id END))
$$;

REVOKE ALL ON FUNCTION flipped_by(bigint[], boolean[]), dependents_of(bigint[], integer), hop_is_seen(dependency) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION flipped_by(bigint[], boolean[]), dependents_of(bigint[], integer) TO recant_reader;

-- What withdrawing operations, and single records of others, makes unwanted, as before; of what goes, only what was asked
-- for (`p_selected`): what was built on it goes with a cascade, and may be wanted again once it is built on something else.
DROP FUNCTION block_withdrawn(bigint);
DROP FUNCTION unwanted_content(bigint[], bigint[], bigint[]);
CREATE FUNCTION unwanted_content(p_operations bigint[], p_record_operations bigint[], p_records bigint[], p_selected bigint[])
RETURNS TABLE (collection_id integer, source_hash bytea, source text, gone boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH away AS MATERIALIZED (
    SELECT v.version_id, v.record_id, v.operation_id FROM version v WHERE v.operation_id = ANY (p_operations)
    UNION
    SELECT v.version_id, v.record_id, v.operation_id FROM unnest(p_record_operations, p_records) AS p (operation_id, record_id)
    JOIN version v USING (operation_id, record_id)
  ), other AS MATERIALIZED (
    SELECT v.version_id, v.record_id FROM version v WHERE v.record_id IN (SELECT record_id FROM away)
    EXCEPT SELECT version_id, record_id FROM away
  )
  SELECT r.collection_id, d.source_hash, r.key, r.id NOT IN (SELECT s.record_id FROM other JOIN seen_version s USING (version_id))
  FROM away a JOIN document_version d ON d.version_id = a.version_id JOIN record r ON r.id = a.record_id
  WHERE (a.operation_id IN (SELECT unnest(p_selected))) IS TRUE
$$;

-- Blocks what a rollback was asked to withdraw, in the rollback's transaction and with its agent and reason. Gives the number
-- of blocks.
CREATE FUNCTION block_withdrawn(p_control bigint, p_selected bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  rollback record;
  added bigint;
BEGIN
  SELECT id, agent, coalesce(nullif(message, ''), 'withdrawn by rollback ' || id) AS reason INTO rollback
  FROM operation WHERE id = p_control AND kind = 'rollback';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'operation % is no rollback: it blocks nothing', p_control USING ERRCODE = 'RC007';
  END IF;
  WITH unwanted AS MATERIALIZED (
    SELECT u.* FROM
      (SELECT array_agg(operation_id) AS ids FROM verdict WHERE control_id = p_control AND NOT shows) o,
      (SELECT array_agg(operation_id) AS operations, array_agg(record_id) AS ids FROM record_verdict WHERE control_id = p_control AND NOT shows) r,
      unwanted_content(o.ids, r.operations, r.ids, p_selected) u
  ), blocks AS (
    SELECT u.collection_id, u.source_hash, NULL AS source, min(u.source) AS seen_as FROM unwanted u GROUP BY 1, 2
    UNION ALL
    SELECT DISTINCT u.collection_id, NULL::bytea, u.source, NULL FROM unwanted u WHERE u.gone
  )
  INSERT INTO block (collection_id, source_hash, source, seen_as, reason, control_id, agent)
  SELECT b.collection_id, b.source_hash, b.source, b.seen_as, rollback.reason, rollback.id, rollback.agent
  FROM blocks b ORDER BY coalesce(b.source, b.seen_as), b.source_hash;
  GET DIAGNOSTICS added = ROW_COUNT;
  RETURN added;
END $$;

-- An erasure takes the words of recorded searches that showed the document: they may quote it. Who was shown it, and when,
-- stays. Gives how many it took.
CREATE FUNCTION forget_queries(p_record bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  forgotten bigint;
BEGIN
  UPDATE session_search SET query = NULL WHERE query IS NOT NULL AND id IN (
    SELECT r.search_id FROM version v JOIN session_read r ON r.operation_id = v.operation_id AND r.record_id = v.record_id
    WHERE v.record_id = p_record);
  GET DIAGNOSTICS forgotten = ROW_COUNT;
  RETURN forgotten;
END $$;
COMMENT ON COLUMN session_search.query IS 'Its first 500 characters; null for a search by a bare vector, and where what it showed was erased.';

CREATE TABLE session_change (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  session    text NOT NULL REFERENCES session,
  agent      text NOT NULL CHECK (length(agent) BETWEEN 1 AND 200),
  message    text NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  before     jsonb NOT NULL,
  after      jsonb NOT NULL
);
COMMENT ON TABLE session_change IS 'Who gave an open session other limits, when and why: max_records, max_operations and expires_at, before and after.';
CREATE INDEX session_change_session ON session_change (session, id);

-- Other limits for an open session, from the next write on. `p_limits` has those that change: max_records, max_operations,
-- expires_in_seconds; null: none. Gives whether anything changed; then it is noted who did it.
CREATE FUNCTION limit_session(p_name text, p_agent text, p_limits jsonb, p_message text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  s session;
  old jsonb;
  new jsonb;
BEGIN
  SELECT * INTO s FROM session WHERE name = p_name FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'session "%" was never opened: it has no limits', p_name
      USING ERRCODE = 'RC006', HINT = 'Open it: what is open in it counts towards its limits then.';
  END IF;
  IF s.closed_at IS NOT NULL THEN
    RAISE EXCEPTION 'session "%" was %', s.name, s.outcome USING ERRCODE = 'RC002', HINT = 'Open it again, with the limits that it is to have.',
      DETAIL = jsonb_build_object('session', s.name, 'outcome', s.outcome)::text;
  END IF;
  old := jsonb_build_object('max_records', s.max_records, 'max_operations', s.max_operations, 'expires_at', s.expires_at);
  IF p_limits ? 'max_records' THEN
    s.max_records := p_limits ->> 'max_records';
  END IF;
  IF p_limits ? 'max_operations' THEN
    s.max_operations := p_limits ->> 'max_operations';
  END IF;
  IF p_limits ? 'expires_in_seconds' THEN
    s.expires_at := clock_timestamp() + make_interval(secs => (p_limits ->> 'expires_in_seconds')::double precision);
  END IF;
  new := jsonb_build_object('max_records', s.max_records, 'max_operations', s.max_operations, 'expires_at', s.expires_at);
  IF new = old THEN
    RETURN false;
  END IF;
  UPDATE session SET max_records = s.max_records, max_operations = s.max_operations, expires_at = s.expires_at WHERE name = p_name;
  INSERT INTO session_change (session, agent, message, before, after) VALUES (p_name, p_agent, coalesce(p_message, ''), old, new);
  RETURN true;
END $$;

CREATE OR REPLACE FUNCTION raise_limit(p_session text, p_limit text, p_message text, p_details jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = recant, public, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'session "%" %', p_session, p_message
    USING ERRCODE = 'RC010', HINT = 'Nothing of it is lost: merge or discard the session, or give it another limit (`recant session limit`).',
      DETAIL = (jsonb_build_object('session', p_session, 'limit', p_limit) || p_details)::text;
END $$;

REVOKE ALL ON FUNCTION unwanted_content(bigint[], bigint[], bigint[], bigint[]), block_withdrawn(bigint, bigint[]), forget_queries(bigint),
  limit_session(text, text, jsonb, text) FROM PUBLIC;
GRANT SELECT ON session_change TO recant_reader;
GRANT EXECUTE ON FUNCTION unwanted_content(bigint[], bigint[], bigint[], bigint[]) TO recant_reader;
GRANT EXECUTE ON FUNCTION block_withdrawn(bigint, bigint[]), forget_queries(bigint), limit_session(text, text, jsonb, text) TO recant_coordinator;

RESET ROLE;
