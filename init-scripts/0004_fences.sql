-- Fences: a late worker's row never joins a published or aborted operation, whoever inserts it.
-- A foreign key and a state test are not enough (reproduced): the operation's row must be locked.

SET ROLE recant_owner;
SET search_path = recant, public;

-- RC002 operation closed, RC003 stale batch, RC001 wrong isolation level.
CREATE FUNCTION check_fence(p_operations bigint[], p_batches bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  o record;
  b record;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'recant writes under READ COMMITTED only, this transaction is %', current_setting('transaction_isolation')
      USING ERRCODE = 'RC001', HINT = 'Leave the isolation level at its default.';
  END IF;
  FOR o IN SELECT id, life, writer FROM operation WHERE id = ANY (p_operations) ORDER BY id FOR SHARE LOOP
    IF o.life <> 'open' THEN
      RAISE EXCEPTION 'operation % is %', o.id, o.life
        USING ERRCODE = 'RC002', HINT = 'Open a new operation and write there.';
    END IF;
    IF o.writer <> session_user THEN
      RAISE EXCEPTION 'operation % belongs to the login %, not to %', o.id, o.writer, session_user USING ERRCODE = 'RC002';
    END IF;
  END LOOP;
  IF cardinality(p_operations) > (SELECT count(*) FROM operation WHERE id = ANY (p_operations)) THEN
    RAISE EXCEPTION 'no such operation among %', p_operations USING ERRCODE = 'RC007';
  END IF;
  FOR b IN SELECT x.id, x.key, x.attempt, x.state, x.operation_id FROM batch x WHERE x.id = ANY (p_batches) ORDER BY x.id FOR SHARE LOOP
    IF b.state <> 'open' OR NOT b.operation_id = ANY (p_operations) THEN
      RAISE EXCEPTION 'attempt % of batch "%" of operation % is %', b.attempt, b.key, b.operation_id, b.state
        USING ERRCODE = 'RC003', HINT = 'A later attempt has taken over; leave it to that one.';
    END IF;
  END LOOP;
  IF cardinality(p_batches) > (SELECT count(*) FROM batch WHERE id = ANY (p_batches)) THEN
    RAISE EXCEPTION 'no such batch among %', p_batches USING ERRCODE = 'RC003';
  END IF;
END $$;

-- For tables that carry operation_id and batch_id themselves.
CREATE FUNCTION fence() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  PERFORM check_fence(
    (SELECT array_agg(DISTINCT operation_id) FROM added),
    (SELECT array_agg(DISTINCT batch_id) FROM added));
  RETURN NULL;
END $$;

-- For a version's parts, which carry version_id.
CREATE FUNCTION fence_parts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  PERFORM check_fence(array_agg(DISTINCT v.operation_id), array_agg(DISTINCT v.batch_id))
  FROM (SELECT DISTINCT version_id FROM added) a JOIN version v USING (version_id)
  HAVING count(*) > 0;
  RETURN NULL;
END $$;

CREATE TRIGGER fence AFTER INSERT ON version REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence();
CREATE TRIGGER fence AFTER INSERT ON dependency REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence();
CREATE TRIGGER fence AFTER INSERT ON rejection REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence();
CREATE TRIGGER fence AFTER INSERT ON quality_check REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence();
CREATE TRIGGER fence AFTER INSERT ON document_version REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence_parts();
CREATE TRIGGER fence AFTER INSERT ON chunk REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence_parts();
CREATE TRIGGER fence AFTER INSERT ON watermark REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence_parts();

RESET ROLE;
