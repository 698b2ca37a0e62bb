-- Files outside the database that an operation made from what is in it: archives and exports.
--
-- An artifact has no state of its own: whether it still holds what it should follows from the log, at every moment. So a
-- rollback makes the files stale that hold what it withdraws, in its own transaction; and a redo makes them good again.
-- An artifact is nobody's dependent: a nightly export must not stand in the way of every rollback (ADR 0015).

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE artifact (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  operation_id   bigint NOT NULL REFERENCES operation,
  batch_id       bigint NOT NULL REFERENCES batch,
  kind           text NOT NULL CHECK (kind IN ('archive', 'export')),
  path           text NOT NULL CHECK (length(path) BETWEEN 1 AND 4096),
  format         text NOT NULL CHECK (format ~ '^[a-z0-9][a-z0-9.+-]*$'),
  collection_id  integer REFERENCES collection,
  first_position bigint NOT NULL DEFAULT 1 CHECK (first_position >= 1),
  position       bigint NOT NULL CHECK (position >= 0),
  read_position  bigint NOT NULL,
  scope          jsonb NOT NULL DEFAULT '{}',
  sha256         bytea NOT NULL CHECK (length(sha256) = 32),
  size_bytes     bigint NOT NULL CHECK (size_bytes >= 0),
  files          jsonb NOT NULL DEFAULT '[]',
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  removed_at     timestamptz,
  removed_by     text,
  CHECK (position <= read_position)
);
COMMENT ON TABLE artifact IS 'Archives and exports. What state one is in is answered by artifact_state, from the log.';
COMMENT ON COLUMN artifact.collection_id IS 'What it holds is of this collection; null: of all.';
COMMENT ON COLUMN artifact.first_position IS 'It holds what operations from this position on wrote, up to `position`.';
COMMENT ON COLUMN artifact.position IS 'It holds what was seen at this position.';
COMMENT ON COLUMN artifact.read_position IS 'The last position when it was read: later than `position` where an earlier state was asked for. What had changed by then was known.';
COMMENT ON COLUMN artifact.scope IS 'How it was asked for, so that it can be made again.';
COMMENT ON COLUMN artifact.files IS '[{path, sha256, size_bytes, rows}]; paths relative to the artifact''s where it is a folder.';
CREATE INDEX artifact_operation ON artifact (operation_id);
CREATE INDEX artifact_batch ON artifact (batch_id);
CREATE INDEX artifact_path ON artifact (path, id);

-- What has changed visibility since a position is found by the control operations, which are few.
CREATE INDEX operation_control ON operation (position) WHERE control;

CREATE TRIGGER fence AFTER INSERT ON artifact REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence();

CREATE FUNCTION discard_artifacts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  DELETE FROM artifact WHERE batch_id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER discard_artifacts AFTER UPDATE OF state ON batch FOR EACH ROW
  WHEN (NEW.state = 'superseded') EXECUTE FUNCTION discard_artifacts();

-- Why an artifact no longer holds what it should: an operation that it holds was hidden since it was read, or shown again,
-- whole or for one record; or a document that it may hold was erased.
CREATE FUNCTION artifact_reasons(p_artifact bigint) RETURNS TABLE (reason text, operation_id bigint, record_id bigint, control_id bigint)
LANGUAGE sql STABLE SET search_path = recant, public, pg_temp AS $$
  WITH made AS (
    SELECT a.* FROM artifact a WHERE a.id = p_artifact
  ), since AS MATERIALIZED (
    SELECT c.id, c.position, c.kind, c.parameters FROM made a JOIN operation c ON c.control AND c.position > a.read_position
  ), flipped AS (
    SELECT h.operation_id, max(s.id) AS control_id FROM since s JOIN visibility_history h ON h.from_position = s.position GROUP BY h.operation_id
  ), record_flipped AS (
    SELECT h.operation_id, h.record_id, max(s.id) AS control_id
    FROM since s JOIN record_visibility_history h ON h.from_position = s.position GROUP BY h.operation_id, h.record_id
  ), held AS (
    SELECT f.operation_id, f.control_id, o.visible,
           (SELECT s.visible FROM visibility_history s WHERE s.operation_id = o.id AND s.from_position <= a.position
            ORDER BY s.from_position DESC LIMIT 1) AS was
    FROM made a CROSS JOIN flipped f JOIN operation o ON o.id = f.operation_id
    WHERE NOT o.control AND o.position BETWEEN a.first_position AND a.position AND (a.collection_id IS NULL OR o.collection_id = a.collection_id)
  ), held_record AS (
    SELECT f.operation_id, f.record_id, f.control_id,
           o.visible AND NOT EXISTS (SELECT FROM withheld w WHERE w.operation_id = f.operation_id AND w.record_id = f.record_id) AS visible,
           (SELECT s.visible FROM visibility_history s WHERE s.operation_id = o.id AND s.from_position <= a.position
            ORDER BY s.from_position DESC LIMIT 1)
           AND coalesce((SELECT s.visible FROM record_visibility_history s
                         WHERE s.operation_id = f.operation_id AND s.record_id = f.record_id AND s.from_position <= a.position
                         ORDER BY s.from_position DESC LIMIT 1), true) AS was
    FROM made a CROSS JOIN record_flipped f JOIN operation o ON o.id = f.operation_id
    WHERE o.position BETWEEN a.first_position AND a.position AND (a.collection_id IS NULL OR o.collection_id = a.collection_id)
  )
  SELECT CASE WHEN visible THEN 'shown' ELSE 'hidden' END, operation_id, NULL, control_id FROM held WHERE visible <> was
  UNION ALL
  SELECT CASE WHEN visible THEN 'shown' ELSE 'hidden' END, operation_id, record_id, control_id FROM held_record WHERE visible <> was
  UNION ALL
  SELECT 'erased', v.operation_id, v.record_id, s.id
  FROM made a
  JOIN since s ON s.kind = 'erase'
  JOIN version v ON v.record_id = (s.parameters ->> 'document_id')::bigint
  JOIN operation o ON o.id = v.operation_id
  WHERE o.position BETWEEN a.first_position AND a.position AND (a.collection_id IS NULL OR o.collection_id = a.collection_id)
$$;

CREATE VIEW artifact_state AS
SELECT a.id, a.kind, a.path, a.format, a.operation_id, c.name AS collection, a.first_position, a.position, a.read_position, a.scope,
       a.sha256, a.size_bytes, a.files, a.created_at, a.removed_at, a.removed_by, o.agent,
       CASE
         WHEN a.removed_at IS NOT NULL THEN 'removed'
         WHEN EXISTS (SELECT FROM artifact n JOIN operation m ON m.id = n.operation_id
                      WHERE n.path = a.path AND n.id > a.id AND m.life = 'published') THEN 'replaced'
         WHEN NOT o.visible THEN 'withdrawn'
         WHEN EXISTS (SELECT FROM artifact_reasons(a.id) r WHERE r.reason = 'erased') THEN 'erased'
         WHEN EXISTS (SELECT FROM artifact_reasons(a.id)) THEN 'stale'
         ELSE 'current'
       END AS state
FROM artifact a JOIN operation o ON o.id = a.operation_id LEFT JOIN collection c ON c.id = a.collection_id
WHERE o.life = 'published';
COMMENT ON VIEW artifact_state IS 'current; stale: holds what is hidden now, or lacks what is shown again; erased: holds what was erased; withdrawn: its own operation was taken back; replaced by a later one at its path; removed.';

CREATE FUNCTION record_artifact(
  p_batch bigint, p_kind text, p_path text, p_format text, p_collection text, p_first_position bigint, p_position bigint,
  p_read_position bigint, p_scope jsonb, p_sha256 bytea, p_size_bytes bigint, p_files jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  held integer := (SELECT id FROM collection WHERE name = p_collection);
  recorded bigint;
BEGIN
  IF held IS NULL AND p_collection IS NOT NULL THEN
    RAISE EXCEPTION 'there is no collection "%"', p_collection USING ERRCODE = 'RC009';
  END IF;
  INSERT INTO artifact (operation_id, batch_id, kind, path, format, collection_id, first_position, position, read_position, scope, sha256,
                        size_bytes, files)
  SELECT b.operation_id, b.id, p_kind, p_path, p_format, held, p_first_position, p_position, p_read_position, p_scope, p_sha256, p_size_bytes,
         p_files
  FROM batch b WHERE b.id = p_batch
  RETURNING id INTO recorded;
  RETURN recorded;
END $$;

CREATE FUNCTION remove_artifact(p_artifact bigint, p_by text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  UPDATE artifact SET removed_at = clock_timestamp(), removed_by = p_by WHERE id = p_artifact AND removed_at IS NULL;
  RETURN FOUND;
END $$;

-- Those whose files hold something that these operations wrote, and stand where they were put.
CREATE FUNCTION artifacts_holding(p_operations bigint[]) RETURNS SETOF artifact_state
LANGUAGE sql STABLE SET search_path = recant, public, pg_temp AS $$
  SELECT a.* FROM artifact_state a LEFT JOIN collection c ON c.name = a.collection
  WHERE a.state NOT IN ('removed', 'replaced') AND EXISTS (
    SELECT FROM operation o
    WHERE o.id = ANY (p_operations) AND NOT o.control AND o.position BETWEEN a.first_position AND a.position
      AND (c.id IS NULL OR o.collection_id = c.id)
      AND (SELECT s.visible FROM visibility_history s WHERE s.operation_id = o.id AND s.from_position <= a.position
           ORDER BY s.from_position DESC LIMIT 1))
  ORDER BY a.path
$$;

REVOKE ALL ON FUNCTION discard_artifacts(), artifact_reasons(bigint), artifacts_holding(bigint[]),
  record_artifact(bigint, text, text, text, text, bigint, bigint, bigint, jsonb, bytea, bigint, jsonb), remove_artifact(bigint, text) FROM PUBLIC;
GRANT SELECT ON artifact, artifact_state TO recant_reader;
GRANT EXECUTE ON FUNCTION artifact_reasons(bigint), artifacts_holding(bigint[]) TO recant_reader;
GRANT EXECUTE ON FUNCTION record_artifact(bigint, text, text, text, text, bigint, bigint, bigint, jsonb, bytea, bigint, jsonb) TO recant_writer;
GRANT EXECUTE ON FUNCTION remove_artifact(bigint, text) TO recant_coordinator;

RESET ROLE;
