-- What meaning counts against words in a collection's hybrid searches: versions of one record (kind `search_weights`), written by
-- operations of kind `set_search_weights`, so that a rollback gives back what held before, and a search as of a position fuses
-- as it did then.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE search_weights (
  version_id      bigint PRIMARY KEY REFERENCES version ON UPDATE CASCADE ON DELETE CASCADE,
  method          text NOT NULL CHECK (method IN ('max', 'rrf')),
  semantic_weight double precision CHECK (semantic_weight BETWEEN 0 AND 1)
);
COMMENT ON TABLE search_weights IS 'How hybrid searches of a collection make one ranking of two, where the search doesn''t say.';
COMMENT ON COLUMN search_weights.semantic_weight IS 'What meaning counts against words; null: as where nothing is set.';
CREATE TRIGGER fence AFTER INSERT ON search_weights REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence_parts();
CREATE INDEX operation_search_weights ON operation (collection_id, position) WHERE kind = 'set_search_weights';

-- The weights that are seen at a position; no row where none were set, or they were taken away. From the newest operation on,
-- until one is found that is visible and not withheld.
CREATE FUNCTION search_weights_at(p_collection integer, p_position bigint)
RETURNS TABLE (method text, semantic_weight double precision, version_id bigint, operation_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT w.method, w.semantic_weight, h.version_id, h.operation_id
  FROM (
    SELECT v.version_id, v.operation_id
    FROM operation o JOIN version v ON v.operation_id = o.id
    WHERE o.collection_id = p_collection AND o.kind = 'set_search_weights' AND o.position <= p_position
      AND (SELECT h.visible FROM visibility_history h
           WHERE h.operation_id = o.id AND h.from_position <= p_position ORDER BY h.from_position DESC LIMIT 1)
      AND coalesce((SELECT h.visible FROM record_visibility_history h
           WHERE h.operation_id = o.id AND h.record_id = v.record_id AND h.from_position <= p_position
           ORDER BY h.from_position DESC LIMIT 1), true)
    ORDER BY o.position DESC LIMIT 1) h
  JOIN search_weights w ON w.version_id = h.version_id
$$;

REVOKE ALL ON FUNCTION search_weights_at(integer, bigint) FROM PUBLIC;
GRANT SELECT ON search_weights TO recant_reader;
GRANT SELECT, INSERT ON search_weights TO recant_writer;
GRANT EXECUTE ON FUNCTION search_weights_at(integer, bigint) TO recant_reader;

RESET ROLE;
