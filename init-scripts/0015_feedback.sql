-- Feedback on chunks, and rollbacks that are proposed because of it or of a failed audit.
--
-- Feedback is a record like any other: versions under an operation of kind `feedback`, so that a bomb of it is rolled back
-- by its agent. It writes no dependency: what somebody says of a poisoned document must not stand in the way of taking the
-- document back. Feedback whose target isn't seen doesn't count.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE feedback (
  version_id          bigint PRIMARY KEY REFERENCES version ON UPDATE CASCADE,
  target_version_id   bigint NOT NULL REFERENCES version ON UPDATE CASCADE,
  chunk_index         integer NOT NULL CHECK (chunk_index >= 0),
  target_record_id    bigint NOT NULL REFERENCES record,
  target_operation_id bigint NOT NULL REFERENCES operation,
  verdict             text NOT NULL CHECK (verdict IN ('helpful', 'outdated', 'incorrect', 'confusing', 'duplicate')),
  comment             text NOT NULL DEFAULT '' CHECK (length(comment) <= 4000),
  given_by            text NOT NULL CHECK (length(given_by) BETWEEN 1 AND 200)
);
COMMENT ON TABLE feedback IS 'What a reader said of one chunk of a document version. Counts while its own version and its target are seen.';
COMMENT ON COLUMN feedback.chunk_index IS 'The chunk''s place in that version; with target_version_id it is the chunk.';
CREATE INDEX feedback_target ON feedback (target_version_id, chunk_index);
CREATE INDEX feedback_target_record ON feedback (target_record_id);
CREATE TRIGGER fence AFTER INSERT ON feedback REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence_parts();

CREATE OR REPLACE FUNCTION discard_batch(p_batch bigint) RETURNS void
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
  DELETE FROM feedback f USING version v WHERE f.version_id = v.version_id AND v.batch_id = p_batch
    AND v.operation_id = (SELECT operation_id FROM batch WHERE id = p_batch);
  DELETE FROM version WHERE batch_id = p_batch AND operation_id = (SELECT operation_id FROM batch WHERE id = p_batch);
$$;

CREATE OR REPLACE FUNCTION discard_versions(p_operation bigint, p_versions bigint[]) RETURNS bigint
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
  DELETE FROM feedback WHERE version_id = ANY (p_versions);
  DELETE FROM version WHERE version_id = ANY (p_versions);
  GET DIAGNOSTICS discarded = ROW_COUNT;
  RETURN discarded;
END $$;

-- A comment may quote what it is about: it goes when the document is erased, and when its own version's payload does.
CREATE FUNCTION forget_comments() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  UPDATE feedback SET comment = '' WHERE version_id = NEW.version_id AND comment <> '';
  IF NEW.payload = 'erased' THEN
    UPDATE feedback SET comment = '' WHERE target_record_id = NEW.record_id AND comment <> '';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER forget_comments AFTER UPDATE OF payload ON version FOR EACH ROW
  WHEN (NEW.payload <> 'kept') EXECUTE FUNCTION forget_comments();

CREATE TABLE proposal (
  plan_id        uuid PRIMARY KEY REFERENCES rollback_plan,
  operation_id   bigint NOT NULL REFERENCES operation,
  evidence       jsonb NOT NULL,
  replaces       uuid UNIQUE REFERENCES rollback_plan,
  quarantined_as bigint REFERENCES operation
);
COMMENT ON TABLE proposal IS 'A plan that nobody asked for: why it was made. Its life is the plan''s.';
COMMENT ON COLUMN proposal.evidence IS 'What is shown to whoever approves: by document, the expectations that fail and the verdicts given.';
COMMENT ON COLUMN proposal.replaces IS 'The earlier proposal that this one says more than, or goes on with.';
COMMENT ON COLUMN proposal.quarantined_as IS 'The quarantine that hid at once what is proposed, where the installation is set to do so.';
CREATE INDEX proposal_operation ON proposal (operation_id);

CREATE TABLE proposal_evidence (
  plan_id     uuid NOT NULL REFERENCES proposal,
  version_id  bigint NOT NULL REFERENCES version ON UPDATE CASCADE,
  expectation text NOT NULL DEFAULT '',
  PRIMARY KEY (version_id, expectation, plan_id)
);
COMMENT ON TABLE proposal_evidence IS 'Each piece by itself: a document''s version with the expectation that it fails, or the version of a feedback.';

-- Pieces of evidence that a person has decided about: rejected, or taken back (and perhaps redone since). They are no
-- reason to ask again. A plan that has merely expired, or was replaced, decides nothing.
CREATE VIEW decided_evidence AS
SELECT e.version_id, e.expectation
FROM proposal_evidence e JOIN rollback_plan r ON r.id = e.plan_id
WHERE plan_life(r) IN ('aborted', 'applied', 'verified')
  AND NOT EXISTS (SELECT FROM proposal n WHERE n.replaces = e.plan_id);

-- One at a time, so that two who look at the same moment don't both ask. Held until the transaction ends.
CREATE FUNCTION lock_proposals() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$ SELECT pg_advisory_xact_lock(7241169, 5) $$;

CREATE FUNCTION store_proposal(p_plan uuid, p_operation bigint, p_evidence jsonb, p_replaces uuid, p_quarantined_as bigint,
                               p_versions bigint[], p_expectations text[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  INSERT INTO proposal (plan_id, operation_id, evidence, replaces, quarantined_as)
  VALUES (p_plan, p_operation, p_evidence, p_replaces, p_quarantined_as);
  INSERT INTO proposal_evidence (plan_id, version_id, expectation)
  SELECT p_plan, u.version_id, u.expectation FROM unnest(p_versions, p_expectations) AS u (version_id, expectation);
$$;

REVOKE ALL ON FUNCTION forget_comments(), lock_proposals(), store_proposal(uuid, bigint, jsonb, uuid, bigint, bigint[], text[]) FROM PUBLIC;
GRANT SELECT ON feedback, proposal, proposal_evidence, decided_evidence TO recant_reader;
GRANT SELECT, INSERT ON feedback TO recant_writer;
GRANT EXECUTE ON FUNCTION lock_proposals(), store_proposal(uuid, bigint, jsonb, uuid, bigint, bigint[], text[]) TO recant_coordinator;
GRANT DELETE ON feedback TO recant_reclaimer;

RESET ROLE;
