-- The history of audits: what each suite said of what was published, so that it can be seen getting better or worse.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE audit (
  id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  collection_id     integer NOT NULL REFERENCES collection,
  position          bigint NOT NULL CHECK (position >= 0),
  suite             text NOT NULL,
  suite_digest      text NOT NULL,
  success           boolean NOT NULL,
  documents         bigint NOT NULL CHECK (documents >= 0),
  chunks            bigint NOT NULL CHECK (chunks >= 0),
  failing_documents bigint NOT NULL CHECK (failing_documents >= 0),
  summary           jsonb NOT NULL,
  expectations      jsonb NOT NULL,
  failing           jsonb NOT NULL,
  agent             text NOT NULL,
  run_id            text,
  quarantines       bigint[] NOT NULL DEFAULT '{}',
  started_at        timestamptz NOT NULL,
  ended_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (ended_at >= started_at)
);
COMMENT ON TABLE audit IS 'What a suite said of what was seen in a collection. Not an operation: it changes nothing that is seen. Pruned by age.';
COMMENT ON COLUMN audit.position IS 'The log''s last one when it began.';
COMMENT ON COLUMN audit.suite_digest IS 'sha256 over expectations and parameters: audits by equal suites can be compared.';
COMMENT ON COLUMN audit.failing_documents IS 'Those that fail something critical.';
COMMENT ON COLUMN audit.failing IS 'By expectation: how many rows fail, and the first hundred by chunk, version and source. No value of a row.';
COMMENT ON COLUMN audit.quarantines IS 'The operations that hid what failed.';
CREATE INDEX audit_of_collection ON audit (collection_id, id);
CREATE INDEX audit_ended ON audit (ended_at);

-- Keeps an audit, and drops those that are older than so many days. Null when there is no such collection.
CREATE FUNCTION store_audit(p_collection text, p_audit jsonb, p_keep_days double precision) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  kept bigint;
BEGIN
  DELETE FROM audit WHERE ended_at < clock_timestamp() - make_interval(secs => p_keep_days * 86400);
  INSERT INTO audit (collection_id, position, suite, suite_digest, success, documents, chunks, failing_documents, summary, expectations, failing, agent, run_id, started_at)
  SELECT c.id, (p_audit ->> 'position')::bigint, p_audit ->> 'suite', p_audit ->> 'suite_digest', (p_audit ->> 'success')::boolean,
    (p_audit ->> 'documents')::bigint, (p_audit ->> 'rows')::bigint, (p_audit ->> 'failing_documents')::bigint,
    p_audit -> 'summary', p_audit -> 'expectations', p_audit -> 'failing_rows', p_audit ->> 'agent', p_audit ->> 'run_id',
    (p_audit ->> 'started_at')::timestamptz
  FROM collection c WHERE c.name = p_collection
  RETURNING id INTO kept;
  RETURN kept;
END $$;

-- Says which operations hid what an audit found. Again: no more than the first time.
CREATE FUNCTION note_audit_quarantines(p_audit bigint, p_operations bigint[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  UPDATE audit SET quarantines = ARRAY(SELECT DISTINCT unnest(quarantines || p_operations) ORDER BY 1) WHERE id = p_audit
$$;

REVOKE ALL ON FUNCTION store_audit(text, jsonb, double precision), note_audit_quarantines(bigint, bigint[]) FROM PUBLIC;
GRANT SELECT ON audit TO recant_reader;
GRANT EXECUTE ON FUNCTION store_audit(text, jsonb, double precision), note_audit_quarantines(bigint, bigint[]) TO recant_coordinator;

RESET ROLE;
