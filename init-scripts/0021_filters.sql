-- Filters on metadata: what makes few matches among many quick to find (docs/decisions/0019-filters-before-vectors.md). And
-- the history of how good searches were.

SET ROLE recant_owner;
SET search_path = recant, public;

-- A document has one row of attributes, so its index costs little; chunks mostly say only where they stand in the text,
-- and that is left out of theirs.
CREATE INDEX document_version_attributes ON document_version USING gin (attributes jsonb_path_ops) WITH (gin_pending_list_limit = 256);
CREATE INDEX chunk_attributes ON chunk USING gin ((attributes - '{line_start,line_end,page,page_end}'::text[]) jsonb_path_ops)
  WITH (gin_pending_list_limit = 256) WHERE attributes - '{line_start,line_end,page,page_end}'::text[] <> '{}';
CREATE INDEX record_prefix ON record (key text_pattern_ops) WHERE kind = 'document';

CREATE TABLE chunk_attribute (
  key text NOT NULL
);
COMMENT ON TABLE chunk_attribute IS 'Keys that some chunk has an attribute of, now or once; any other key is the documents'' alone, which a filter can then be decided by. Without a unique index, so that writers never wait for each other: a key may stand in it more than once.';

CREATE FUNCTION note_chunk_attributes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  INSERT INTO chunk_attribute (key)
  SELECT DISTINCT k.key FROM added, jsonb_object_keys(added.attributes) AS k (key)
  EXCEPT SELECT key FROM chunk_attribute;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION note_chunk_attributes() FROM PUBLIC;
CREATE TRIGGER note_attributes AFTER INSERT ON chunk REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION note_chunk_attributes();
INSERT INTO chunk_attribute SELECT DISTINCT jsonb_object_keys(attributes) FROM chunk;

-- The moment that a text spells, in UTC where it names no zone; null for any other text.
CREATE FUNCTION attribute_time(p_text text) RETURNS timestamptz
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN CASE
  WHEN p_text !~ '^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$' THEN NULL
  WHEN NOT pg_input_is_valid(p_text, 'timestamptz') THEN NULL
  WHEN p_text ~ '(Z|[+-]\d{2}(:?\d{2})?)$' AND length(p_text) > 10 THEN p_text::timestamptz
  ELSE p_text::timestamp AT TIME ZONE 'UTC' END;
REVOKE ALL ON FUNCTION attribute_time(text) FROM PUBLIC;

GRANT SELECT ON chunk_attribute TO recant_reader, recant_writer;
GRANT EXECUTE ON FUNCTION attribute_time(text) TO recant_reader;

CREATE TABLE evaluation (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  collection_id  integer NOT NULL REFERENCES collection,
  position       bigint NOT NULL CHECK (position >= 0),
  mode           text NOT NULL,
  queries_name   text NOT NULL CHECK (length(queries_name) BETWEEN 1 AND 300),
  queries_digest text NOT NULL,
  queries        integer NOT NULL CHECK (queries > 0),
  k              integer NOT NULL CHECK (k > 0),
  measures       jsonb NOT NULL,
  latency        jsonb NOT NULL,
  evaluated_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE evaluation IS 'How good searches were on judged queries: what a later evaluation of the same is held against.';
COMMENT ON COLUMN evaluation.queries_digest IS 'sha256 of the queries and their grades: only equal sets are compared.';
CREATE INDEX evaluation_series ON evaluation (collection_id, mode, queries_digest, k, id);

CREATE FUNCTION store_evaluation(p_collection text, p_position bigint, p_mode text, p_queries_name text, p_queries_digest text, p_queries integer,
                                 p_k integer, p_measures jsonb, p_latency jsonb) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  INSERT INTO evaluation (collection_id, position, mode, queries_name, queries_digest, queries, k, measures, latency)
  SELECT c.id, p_position, p_mode, p_queries_name, p_queries_digest, p_queries, p_k, p_measures, p_latency
  FROM collection c WHERE c.name = p_collection RETURNING id;
$$;
REVOKE ALL ON FUNCTION store_evaluation(text, bigint, text, text, text, integer, integer, jsonb, jsonb) FROM PUBLIC;
GRANT SELECT ON evaluation TO recant_reader;
GRANT EXECUTE ON FUNCTION store_evaluation(text, bigint, text, text, text, integer, integer, jsonb, jsonb) TO recant_coordinator;

RESET ROLE;
