-- A plan's whole life: open -> approved -> applied -> verified, or aborted, or expired. See docs/reference/state-machine.md.
-- The states are read from what happened and when; no job moves a plan, so none can be late.

SET ROLE recant_owner;
SET search_path = recant, public;

ALTER TABLE rollback_plan
  ADD COLUMN expires_at   timestamptz,
  ADD COLUMN applied_at   timestamptz,
  ADD COLUMN verified_at  timestamptz,
  ADD COLUMN certificate  jsonb,
  ADD COLUMN aborted_at   timestamptz,
  ADD COLUMN aborted_by   text,
  ADD COLUMN abort_reason text NOT NULL DEFAULT '';
COMMENT ON COLUMN rollback_plan.state IS 'open until it is applied or aborted (expired); plan_life() tells what commands show.';
COMMENT ON COLUMN rollback_plan.expires_at IS 'From then on it can''t be applied. Null, of plans stored before there was one: never.';
COMMENT ON COLUMN rollback_plan.certificate IS 'The first that verified; until then the last that didn''t.';

UPDATE rollback_plan p SET applied_at = o.closed_at FROM operation o WHERE o.id = p.applied_as;

ALTER TABLE rollback_plan
  ADD CHECK ((aborted_at IS NULL) = (aborted_by IS NULL)),
  ADD CHECK (aborted_at IS NULL OR applied_as IS NULL),
  ADD CHECK (verified_at IS NULL OR applied_as IS NOT NULL);
CREATE UNIQUE INDEX rollback_plan_applied_as ON rollback_plan (applied_as) WHERE applied_as IS NOT NULL;
CREATE INDEX rollback_plan_created_at ON rollback_plan (created_at);

CREATE FUNCTION plan_life(p rollback_plan) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT CASE WHEN p.verified_at IS NOT NULL THEN 'verified'
              WHEN p.applied_as IS NOT NULL THEN 'applied'
              WHEN p.aborted_at IS NOT NULL THEN 'aborted'
              WHEN p.expires_at <= now() THEN 'expired'
              WHEN p.approved_at IS NOT NULL THEN 'approved'
              ELSE 'open' END
$$;

-- Locks a plan until the end of the transaction, and says where it is in its life. Before the log's lock, never after it.
-- RC030: it was aborted or has expired.
CREATE FUNCTION hold_plan(p_id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  p rollback_plan;
  life text;
BEGIN
  SELECT * INTO p FROM rollback_plan WHERE id = p_id FOR UPDATE;
  life := coalesce(plan_life(p), 'unknown');
  IF p.id IS NULL THEN
    RAISE EXCEPTION 'there is no plan %', p_id USING ERRCODE = 'RC030', HINT = '`recant plan list` shows them.';
  ELSIF life = 'aborted' THEN
    RAISE EXCEPTION 'plan % was aborted by % (%)', p_id, p.aborted_by, coalesce(nullif(p.abort_reason, ''), 'no reason given')
      USING ERRCODE = 'RC030', HINT = 'Nothing was changed. Make a new plan where it is still needed: `recant rollback … --dry-run`.';
  ELSIF life = 'expired' THEN
    RAISE EXCEPTION 'plan % expired at %', p_id, to_char(p.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC')
      USING ERRCODE = 'RC030', HINT = 'Nothing was changed. Make a new plan: `recant rollback … --dry-run`; RECANT_PLAN_HOURS says how long one lasts.';
  END IF;
  RETURN life;
END $$;

DROP FUNCTION store_plan(uuid, text, jsonb, text, bigint, bigint[], text, jsonb, text);

CREATE FUNCTION store_plan(p_id uuid, p_kind text, p_selector jsonb, p_policy text, p_position bigint, p_withdraw bigint[],
                           p_consequences text, p_report jsonb, p_agent text, p_hours double precision)
RETURNS TABLE (created_at timestamptz, expires_at timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  INSERT INTO rollback_plan (id, kind, selector, policy, position, withdraw, consequences, report, agent, expires_at)
  VALUES (p_id, p_kind, p_selector, p_policy, p_position, p_withdraw, p_consequences, p_report, p_agent,
          clock_timestamp() + make_interval(secs => p_hours * 3600))
  RETURNING created_at, expires_at
$$;

-- The first approval stays, whoever comes later. Of an applied plan nothing is noted.
CREATE OR REPLACE FUNCTION approve_plan(p_id uuid, p_by text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  PERFORM hold_plan(p_id);
  UPDATE rollback_plan SET approved_by = p_by, approved_at = clock_timestamp()
  WHERE id = p_id AND approved_at IS NULL AND applied_as IS NULL;
END $$;

-- A plan that a person is asked about lives as long as the question. Never shortens.
CREATE FUNCTION extend_plan(p_id uuid, p_hours double precision) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  until timestamptz;
BEGIN
  PERFORM hold_plan(p_id);
  UPDATE rollback_plan SET expires_at = greatest(expires_at, clock_timestamp() + make_interval(secs => p_hours * 3600))
  WHERE id = p_id AND expires_at IS NOT NULL RETURNING expires_at INTO until;
  RETURN until;
END $$;

-- False when it was aborted before: who did so first, and why, stays.
CREATE FUNCTION abort_plan(p_id uuid, p_by text, p_reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  p rollback_plan;
BEGIN
  SELECT * INTO p FROM rollback_plan WHERE id = p_id FOR UPDATE;
  IF p.applied_as IS NOT NULL THEN
    RAISE EXCEPTION 'plan % was applied, as operation %', p_id, p.applied_as
      USING ERRCODE = 'RC030', HINT = format('What is done is taken back by `recant redo %s`.', p.applied_as);
  END IF;
  UPDATE rollback_plan SET state = 'expired', aborted_at = clock_timestamp(), aborted_by = p_by, abort_reason = coalesce(p_reason, '')
  WHERE id = p_id AND aborted_at IS NULL;
  RETURN FOUND;
END $$;

CREATE OR REPLACE FUNCTION close_plan(p_id uuid, p_state plan_state, p_applied_as bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  UPDATE rollback_plan SET state = p_state, applied_as = p_applied_as, applied_at = CASE WHEN p_applied_as IS NOT NULL THEN clock_timestamp() END
  WHERE id = p_id AND state = 'open'
$$;

-- Keeps a control operation's certificate with the plan that it came from. One that verified is never replaced.
CREATE FUNCTION keep_certificate(p_operation bigint, p_certificate jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  UPDATE rollback_plan
  SET certificate = p_certificate, verified_at = CASE WHEN (p_certificate ->> 'verified')::boolean THEN clock_timestamp() END
  WHERE applied_as = p_operation AND verified_at IS NULL;
  RETURN FOUND;
END $$;

REVOKE ALL ON FUNCTION plan_life(rollback_plan), hold_plan(uuid), extend_plan(uuid, double precision), abort_plan(uuid, text, text),
  store_plan(uuid, text, jsonb, text, bigint, bigint[], text, jsonb, text, double precision), keep_certificate(bigint, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plan_life(rollback_plan) TO recant_reader;
GRANT EXECUTE ON FUNCTION hold_plan(uuid), extend_plan(uuid, double precision), abort_plan(uuid, text, text),
  store_plan(uuid, text, jsonb, text, bigint, bigint[], text, jsonb, text, double precision), keep_certificate(bigint, jsonb)
  TO recant_coordinator;

RESET ROLE;
