-- Verdicts about very many operations: each is looked at once, and what can't change is not checked again.

SET ROLE recant_owner;
SET search_path = recant, public;

-- A constraint is checked whenever a row is written, and a verdict writes the row of every operation that flips. These four
-- are about what never changes after the first INSERT.
ALTER TABLE operation DROP CONSTRAINT operation_kind_check, DROP CONSTRAINT operation_agent_check,
  DROP CONSTRAINT operation_session_check, DROP CONSTRAINT operation_run_id_check;

CREATE FUNCTION check_names() RETURNS trigger
LANGUAGE plpgsql SET search_path = recant, public, pg_temp AS $$
DECLARE
  wrong text := CASE
    WHEN NEW.kind !~ '^[a-z][a-z_]*$' THEN 'kind'
    WHEN length(NEW.agent) NOT BETWEEN 1 AND 200 THEN 'agent'
    WHEN length(NEW.session) NOT BETWEEN 1 AND 200 THEN 'session'
    WHEN length(NEW.run_id) NOT BETWEEN 1 AND 250 THEN 'run_id' END;
BEGIN
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION 'new row for relation "operation" violates check constraint "operation_%_check"', wrong
      USING ERRCODE = 'check_violation', TABLE = 'operation', CONSTRAINT = format('operation_%s_check', wrong);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER check_names BEFORE INSERT OR UPDATE OF kind, agent, session, run_id ON operation FOR EACH ROW EXECUTE FUNCTION check_names();

-- As before. One pass over the operations tells whether all are published, which of them flip, and whether anything follows
-- from that; `flips` is asked only where it does, or where some are to be shown and others hidden.
CREATE OR REPLACE FUNCTION apply_verdicts(
  p_kind text, p_agent text, p_session text, p_run_id text, p_lineage_run_id uuid, p_message text, p_parameters jsonb, p_context jsonb,
  p_datasets jsonb, p_counts jsonb, p_operations bigint[], p_shows boolean[],
  p_record_operations bigint[] DEFAULT '{}', p_records bigint[] DEFAULT '{}', p_record_shows boolean[] DEFAULT '{}')
RETURNS TABLE (control_id bigint, "position" bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  shows CONSTANT boolean := p_shows[1];
  known bigint;
  follows boolean;
  flipped_ids bigint[];
  flipped_shows boolean[];
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
  SELECT count(*), array_agg(o.id) FILTER (WHERE o.visible <> shows), coalesce(bool_or(o.control), false)
  INTO known, flipped_ids, follows FROM operation o WHERE o.id = ANY (p_operations) AND o.life = 'published';
  IF known < coalesce(cardinality(p_operations), 0) OR EXISTS (
    SELECT FROM (SELECT DISTINCT unnest(p_record_operations) AS id) x LEFT JOIN operation o ON o.id = x.id
    WHERE o.life IS DISTINCT FROM 'published') THEN
    RAISE EXCEPTION 'verdicts are about published operations only' USING ERRCODE = 'RC002';
  END IF;
  IF EXISTS (SELECT FROM operation o WHERE o.id = ANY (p_record_operations) AND o.control) THEN
    RAISE EXCEPTION 'a control operation has no records: take it back as a whole' USING ERRCODE = 'RC002';
  END IF;
  IF follows OR (NOT shows) = ANY (p_shows) THEN
    SELECT array_agg(f.operation_id), array_agg(f.visible) INTO flipped_ids, flipped_shows FROM flips(p_operations, p_shows) f;
  ELSE
    flipped_shows := array_fill(shows, ARRAY[coalesce(cardinality(flipped_ids), 0)]);
  END IF;
  SELECT array_agg(f.operation_id), array_agg(f.record_id), array_agg(f.visible) INTO pair_operations, pair_records, pair_shows
  FROM record_flips(flipped_ids, flipped_shows, p_record_operations, p_records, p_record_shows) f;
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
  UPDATE operation o SET visible = true WHERE o.id = ANY (
    ARRAY(SELECT f.id FROM unnest(flipped_ids, flipped_shows) AS f (id, shows) WHERE f.shows));
  UPDATE operation o SET visible = false WHERE o.id = ANY (
    ARRAY(SELECT f.id FROM unnest(flipped_ids, flipped_shows) AS f (id, shows) WHERE NOT f.shows));
  INSERT INTO visibility_history (operation_id, from_position, visible)
  SELECT f.id, position, f.shows FROM unnest(flipped_ids, flipped_shows) AS f (id, shows);
  IF cardinality(pair_operations) > 0 THEN
    PERFORM withhold(position, pair_operations, pair_records, pair_shows);
  END IF;
  RETURN NEXT;
END $$;

REVOKE ALL ON FUNCTION check_names() FROM PUBLIC;

RESET ROLE;
