-- What sessions were shown: a search made inside a session is recorded with the versions that it returns, before it
-- returns them. The session's next write takes these searches. So "was shown it since its previous write, then wrote" is
-- on record, and whoever may have built on what is taken back can be named. Evidence of reads: possible dependents.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE session_search (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  session       text NOT NULL CHECK (length(session) BETWEEN 1 AND 200),
  agent         text CHECK (length(agent) BETWEEN 1 AND 200),
  collection_id integer NOT NULL REFERENCES collection,
  query         text CHECK (length(query) <= 500),
  position      bigint NOT NULL CHECK (position >= 0),
  searched_at   timestamptz NOT NULL,
  operation_id  bigint REFERENCES operation
);
COMMENT ON TABLE session_search IS 'A search inside a session that showed something; written before its hits were given out.';
COMMENT ON COLUMN session_search.query IS 'Its first 500 characters; null for a search by a bare vector.';
COMMENT ON COLUMN session_search.operation_id IS 'The write that took it: the first of the session to finish a batch afterwards. Null until there is one, and again when that one is aborted.';
CREATE INDEX session_search_untaken ON session_search (session, id) WHERE operation_id IS NULL;
CREATE INDEX session_search_taken ON session_search (operation_id) WHERE operation_id IS NOT NULL;

CREATE TABLE session_read (
  search_id    bigint NOT NULL REFERENCES session_search ON DELETE CASCADE,
  operation_id bigint NOT NULL,
  record_id    bigint NOT NULL,
  rank         integer NOT NULL CHECK (rank > 0),
  PRIMARY KEY (search_id, operation_id, record_id)
);
COMMENT ON TABLE session_read IS 'The versions that a search showed, each by its operation and record: version_id is given anew when an operation is published, and goes with a batch that is tried again.';
COMMENT ON COLUMN session_read.rank IS 'Of its best hit; 1 is the best of all.';
CREATE INDEX session_read_input ON session_read (operation_id, record_id) INCLUDE (search_id);

-- One statement, a transaction of its own. It needs no wait for the disk: a write that could have followed from what was
-- shown is committed after this, and the log on disk never has the later without the earlier.
CREATE FUNCTION record_search(p_session text, p_agent text, p_collection integer, p_query text, p_position bigint,
                              p_operations bigint[], p_records bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  recorded bigint;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  INSERT INTO session_search (session, agent, collection_id, query, position, searched_at)
  VALUES (p_session, p_agent, p_collection, left(p_query, 500), p_position, clock_timestamp()) RETURNING id INTO recorded;
  INSERT INTO session_read (search_id, operation_id, record_id, rank)
  SELECT recorded, h.operation_id, h.record_id, min(h.rank)
  FROM unnest(p_operations, p_records) WITH ORDINALITY AS h (operation_id, record_id, rank) GROUP BY h.operation_id, h.record_id;
  RETURN recorded;
END $$;

-- As before, and the write takes what its session was shown. A search that is recorded at the same moment and not seen
-- here is taken by the session's next write.
CREATE OR REPLACE FUNCTION finish_batch(p_batch bigint, p_counts jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  writer record;
BEGIN
  PERFORM check_fence(array_agg(operation_id), array_agg(id)) FROM batch WHERE id = p_batch;
  UPDATE batch SET state = 'done', counts = p_counts WHERE id = p_batch AND state = 'open';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'batch % was taken over by a later attempt', p_batch USING ERRCODE = 'RC003';
  END IF;
  SELECT o.id, o.session INTO writer FROM batch b JOIN operation o ON o.id = b.operation_id WHERE b.id = p_batch;
  IF writer.session IS NOT NULL THEN
    WITH untaken AS (
      SELECT s.id FROM session_search s WHERE s.session = writer.session AND s.operation_id IS NULL ORDER BY s.id FOR UPDATE
    )
    UPDATE session_search s SET operation_id = writer.id FROM untaken u WHERE s.id = u.id;
  END IF;
END $$;

-- What an aborted operation had taken is the next write's: the session was shown it, and goes on.
CREATE FUNCTION return_searches() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  UPDATE session_search SET operation_id = NULL WHERE operation_id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER return_searches AFTER UPDATE OF life ON operation FOR EACH ROW
  WHEN (NEW.life = 'aborted' AND NEW.session IS NOT NULL) EXECUTE FUNCTION return_searches();

REVOKE ALL ON FUNCTION record_search(text, text, integer, text, bigint, bigint[], bigint[]), return_searches() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_search(text, text, integer, text, bigint, bigint[], bigint[]) TO recant_coordinator;
GRANT SELECT ON session_search, session_read TO recant_reader;
GRANT DELETE ON session_search, session_read TO recant_reclaimer;

RESET ROLE;
