-- The keyword index: packed segments, scored outside of the database (docs/explanation/keyword-search.md). A projection of
-- the chunks: what no segment has is read from the chunks themselves, so that an answer never depends on what is indexed.
-- A batch writes its segments with its rows, under the same fence; upkeep merges them. Locks: the index's comes last.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE keyword_segment (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  collection_id integer NOT NULL REFERENCES collection,
  operation_id  bigint,
  batch_id      bigint,
  analysis      text NOT NULL,
  languages     text[] NOT NULL,
  bucket_bits   smallint NOT NULL CHECK (bucket_bits BETWEEN 0 AND 40),
  chunk_count   integer NOT NULL CHECK (chunk_count BETWEEN 1 AND 65536),
  documents     bytea NOT NULL,
  lengths       bytea NOT NULL,
  CHECK ((operation_id IS NULL) = (batch_id IS NULL)),
  CHECK (octet_length(documents) % 32 = 0 AND octet_length(lengths) = 4 * chunk_count)
);
ALTER TABLE keyword_segment ALTER COLUMN documents SET STORAGE EXTERNAL, ALTER COLUMN lengths SET STORAGE EXTERNAL;
COMMENT ON TABLE keyword_segment IS 'Up to 65,536 chunks of one collection, as terms. What is seen of them is decided when it is read.';
COMMENT ON COLUMN keyword_segment.operation_id IS 'The operation whose batch wrote it; null when upkeep made it of several.';
COMMENT ON COLUMN keyword_segment.analysis IS 'How terms are made: segments made otherwise are not read, and upkeep makes them anew.';
COMMENT ON COLUMN keyword_segment.documents IS 'Little-endian bigints: of each document version the operation, then of each the record, of each the number of chunks, of each the language as its place in languages, from 0.';
COMMENT ON COLUMN keyword_segment.lengths IS 'Terms of each chunk: little-endian 32-bit integers.';
CREATE INDEX keyword_segment_collection ON keyword_segment (collection_id, id);
CREATE INDEX keyword_segment_batch ON keyword_segment (batch_id) WHERE batch_id IS NOT NULL;

CREATE TABLE keyword_posting (
  segment_id bigint NOT NULL REFERENCES keyword_segment ON DELETE CASCADE,
  key        bigint NOT NULL,
  data       bytea NOT NULL,
  PRIMARY KEY (segment_id, key)
);
ALTER TABLE keyword_posting ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE keyword_posting IS 'In which chunks of a segment a term occurs, and how often. key: the hash of a frequent term, or -1, -2, … a bucket of rare ones.';

CREATE TABLE keyword_purge (
  operation_id bigint NOT NULL,
  record_id    bigint NOT NULL,
  PRIMARY KEY (operation_id, record_id)
);
COMMENT ON TABLE keyword_purge IS 'Document versions whose payload was destroyed, and whose terms may be in a segment still. `recant erase` and `recant reclaim` see to them at once, upkeep to what a crash left.';

-- A segment belongs to an open operation and its batch. Only the functions below write others, as the owner.
CREATE FUNCTION fence_keyword_segments() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = recant, public, pg_temp AS $$
BEGIN
  IF current_user <> 'recant_owner' THEN
    IF EXISTS (SELECT FROM added WHERE operation_id IS NULL) THEN
      RAISE EXCEPTION 'a segment of no operation is written by upkeep only' USING ERRCODE = 'RC002';
    END IF;
    PERFORM check_fence(array_agg(DISTINCT operation_id), array_agg(DISTINCT batch_id)) FROM added HAVING count(*) > 0;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER fence AFTER INSERT ON keyword_segment REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence_keyword_segments();

CREATE FUNCTION fence_keyword_postings() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = recant, public, pg_temp AS $$
BEGIN
  IF current_user <> 'recant_owner' THEN
    IF EXISTS (SELECT FROM (SELECT DISTINCT segment_id FROM added) a JOIN keyword_segment s ON s.id = a.segment_id WHERE s.operation_id IS NULL) THEN
      RAISE EXCEPTION 'a segment of no operation is written by upkeep only' USING ERRCODE = 'RC002';
    END IF;
    PERFORM check_fence(array_agg(DISTINCT s.operation_id), array_agg(DISTINCT s.batch_id))
    FROM (SELECT DISTINCT segment_id FROM added) a JOIN keyword_segment s ON s.id = a.segment_id HAVING count(*) > 0;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER fence AFTER INSERT ON keyword_posting REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence_keyword_postings();

-- With a batch's rows go its segments: before they are discarded, the batch is superseded.
CREATE FUNCTION discard_keyword_segments() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  DELETE FROM keyword_segment WHERE batch_id = NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER discard_keyword_segments AFTER UPDATE OF state ON batch FOR EACH ROW
  WHEN (NEW.state = 'superseded') EXECUTE FUNCTION discard_keyword_segments();

CREATE FUNCTION queue_keyword_purge() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  INSERT INTO keyword_purge (operation_id, record_id)
  SELECT c.operation_id, c.record_id FROM changed c WHERE c.payload <> 'kept' AND NOT c.tombstone ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER queue_keyword_purge AFTER UPDATE ON version REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION queue_keyword_purge();

-- One at a time changes segments that are written already. Held until the transaction ends.
CREATE FUNCTION lock_keyword_index() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$ SELECT pg_advisory_xact_lock(7241169, 20) $$;

-- Puts a segment in the place of others, which the caller has read under the index's lock; null documents: nothing comes in
-- their place. Segments of an open operation are replaced one by one, and stay its batch's.
CREATE FUNCTION replace_keyword_segments(
  p_collection integer, p_old bigint[], p_analysis text, p_languages text[], p_bucket_bits integer, p_chunks integer,
  p_documents bytea, p_lengths bytea, p_keys bigint[], p_data bytea[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  owner_id bigint;
  owner_batch bigint;
  made bigint;
BEGIN
  PERFORM lock_keyword_index();
  IF cardinality(p_old) > (SELECT count(*) FROM keyword_segment s WHERE s.id = ANY (p_old) AND s.collection_id = p_collection) THEN
    RAISE EXCEPTION 'segments % are no longer there', p_old USING ERRCODE = 'serialization_failure';
  END IF;
  SELECT s.operation_id, s.batch_id INTO owner_id, owner_batch
  FROM keyword_segment s JOIN operation o ON o.id = s.operation_id WHERE s.id = ANY (p_old) AND o.life = 'open';
  IF owner_id IS NOT NULL AND cardinality(p_old) > 1 THEN
    RAISE EXCEPTION 'operation % is open: its segments are not merged', owner_id USING ERRCODE = 'RC002';
  END IF;
  DELETE FROM keyword_segment WHERE id = ANY (p_old);
  IF p_documents IS NULL THEN
    RETURN NULL;
  END IF;
  INSERT INTO keyword_segment (collection_id, operation_id, batch_id, analysis, languages, bucket_bits, chunk_count, documents, lengths)
  VALUES (p_collection, owner_id, owner_batch, p_analysis, p_languages, p_bucket_bits, p_chunks, p_documents, p_lengths)
  RETURNING id INTO made;
  INSERT INTO keyword_posting (segment_id, key, data) SELECT made, u.key, u.data FROM unnest(p_keys, p_data) AS u (key, data);
  RETURN made;
END $$;

-- Of these document versions, those that are there with their payload, and whose operation is published. Locked, so that
-- an erasure comes before or after, never in between.
CREATE FUNCTION lock_indexable(p_operations bigint[], p_records bigint[]) RETURNS TABLE (operation_id bigint, record_id bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT v.operation_id, v.record_id
  FROM unnest(p_operations, p_records) AS u (o, r)
  JOIN version v ON v.operation_id = u.o AND v.record_id = u.r AND v.payload = 'kept'
  JOIN operation o ON o.id = v.operation_id AND o.life = 'published'
  FOR SHARE OF v
$$;

-- Those of the queue that have been seen to.
CREATE FUNCTION finish_keyword_purge(p_operations bigint[], p_records bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  gone bigint;
BEGIN
  DELETE FROM keyword_purge q USING unnest(p_operations, p_records) AS u (o, r) WHERE q.operation_id = u.o AND q.record_id = u.r;
  GET DIAGNOSTICS gone = ROW_COUNT;
  RETURN gone;
END $$;

REVOKE ALL ON FUNCTION fence_keyword_segments(), fence_keyword_postings(), discard_keyword_segments(), queue_keyword_purge(), lock_keyword_index(),
  replace_keyword_segments(integer, bigint[], text, text[], integer, integer, bytea, bytea, bigint[], bytea[]),
  lock_indexable(bigint[], bigint[]), finish_keyword_purge(bigint[], bigint[]) FROM PUBLIC;
GRANT SELECT ON keyword_segment, keyword_posting, keyword_purge TO recant_reader, recant_writer;
GRANT INSERT ON keyword_segment, keyword_posting TO recant_writer;
GRANT EXECUTE ON FUNCTION check_fence(bigint[], bigint[]) TO recant_writer;
GRANT EXECUTE ON FUNCTION lock_keyword_index(),
  replace_keyword_segments(integer, bigint[], text, text[], integer, integer, bytea, bytea, bigint[], bytea[]),
  lock_indexable(bigint[], bigint[]), finish_keyword_purge(bigint[], bigint[]) TO recant_coordinator;

RESET ROLE;
