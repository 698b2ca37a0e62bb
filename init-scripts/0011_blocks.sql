-- Blocks: content and sources that are not wanted. An ingest leaves out what a block in effect names, and says so.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE block (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  collection_id integer REFERENCES collection,
  source_hash   bytea CHECK (octet_length(source_hash) = 32),
  source        text CHECK (octet_length(source) BETWEEN 1 AND 2000),
  seen_as       text,
  reason        text NOT NULL CHECK (reason <> ''),
  control_id    bigint REFERENCES operation,
  agent         text NOT NULL CHECK (length(agent) BETWEEN 1 AND 200),
  created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  lifted_at     timestamptz,
  lifted_by     text,
  lift_reason   text,
  CHECK (source_hash IS NOT NULL OR source IS NOT NULL),
  CHECK ((lifted_at IS NULL) = (lifted_by IS NULL) AND (lifted_at IS NULL) = (lift_reason IS NULL))
);
COMMENT ON TABLE block IS 'What an ingest is to leave out, by its bytes, by its source, or, where both are there, those bytes under that source.';
COMMENT ON COLUMN block.collection_id IS 'Where it holds; null: in every collection.';
COMMENT ON COLUMN block.source_hash IS 'sha256 of the content as it is read (document_version.source_hash).';
COMMENT ON COLUMN block.seen_as IS 'The source under which blocked content stood. Told to people, not tested.';
COMMENT ON COLUMN block.control_id IS 'The rollback that set it: the block is in effect while that rollback is.';
CREATE INDEX block_source_hash ON block (source_hash) WHERE lifted_at IS NULL AND source_hash IS NOT NULL;
CREATE INDEX block_source ON block (source) WHERE lifted_at IS NULL AND source IS NOT NULL;
CREATE INDEX block_control ON block (control_id) WHERE control_id IS NOT NULL;

-- A redo of the rollback that set a block lifts it, and an undo of that redo brings it back: nothing else has to be told.
CREATE VIEW block_in_effect AS
SELECT b.* FROM block b LEFT JOIN operation c ON c.id = b.control_id
WHERE b.lifted_at IS NULL AND (b.control_id IS NULL OR c.visible);

-- Blocks content, a source, or that content under that source. A block like it that is in effect already is given instead.
CREATE FUNCTION add_block(p_collection text, p_source_hash bytea, p_source text, p_reason text, p_agent text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  in_collection integer;
  found bigint;
BEGIN
  IF p_collection IS NOT NULL THEN
    SELECT id INTO in_collection FROM collection WHERE name = p_collection;
    IF in_collection IS NULL THEN
      RAISE EXCEPTION 'no collection is named "%"', p_collection USING ERRCODE = 'RC009';
    END IF;
  END IF;
  SELECT b.id INTO found FROM block b
  WHERE b.lifted_at IS NULL AND b.control_id IS NULL AND b.collection_id IS NOT DISTINCT FROM in_collection
    AND b.source_hash IS NOT DISTINCT FROM p_source_hash AND b.source IS NOT DISTINCT FROM p_source;
  IF found IS NULL THEN
    INSERT INTO block (collection_id, source_hash, source, reason, agent)
    VALUES (in_collection, p_source_hash, p_source, p_reason, p_agent) RETURNING id INTO found;
  END IF;
  RETURN found;
END $$;

-- Lifts those that weren't lifted before, and gives their ids.
CREATE FUNCTION lift_blocks(p_ids bigint[], p_reason text, p_agent text) RETURNS SETOF bigint
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  UPDATE block SET lifted_at = clock_timestamp(), lifted_by = p_agent, lift_reason = p_reason
  WHERE id = ANY (p_ids) AND lifted_at IS NULL RETURNING id
$$;

-- What withdrawing operations, and single records of others, makes unwanted: the content of each document version, and the
-- source where no other version of the document is seen (a bad version of a good document must not block the good one's source).
CREATE FUNCTION unwanted_content(p_operations bigint[], p_record_operations bigint[], p_records bigint[])
RETURNS TABLE (collection_id integer, source_hash bytea, source text, gone boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH away AS MATERIALIZED (
    SELECT v.version_id, v.record_id FROM version v WHERE v.operation_id = ANY (p_operations)
    UNION
    SELECT v.version_id, v.record_id FROM unnest(p_record_operations, p_records) AS p (operation_id, record_id)
    JOIN version v USING (operation_id, record_id)
  ), other AS MATERIALIZED (
    SELECT v.version_id, v.record_id FROM version v WHERE v.record_id IN (SELECT record_id FROM away)
    EXCEPT SELECT version_id, record_id FROM away
  )
  SELECT r.collection_id, d.source_hash, r.key, r.id NOT IN (SELECT s.record_id FROM other JOIN seen_version s USING (version_id))
  FROM away a JOIN document_version d ON d.version_id = a.version_id JOIN record r ON r.id = a.record_id
$$;

-- Blocks what a rollback has withdrawn, in the rollback's transaction and with its agent and reason. Gives the number of blocks.
CREATE FUNCTION block_withdrawn(p_control bigint) RETURNS bigint
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
      unwanted_content(o.ids, r.operations, r.ids) u
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

REVOKE ALL ON FUNCTION add_block(text, bytea, text, text, text), lift_blocks(bigint[], text, text), unwanted_content(bigint[], bigint[], bigint[]),
  block_withdrawn(bigint) FROM PUBLIC;
GRANT SELECT ON block, block_in_effect TO recant_reader;
GRANT EXECUTE ON FUNCTION unwanted_content(bigint[], bigint[], bigint[]) TO recant_reader;
GRANT EXECUTE ON FUNCTION add_block(text, bytea, text, text, text), lift_blocks(bigint[], text, text), block_withdrawn(bigint)
  TO recant_coordinator;

RESET ROLE;
