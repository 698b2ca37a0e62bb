-- Embeddings are held against their space once a statement instead of once a row: the foreign key cost a fifth of storing
-- one, and concurrent writers locked the same row of embedding_space. Spaces are never deleted: nobody is granted it.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE FUNCTION check_spaces() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  odd record;
BEGIN
  SELECT a.space_id, a.dimensions, s.dimensions AS expected INTO odd
  FROM (SELECT DISTINCT space_id, vector_dims(vector) AS dimensions FROM added) a
  LEFT JOIN embedding_space s ON s.id = a.space_id
  WHERE s.dimensions IS DISTINCT FROM a.dimensions LIMIT 1;
  IF odd.expected IS NOT NULL THEN
    RAISE EXCEPTION 'embedding space % holds vectors of % dimensions, not of %', odd.space_id, odd.expected, odd.dimensions
      USING ERRCODE = 'data_exception';
  ELSIF odd.space_id IS NOT NULL THEN
    RAISE EXCEPTION 'there is no embedding space %', odd.space_id USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION check_spaces() FROM PUBLIC;

CREATE TRIGGER check_spaces AFTER INSERT ON embedding REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION check_spaces();
ALTER TABLE embedding DROP CONSTRAINT embedding_space_id_fkey;
COMMENT ON COLUMN embedding.space_id IS 'An embedding_space; the vector has as many dimensions. Checked once a statement, which costs less than a foreign key.';

RESET ROLE;
