-- Re-embedding: which embedding space a collection uses is a version of a record (kind `embedding_space`), written by an
-- operation of kind `reembed`. Vectors of several spaces stand side by side, addressed by the sha256 of their texts, so that
-- changing over, going back and going forth again are each a change of one head, and compute nothing.
--
-- What holds at every position: each chunk that was ever published, seen or not, has a vector in the space that is in use.
-- It is checked wherever something is published or gets a verdict, from where it was last found to hold (kept_space).
-- Error code: RC040 vectors missing. Advisory lock (7241169, 27): shared by whoever deletes embeddings; whoever checks waits
-- for those at work to end.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE embedding_choice (
  version_id        bigint PRIMARY KEY REFERENCES version ON UPDATE CASCADE ON DELETE CASCADE,
  space_id          integer NOT NULL REFERENCES embedding_space,
  previous_space_id integer NOT NULL REFERENCES embedding_space,
  soak_until        timestamptz NOT NULL
);
COMMENT ON TABLE embedding_choice IS 'The embedding space that a collection uses, while this is the head of its record; without one it is collection.space_id.';
COMMENT ON COLUMN embedding_choice.soak_until IS 'Until then what is ingested is embedded in the previous space, too.';
CREATE TRIGGER fence AFTER INSERT ON embedding_choice REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence_parts();

CREATE TABLE kept_space (
  collection_id    integer NOT NULL REFERENCES collection,
  space_id         integer NOT NULL REFERENCES embedding_space,
  covered_position bigint NOT NULL DEFAULT 0,
  building         boolean NOT NULL DEFAULT false,
  PRIMARY KEY (collection_id, space_id)
);
COMMENT ON TABLE kept_space IS 'Spaces in which a collection''s texts have vectors, or shall have: those are not deleted while a chunk has the text. No rows: it was never re-embedded.';
COMMENT ON COLUMN kept_space.covered_position IS 'Every chunk published until then has a vector in the space.';
COMMENT ON COLUMN kept_space.building IS 'Meant to be used next: what is ingested is embedded in it, too, and its index holds what is seen.';
CREATE INDEX kept_space_space ON kept_space (space_id);

CREATE VIEW collection_space AS
SELECT c.id AS collection_id, c.name, coalesce(x.space_id, c.space_id) AS space_id, x.previous_space_id, x.soak_until, x.operation_id
FROM collection c
LEFT JOIN LATERAL (
  SELECT h.space_id, h.previous_space_id, h.soak_until, v.operation_id
  FROM record r JOIN seen_version v ON v.record_id = r.id LEFT JOIN embedding_choice h ON h.version_id = v.version_id
  WHERE r.collection_id = c.id AND r.kind = 'embedding_space'
  ORDER BY v.version_id DESC LIMIT 1) x ON true;
COMMENT ON VIEW collection_space IS 'The space that each collection uses now, the one before it, and the operation that changed over; nulls where none did.';

-- Spaces whose index has to hold what is seen of a collection.
CREATE VIEW wanted_space AS
SELECT s.collection_id, s.space_id FROM collection_space s
UNION
SELECT s.collection_id, s.previous_space_id FROM collection_space s WHERE s.soak_until > clock_timestamp()
UNION
SELECT k.collection_id, k.space_id FROM kept_space k WHERE k.building;

-- The space that a collection used at a position (null: now).
CREATE FUNCTION space_at(p_collection integer, p_position bigint) RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT CASE WHEN p_position IS NULL THEN (SELECT s.space_id FROM collection_space s WHERE s.collection_id = p_collection)
  ELSE coalesce(
    (SELECT h.space_id FROM record r JOIN version v ON v.record_id = r.id JOIN embedding_choice h ON h.version_id = v.version_id
     WHERE r.collection_id = p_collection AND r.kind = 'embedding_space'
       AND (SELECT o.visible FROM visibility_history o
            WHERE o.operation_id = v.operation_id AND o.from_position <= p_position ORDER BY o.from_position DESC LIMIT 1)
       AND coalesce((SELECT w.visible FROM record_visibility_history w
            WHERE w.operation_id = v.operation_id AND w.record_id = v.record_id AND w.from_position <= p_position
            ORDER BY w.from_position DESC LIMIT 1), true)
     ORDER BY v.version_id DESC LIMIT 1),
    (SELECT c.space_id FROM collection c WHERE c.id = p_collection)) END
$$;

-- Texts of chunks published after one position and until another, which a space lacks.
CREATE FUNCTION count_uncovered(p_collection integer, p_space integer, p_after bigint, p_until bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT count(DISTINCT e.text_hash)
  FROM operation o JOIN version v ON v.operation_id = o.id JOIN chunk c ON c.version_id = v.version_id JOIN embedding e ON e.id = c.embedding_id
  WHERE o.collection_id = p_collection AND o.position > p_after AND o.position <= p_until AND e.space_id <> p_space
    AND NOT EXISTS (SELECT FROM embedding n WHERE n.space_id = p_space AND n.text_hash = e.text_hash)
$$;

-- Checks a space from where it was covered up to a position, and notes it; returns how many texts are missing. Whoever
-- deletes embeddings at this moment may not have seen the chunks: they are waited for.
CREATE FUNCTION cover_space(p_collection integer, p_space integer, p_until bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  covered bigint;
  missing bigint;
BEGIN
  PERFORM pg_advisory_lock(7241169, 27);
  PERFORM pg_advisory_unlock(7241169, 27);
  INSERT INTO kept_space (collection_id, space_id) VALUES (p_collection, p_space) ON CONFLICT DO NOTHING;
  covered := (SELECT k.covered_position FROM kept_space k WHERE k.collection_id = p_collection AND k.space_id = p_space);
  missing := count_uncovered(p_collection, p_space, covered, p_until);
  IF missing = 0 THEN
    IF EXISTS (SELECT FROM embedding WHERE space_id = p_space AND NOT indexed) THEN
      UPDATE embedding n SET indexed = true
      FROM operation o JOIN version v ON v.operation_id = o.id JOIN chunk c ON c.version_id = v.version_id JOIN embedding e ON e.id = c.embedding_id
      WHERE o.collection_id = p_collection AND o.position > covered AND o.position <= p_until
        AND n.space_id = p_space AND n.text_hash = e.text_hash AND NOT n.indexed;
    END IF;
    UPDATE kept_space k SET covered_position = p_until WHERE k.collection_id = p_collection AND k.space_id = p_space AND k.covered_position < p_until;
  END IF;
  RETURN missing;
END $$;

-- Whatever is published, withdrawn or brought back: the space in use has all vectors. Under the log's lock. Where nothing was
-- ever re-embedded, one look at an empty table.
CREATE FUNCTION require_vectors() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  c record;
  missing bigint;
BEGIN
  IF NOT EXISTS (SELECT FROM kept_space) THEN
    RETURN NULL;
  END IF;
  FOR c IN SELECT s.collection_id, s.name, s.space_id, m.model, m.digest
           FROM (SELECT DISTINCT o.collection_id FROM added a JOIN operation o ON o.id = a.operation_id) touched
           JOIN collection_space s ON s.collection_id = touched.collection_id
           JOIN embedding_space m ON m.id = s.space_id
           WHERE EXISTS (SELECT FROM kept_space k WHERE k.collection_id = s.collection_id) LOOP
    missing := cover_space(c.collection_id, c.space_id, log_position());
    IF missing > 0 THEN
      RAISE EXCEPTION '% text(s) of the collection "%" have no vector of %, which it uses or would use then', missing, c.name, c.model
        USING ERRCODE = 'RC040', HINT = format('Run `recant reembed fill --collection %s --model %s`, then this again.', c.name, c.model),
          DETAIL = jsonb_build_object('collection', c.name, 'model', c.model, 'model_digest', c.digest, 'missing', missing)::text;
    END IF;
    UPDATE kept_space k SET building = false WHERE k.collection_id = c.collection_id AND k.space_id = c.space_id AND k.building;
  END LOOP;
  RETURN NULL;
END $$;
CREATE TRIGGER require_vectors AFTER INSERT ON visibility_history REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION require_vectors();

-- Chunks that come back under operations that were published before (payloads revived from an archive) are looked at again.
CREATE FUNCTION uncover_spaces() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM kept_space) THEN
    UPDATE kept_space k SET covered_position = b.position - 1
    FROM (SELECT o.collection_id, min(o.position) AS position FROM added a JOIN version v ON v.version_id = a.version_id
          JOIN operation o ON o.id = v.operation_id WHERE o.life = 'published' GROUP BY o.collection_id) b
    WHERE k.collection_id = b.collection_id AND k.covered_position >= b.position;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER uncover_spaces AFTER INSERT ON chunk REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION uncover_spaces();

-- Names a space that a collection shall use next; returns its id. From then on its vectors are kept. Until it was first
-- named, all chunks of the collection are in the one space that it was made with.
CREATE FUNCTION begin_space(p_collection integer, p_model text, p_digest text, p_dimensions integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  wanted integer;
  in_use integer := space_at(p_collection, NULL);
BEGIN
  SELECT min(s.id) INTO wanted FROM embedding_space s WHERE s.digest = p_digest AND s.trusted;
  IF wanted IS NULL THEN
    INSERT INTO embedding_space (model, digest, dimensions) VALUES (p_model, p_digest, p_dimensions) ON CONFLICT DO NOTHING;
    SELECT s.id INTO STRICT wanted FROM embedding_space s WHERE s.model = p_model AND s.digest = p_digest AND s.trusted;
  END IF;
  INSERT INTO kept_space AS k (collection_id, space_id, covered_position, building) VALUES
    (p_collection, in_use, CASE WHEN EXISTS (SELECT FROM kept_space x WHERE x.collection_id = p_collection) THEN 0 ELSE log_position() END, false)
  ON CONFLICT DO NOTHING;
  INSERT INTO kept_space AS k (collection_id, space_id, building) VALUES (p_collection, wanted, wanted <> in_use)
  ON CONFLICT (collection_id, space_id) DO UPDATE SET building = excluded.building;
  RETURN wanted;
END $$;

-- Why a space can't be given up: it is in use or in its soak, or was in use at a position that can still be asked about. Null:
-- it can. One that is merely being built can be given up at any time.
CREATE FUNCTION space_is_held(p_collection integer, p_space integer) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT CASE
    WHEN s.space_id = p_space THEN 'the collection uses it'
    WHEN s.previous_space_id = p_space AND s.soak_until > clock_timestamp()
      THEN format('the collection used it before, and its soak goes on until %s', to_char(s.soak_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'))
    ELSE (
      SELECT format('the collection used it at position %s, which can still be asked about', max(a.position))
      FROM (
        SELECT horizon_position() AS position UNION SELECT t.position FROM tag t UNION
        SELECT x.position FROM record r JOIN version v ON v.record_id = r.id JOIN visibility_history h ON h.operation_id = v.operation_id
        CROSS JOIN LATERAL (VALUES (h.from_position - 1), (h.from_position)) x (position)
        WHERE r.collection_id = p_collection AND r.kind = 'embedding_space' AND x.position >= horizon_position()) a
      WHERE space_at(p_collection, a.position) = p_space AND EXISTS (
        SELECT FROM operation o WHERE o.collection_id = p_collection AND o.position <= a.position)
      HAVING count(*) > 0) END
  FROM collection_space s WHERE s.collection_id = p_collection
$$;

CREATE FUNCTION raise_held_space(p_collection integer, p_space integer) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  held text := space_is_held(p_collection, p_space);
BEGIN
  IF held IS NOT NULL THEN
    RAISE EXCEPTION 'this space can''t be given up: %', held USING ERRCODE = 'RC006',
      HINT = 'Settle the change-over, and reclaim or drop the tags of what is older.';
  END IF;
END $$;

-- Chunks written in a space that is to be given up name, from then on, the vector of the same text in the space in use. Some of
-- them, in a short transaction; the last one looked at, null at the end. What a chunk says doesn't change by it.
CREATE FUNCTION leave_space(p_collection integer, p_space integer, p_after bigint, p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  looked_at bigint[];
BEGIN
  PERFORM raise_held_space(p_collection, p_space);
  looked_at := ARRAY(SELECT e.id FROM embedding e WHERE e.space_id = p_space AND e.id > p_after ORDER BY e.id LIMIT p_limit);
  UPDATE chunk c SET embedding_id = n.id
  FROM embedding e, embedding n, version v, record r
  WHERE e.id = ANY (looked_at) AND c.embedding_id = e.id AND v.version_id = c.version_id AND r.id = v.record_id AND r.collection_id = p_collection
    AND n.space_id = space_at(p_collection, NULL) AND n.text_hash = e.text_hash;
  RETURN looked_at[cardinality(looked_at)];
END $$;

-- Gives up a space; its vectors may be deleted then. False: the collection had none there.
CREATE FUNCTION drop_space(p_collection integer, p_space integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  PERFORM lock_log();
  PERFORM raise_held_space(p_collection, p_space);
  IF EXISTS (SELECT FROM record r JOIN version v ON v.record_id = r.id JOIN chunk c ON c.version_id = v.version_id
             JOIN embedding e ON e.id = c.embedding_id WHERE r.collection_id = p_collection AND e.space_id = p_space) THEN
    RAISE EXCEPTION 'chunks of the collection have vectors in this space only' USING ERRCODE = 'RC006', HINT = 'Run `recant reembed fill` first.';
  END IF;
  DELETE FROM kept_space WHERE collection_id = p_collection AND space_id = p_space;
  RETURN FOUND;
END $$;

-- As before, and a vector is in use, too, while its space is kept for a collection that has a chunk of the text, whichever of
-- the spaces the chunk was written in.
CREATE OR REPLACE FUNCTION delete_unused_embeddings(p_embeddings bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  locked bigint[];
  deleted bigint;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(7241169, 27);
  locked := ARRAY(
    SELECT e.id FROM embedding e
    WHERE e.id = ANY (p_embeddings) AND NOT EXISTS (SELECT FROM chunk c WHERE c.embedding_id = e.id)
    ORDER BY e.id FOR UPDATE SKIP LOCKED);
  DELETE FROM embedding e WHERE e.id = ANY (locked) AND NOT EXISTS (SELECT FROM chunk c WHERE c.embedding_id = e.id)
    AND NOT EXISTS (
      SELECT FROM kept_space k
      JOIN kept_space s ON s.collection_id = k.collection_id
      JOIN embedding x ON x.space_id = s.space_id AND x.text_hash = e.text_hash
      JOIN chunk c ON c.embedding_id = x.id
      JOIN version v ON v.version_id = c.version_id
      JOIN record r ON r.id = v.record_id AND r.collection_id = k.collection_id
      WHERE k.space_id = e.space_id);
  GET DIAGNOSTICS deleted = ROW_COUNT;
  RETURN deleted;
END $$;

-- Keeps vectors from being deleted until the transaction ends, as a foreign key does; returns those that are there.
CREATE FUNCTION hold_embeddings(p_embeddings bigint[]) RETURNS SETOF bigint
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT e.id FROM embedding e WHERE e.id = ANY (p_embeddings) ORDER BY e.id FOR KEY SHARE
$$;

-- With a vector goes what other spaces have of the same text, unless that is in use: an erased text leaves nothing behind.
CREATE FUNCTION delete_other_vectors() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  others bigint[];
BEGIN
  IF EXISTS (SELECT FROM kept_space) THEN
    others := ARRAY(SELECT x.id FROM gone g JOIN embedding_space s ON s.id <> g.space_id
                    JOIN embedding x ON x.space_id = s.id AND x.text_hash = g.text_hash);
    IF cardinality(others) > 0 THEN
      PERFORM delete_unused_embeddings(others);
    END IF;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER delete_other_vectors AFTER DELETE ON embedding REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION delete_other_vectors();

-- As before where a space belongs to collections that were never re-embedded. Otherwise a vector is needed while its space is
-- wanted for a collection of which something visible or open has the text.
CREATE OR REPLACE FUNCTION is_needed(p_embedding bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM kept_space) OR NOT EXISTS (
    SELECT FROM embedding e JOIN kept_space k ON k.space_id = e.space_id WHERE e.id = p_embedding) THEN
    RETURN EXISTS (
      SELECT FROM chunk c JOIN version v ON v.version_id = c.version_id
      WHERE c.embedding_id = p_embedding AND (
        (SELECT o.life = 'open' FROM operation o WHERE o.id = v.operation_id)
        OR EXISTS (SELECT FROM seen_version s WHERE s.version_id = v.version_id)
           AND NOT EXISTS (SELECT FROM seen_version n WHERE n.record_id = v.record_id AND n.version_id > v.version_id)));
  END IF;
  RETURN EXISTS (
    SELECT FROM embedding e
    JOIN embedding_space s ON true
    JOIN embedding x ON x.space_id = s.id AND x.text_hash = e.text_hash
    JOIN chunk c ON c.embedding_id = x.id
    JOIN version v ON v.version_id = c.version_id
    JOIN record r ON r.id = v.record_id
    WHERE e.id = p_embedding
      AND EXISTS (SELECT FROM wanted_space w WHERE w.collection_id = r.collection_id AND w.space_id = e.space_id)
      AND ((SELECT o.life = 'open' FROM operation o WHERE o.id = v.operation_id)
        OR EXISTS (SELECT FROM seen_version n WHERE n.version_id = v.version_id)
           AND NOT EXISTS (SELECT FROM seen_version n WHERE n.record_id = v.record_id AND n.version_id > v.version_id)));
END $$;

CREATE OR REPLACE FUNCTION surplus_embeddings(p_space integer) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM kept_space k WHERE k.space_id = p_space) THEN
    RETURN QUERY
    WITH needed AS MATERIALIZED (
      SELECT c.embedding_id FROM heads_at(NULL, NULL) h JOIN chunk c ON c.version_id = h.version_id WHERE h.kind = 'document'
      UNION
      SELECT c.embedding_id FROM operation o JOIN version v ON v.operation_id = o.id JOIN chunk c ON c.version_id = v.version_id WHERE o.life = 'open'
    )
    SELECT e.id FROM embedding e LEFT JOIN needed n ON n.embedding_id = e.id
    WHERE e.space_id = p_space AND e.indexed AND n.embedding_id IS NULL ORDER BY e.id;
    RETURN;
  END IF;
  RETURN QUERY
  WITH wanted AS MATERIALIZED (
    SELECT w.collection_id FROM wanted_space w WHERE w.space_id = p_space
  ), needed AS MATERIALIZED (
    SELECT x.text_hash FROM wanted w CROSS JOIN LATERAL heads_at(w.collection_id, NULL) h
    JOIN chunk c ON c.version_id = h.version_id JOIN embedding x ON x.id = c.embedding_id WHERE h.kind = 'document'
    UNION
    SELECT x.text_hash FROM operation o JOIN version v ON v.operation_id = o.id JOIN chunk c ON c.version_id = v.version_id
    JOIN embedding x ON x.id = c.embedding_id WHERE o.life = 'open' AND o.collection_id IN (SELECT w.collection_id FROM wanted w)
  )
  SELECT e.id FROM embedding e LEFT JOIN needed n ON n.text_hash = e.text_hash
  WHERE e.space_id = p_space AND e.indexed AND n.text_hash IS NULL ORDER BY e.id;
END $$;

REVOKE ALL ON FUNCTION space_at(integer, bigint), count_uncovered(integer, integer, bigint, bigint), cover_space(integer, integer, bigint),
  require_vectors(), begin_space(integer, text, text, integer), space_is_held(integer, integer), raise_held_space(integer, integer),
  leave_space(integer, integer, bigint, integer), drop_space(integer, integer), delete_other_vectors(), hold_embeddings(bigint[]),
  uncover_spaces() FROM PUBLIC;
GRANT SELECT ON embedding_choice, kept_space, collection_space, wanted_space TO recant_reader, recant_writer;
GRANT INSERT ON embedding_choice TO recant_writer;
GRANT EXECUTE ON FUNCTION hold_embeddings(bigint[]) TO recant_writer;
GRANT EXECUTE ON FUNCTION space_at(integer, bigint), count_uncovered(integer, integer, bigint, bigint), space_is_held(integer, integer) TO recant_reader;
GRANT EXECUTE ON FUNCTION cover_space(integer, integer, bigint), begin_space(integer, text, text, integer),
  leave_space(integer, integer, bigint, integer), drop_space(integer, integer)
  TO recant_coordinator;

RESET ROLE;
