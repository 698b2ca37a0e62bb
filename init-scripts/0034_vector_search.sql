-- What was taken out of a space's vector index has an index of its own, so that searches of earlier positions follow both instead
-- of comparing everything; and rare types and headers of chunks are found by an index.

SET ROLE recant_owner;
SET search_path = recant, public;

-- Both at once: a writer that waits for the one would wait for the other. The second one is empty at first; what leaves the first
-- enters it in the same UPDATE, one by one, at upkeep's expense.
CREATE OR REPLACE FUNCTION build_vector_index(p_space integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  name text := 'embedding_vector_' || p_space;
  dims integer;
BEGIN
  SELECT dimensions INTO STRICT dims FROM embedding_space WHERE id = p_space;
  IF to_regclass('recant.' || name) IS NULL THEN
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON recant.embedding USING hnsw ((vector::halfvec(%s)) halfvec_ip_ops) WHERE space_id = %s AND indexed',
                   name, dims, p_space);
    PERFORM record_build(p_space);
  END IF;
  EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON recant.embedding USING hnsw ((vector::halfvec(%s)) halfvec_ip_ops) WHERE space_id = %s AND NOT indexed',
                 'embedding_outside_vector_' || p_space, dims, p_space);
  RETURN name;
END $$;

DO $$
DECLARE
  space integer;
BEGIN
  PERFORM set_config('maintenance_work_mem', '1GB', true);
  FOR space IN SELECT s.id FROM embedding_space s WHERE to_regclass('recant.embedding_vector_' || s.id) IS NOT NULL LOOP
    PERFORM build_vector_index(space);
  END LOOP;
END $$;

-- How many of these embeddings the operation has written that has most of them: a withdrawn flood stands in the way of the questions
-- that it is about, however small a share of all it is.
CREATE FUNCTION vector_largest_surplus(p_embeddings bigint[]) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT coalesce(max(x.written), 0) FROM (
    SELECT count(DISTINCT c.embedding_id) AS written
    FROM unnest(p_embeddings) AS e (id) JOIN chunk c ON c.embedding_id = e.id JOIN version v ON v.version_id = c.version_id
    GROUP BY v.operation_id) x
$$;

-- Nearly every chunk is of type text, which no index finds sooner; headers are mostly of one document.
CREATE INDEX vector_chunk_type ON chunk (chunk_type, version_id) WHERE chunk_type <> 'text';
CREATE INDEX vector_chunk_headers ON chunk USING gin (parent_headers) WITH (gin_pending_list_limit = 256);

REVOKE ALL ON FUNCTION vector_largest_surplus(bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vector_largest_surplus(bigint[]) TO recant_reader;

RESET ROLE;
