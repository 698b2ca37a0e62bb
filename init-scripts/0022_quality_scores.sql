-- Quality scores: a projection of feedback, policies and pins, of how chunks were used, and of the time of the last
-- recalculation. Everything a score follows from is versions under operations, or frozen by an operation of kind
-- `recalculate_quality`, so that it can be worked out anew at any position; what is stored is only kept up.
--
-- Who keeps it up, and when: refresh_quality() after every publishing and every verdict, for the few chunks that are
-- concerned; draft_quality() and publish_quality() for all of a collection. Both are marked with the position up to which the scores are true:
-- whoever comes next makes good what a crash left out. A read never changes a score.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE quality_policy (
  version_id     bigint PRIMARY KEY REFERENCES version ON UPDATE CASCADE ON DELETE CASCADE,
  doc_type       text NOT NULL CHECK (length(doc_type) <= 200),
  half_life_days double precision CHECK (half_life_days > 0 AND half_life_days <= 1e6),
  grace_days     double precision NOT NULL CHECK (grace_days >= 0 AND grace_days <= 1e6),
  floor          real NOT NULL CHECK (floor BETWEEN 0 AND 50)
);
COMMENT ON TABLE quality_policy IS 'How documents of a collection age, by doc_type; the empty one is for all others. Counts from the next recalculation on.';
COMMENT ON COLUMN quality_policy.half_life_days IS 'After the grace, what is left above the floor halves in so many days; null: they don''t age.';
COMMENT ON COLUMN quality_policy.floor IS 'The score that age alone leads to, and never below.';
CREATE TRIGGER fence AFTER INSERT ON quality_policy REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence_parts();

CREATE TABLE quality_pin (
  version_id       bigint PRIMARY KEY REFERENCES version ON UPDATE CASCADE ON DELETE CASCADE,
  target_record_id bigint NOT NULL REFERENCES record,
  score            real CHECK (score BETWEEN 0 AND 100)
);
COMMENT ON TABLE quality_pin IS 'A document that doesn''t age, whatever its version; with a score, one that holds it whatever else is said. Counts at once.';
CREATE INDEX quality_pin_target ON quality_pin (target_record_id);
CREATE TRIGGER fence AFTER INSERT ON quality_pin REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence_parts();

CREATE TABLE access_count (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  operation_id bigint NOT NULL,
  record_id    bigint NOT NULL,
  shown        bigint NOT NULL CHECK (shown >= 0),
  reformulated bigint NOT NULL DEFAULT 0 CHECK (reformulated >= 0)
);
COMMENT ON TABLE access_count IS 'How often searches showed a document version. Names neither who searched nor for what.';
COMMENT ON COLUMN access_count.reformulated IS 'In how many sessions it was shown, and then asked again in other words, with nothing written in between.';
CREATE INDEX access_count_version ON access_count (operation_id, record_id, id) INCLUDE (shown, reformulated);

CREATE TABLE quality_projection (
  single          boolean PRIMARY KEY DEFAULT true CHECK (single),
  true_position   bigint NOT NULL,
  absorbed_search bigint NOT NULL,
  taken_access    bigint NOT NULL
);
COMMENT ON TABLE quality_projection IS 'One row: up to which position the stored scores are true, and which searches are counted.';
INSERT INTO quality_projection (true_position, absorbed_search, taken_access) VALUES (0, 0, 0);

CREATE TABLE scored_collection (
  collection_id integer PRIMARY KEY REFERENCES collection,
  highest       real NOT NULL,
  folding       bigint REFERENCES operation
);
COMMENT ON COLUMN scored_collection.highest IS 'No score of the collection is higher: how far a search has to look for one that quality could lift.';
COMMENT ON COLUMN scored_collection.folding IS 'The published recalculation whose drafted scores count before the stored ones, until they are folded in among them.';

-- Deleted with their chunks (delete_chunks). A row that a recalculation adds at the same moment is one that nobody asks
-- for, and goes with the next one; a foreign key would look each of a million rows up.
ALTER TABLE chunk_quality DROP CONSTRAINT chunk_quality_chunk_id_fkey,
  ADD COLUMN collection_id integer,
  ADD COLUMN feedback real NOT NULL DEFAULT 0,
  ADD COLUMN access real NOT NULL DEFAULT 0,
  ADD COLUMN freshness real NOT NULL DEFAULT 0,
  ADD COLUMN pinned boolean NOT NULL DEFAULT false,
  SET (fillfactor = 70);
COMMENT ON COLUMN chunk_quality.score IS '50 + feedback + access + freshness, from 0 to 100; the pin''s where there is one.';
COMMENT ON COLUMN chunk_quality.true_position IS 'The position at which it was worked out last; it has not changed since.';

CREATE TABLE quality_draft (
  operation_id bigint NOT NULL,
  chunk_id     bigint NOT NULL,
  score        real,
  feedback     real,
  access       real,
  freshness    real,
  pinned       boolean,
  PRIMARY KEY (operation_id, chunk_id)
);
COMMENT ON TABLE quality_draft IS 'What a recalculation changes, until it is folded in among the stored scores; a score of null: neutral.';

-- The scores that count: drafted ones of a published recalculation before stored ones.
CREATE VIEW current_quality AS
SELECT d.chunk_id, s.collection_id, d.score, d.feedback, d.access, d.freshness, d.pinned
FROM scored_collection s JOIN quality_draft d ON d.operation_id = s.folding WHERE d.score IS NOT NULL
UNION ALL
SELECT q.chunk_id, q.collection_id, q.score, q.feedback, q.access, q.freshness, q.pinned
FROM chunk_quality q
WHERE NOT EXISTS (SELECT FROM scored_collection s JOIN quality_draft d ON d.operation_id = s.folding
                  WHERE s.collection_id = q.collection_id AND d.chunk_id = q.chunk_id);

CREATE INDEX operation_quality ON operation (collection_id, kind, position) WHERE kind IN ('feedback', 'set_policy', 'recalculate_quality');
CREATE INDEX dependency_cited ON dependency (operation_id, input_version_id) WHERE class = 'cited';

-- The parts of a score. See docs/explanation/quality-scores.md for where they come from.

-- Additive smoothing: four neutral voices stand against those that spoke. Weights are in tenths of a voice.
CREATE FUNCTION quality_of_feedback(p_sum bigint, p_weight bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN round(50.0 * p_sum / (p_weight + 40), 1);

CREATE FUNCTION quality_of_access(p_shown bigint, p_reformulated bigint, p_cited bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  CASE WHEN p_shown + p_reformulated + p_cited = 0 THEN 0.0 ELSE
    round((least(3, log((1 + p_shown)::float8)) - least(3, log((1 + p_reformulated)::float8)))::numeric, 1) + least(6, 2 * p_cited) END;

CREATE FUNCTION quality_of_age(p_age_days double precision, p_half_life double precision, p_grace double precision, p_floor real)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  CASE WHEN p_half_life IS NULL OR p_age_days <= p_grace THEN 0.0 ELSE
    round(((p_floor - 50) * (1 - power(0.5::float8, least((p_age_days - p_grace) / p_half_life, 60))))::numeric, 1) END;

CREATE FUNCTION quality_weight(p_verdict text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  CASE p_verdict WHEN 'helpful' THEN 10 WHEN 'incorrect' THEN -10 WHEN 'outdated' THEN -8 WHEN 'confusing' THEN -5 WHEN 'duplicate' THEN -5 ELSE 0 END;

CREATE FUNCTION quality_score(p_feedback numeric, p_access numeric, p_freshness numeric, p_pin real) RETURNS real
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  coalesce(p_pin, greatest(0, least(100, 50 + p_feedback + p_access + p_freshness))::real);

-- When a document was last changed: as it says itself where that is a date, or else when its version was published.
CREATE FUNCTION document_time(p_attributes jsonb, p_published timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE RETURN
  CASE WHEN p_attributes ->> 'updated_at' ~ '^\d{4}-\d\d-\d\d' AND pg_input_is_valid(p_attributes ->> 'updated_at', 'timestamptz')
       THEN (p_attributes ->> 'updated_at')::timestamptz ELSE p_published END;

-- The recalculation that scores rest on at a position: the last one that was seen then. `p_recalculation`: an open one,
-- as if it were published after everything.
CREATE FUNCTION quality_basis(p_collection integer, p_position bigint, p_recalculation bigint)
RETURNS TABLE (operation_id bigint, "position" bigint, at timestamptz, access_until bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT o.id, CASE WHEN o.id = p_recalculation THEN 9223372036854775807 ELSE o.position END,
    (o.parameters ->> 'at')::timestamptz, coalesce((o.parameters ->> 'access_until')::bigint, 0)
  FROM operation o
  WHERE o.collection_id = p_collection AND o.kind = 'recalculate_quality' AND o.parameters ->> 'at' IS NOT NULL
    AND (o.id = p_recalculation OR o.position <= p_position AND (
      SELECT h.visible FROM visibility_history h
      WHERE h.operation_id = o.id AND h.from_position <= p_position ORDER BY h.from_position DESC LIMIT 1))
  ORDER BY o.id IS NOT DISTINCT FROM p_recalculation DESC, o.position DESC LIMIT 1
$$;

-- Versions of a collection's policies and pins that are seen at a position, and were published before another one.
CREATE FUNCTION quality_rules(p_collection integer, p_position bigint, p_before bigint) RETURNS TABLE (version_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT h.version_id FROM (
    SELECT DISTINCT ON (v.record_id) v.version_id, v.tombstone
    FROM operation o JOIN version v ON v.operation_id = o.id
    WHERE o.collection_id = p_collection AND o.kind = 'set_policy' AND o.position <= p_position AND o.position < p_before
      AND (SELECT h.visible FROM visibility_history h
           WHERE h.operation_id = o.id AND h.from_position <= p_position ORDER BY h.from_position DESC LIMIT 1)
    ORDER BY v.record_id, o.position DESC) h
  WHERE NOT h.tombstone
$$;

-- Scores of these chunks as they are at a position, chunk by chunk, from nothing but the log. Neutral ones have no row.
CREATE FUNCTION quality_of_chunks(p_collection integer, p_position bigint, p_chunks bigint[])
RETURNS TABLE (chunk_id bigint, score real, feedback real, access real, freshness real, pinned boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = recant, public, pg_temp SET plan_cache_mode = force_generic_plan SET timezone = 'UTC' AS $$
#variable_conflict use_column
DECLARE
  basis record;
BEGIN
  SELECT b.position, b.at, b.access_until INTO basis FROM quality_basis(p_collection, p_position, NULL) b;
  RETURN QUERY
  WITH policy AS MATERIALIZED (
    SELECT y.doc_type, y.half_life_days, y.grace_days, y.floor
    FROM quality_rules(p_collection, p_position, basis.position) r JOIN quality_policy y ON y.version_id = r.version_id
  ), pin AS MATERIALIZED (
    SELECT n.target_record_id AS record_id, n.score
    FROM quality_rules(p_collection, p_position, 9223372036854775807) r JOIN quality_pin n ON n.version_id = r.version_id
  ), target AS MATERIALIZED (
    SELECT c.id, c.index, c.version_id, v.record_id, v.operation_id, o.closed_at, d.attributes, coalesce(o.position < basis.position, false) AS aged
    FROM chunk c JOIN version v ON v.version_id = c.version_id JOIN operation o ON o.id = v.operation_id
    JOIN document_version d ON d.version_id = c.version_id
    WHERE c.id = ANY (p_chunks) AND o.collection_id = p_collection AND o.life = 'published' AND o.position <= p_position
  ), part AS (
    SELECT t.id, pin.score AS pin,
      (SELECT coalesce(quality_of_feedback(sum(quality_weight(w.verdict)), sum(abs(quality_weight(w.verdict)))), 0) FROM (
         SELECT DISTINCT ON (f.given_by) f.verdict
         FROM feedback f JOIN version v ON v.version_id = f.version_id JOIN operation o ON o.id = v.operation_id
         WHERE f.target_version_id = t.version_id AND f.chunk_index = t.index AND o.position <= p_position AND o.kind = 'feedback'
           AND (SELECT h.visible FROM visibility_history h
                WHERE h.operation_id = o.id AND h.from_position <= p_position ORDER BY h.from_position DESC LIMIT 1)
           AND NOT (o.narrowed AND NOT coalesce((SELECT w.visible FROM record_visibility_history w
                WHERE w.operation_id = o.id AND w.record_id = v.record_id AND w.from_position <= p_position ORDER BY w.from_position DESC LIMIT 1), true))
         ORDER BY f.given_by, o.position DESC, f.version_id DESC) w) AS feedback,
      CASE WHEN t.aged THEN (
        SELECT quality_of_access(coalesce(sum(a.shown), 0)::bigint, coalesce(sum(a.reformulated), 0)::bigint, (
          SELECT count(DISTINCT k.agent) FROM dependency x JOIN operation k ON k.id = x.operation_id
          WHERE x.input_version_id = t.version_id AND x.class = 'cited' AND k.position <= p_position AND k.position < basis.position
            AND (SELECT h.visible FROM visibility_history h
                 WHERE h.operation_id = k.id AND h.from_position <= p_position ORDER BY h.from_position DESC LIMIT 1)))
        FROM access_count a WHERE a.operation_id = t.operation_id AND a.record_id = t.record_id AND a.id <= basis.access_until) ELSE 0 END AS access,
      CASE WHEN t.aged AND pin.record_id IS NULL THEN coalesce((
        SELECT quality_of_age(extract(epoch FROM basis.at - document_time(t.attributes, t.closed_at))::float8 / 86400,
                              y.half_life_days, y.grace_days, y.floor)
        FROM policy y WHERE y.doc_type IN (coalesce(t.attributes ->> 'doc_type', ''), '') ORDER BY y.doc_type DESC LIMIT 1), 0) ELSE 0 END AS freshness
    FROM target t LEFT JOIN pin ON pin.record_id = t.record_id
  )
  SELECT p.id, quality_score(p.feedback, p.access, p.freshness, p.pin), p.feedback::real, p.access::real, p.freshness::real, p.pin IS NOT NULL
  FROM part p WHERE p.feedback <> 0 OR p.access <> 0 OR p.freshness <> 0 OR p.pin IS NOT NULL;
END $$;

-- Scores as they are at a position, of these chunks (null: of all of the collection), from nothing but the log. Neutral
-- ones have no row. Whether a chunk is seen itself doesn't matter: its score is there when it is seen again. Two roads:
-- all at once, or chunk by chunk; the formulas are the same.
CREATE FUNCTION compute_quality(p_collection integer, p_position bigint, p_chunks bigint[], p_recalculation bigint DEFAULT NULL)
RETURNS TABLE (chunk_id bigint, score real, feedback real, access real, freshness real, pinned boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = recant, public, pg_temp SET plan_cache_mode = force_custom_plan SET timezone = 'UTC' SET work_mem = '64MB' AS $$
#variable_conflict use_column
DECLARE
  basis record;
BEGIN
  SELECT b.position, b.at, b.access_until INTO basis FROM quality_basis(p_collection, p_position, p_recalculation) b;
  IF p_chunks IS NOT NULL THEN
    RETURN QUERY SELECT n.* FROM quality_of_chunks(p_collection, p_position, p_chunks) n;
    RETURN;
  END IF;
  RETURN QUERY
  WITH policy AS MATERIALIZED (
    SELECT y.doc_type, y.half_life_days, y.grace_days, y.floor
    FROM quality_rules(p_collection, p_position, basis.position) r JOIN quality_policy y ON y.version_id = r.version_id
  ), pin AS MATERIALIZED (
    SELECT n.target_record_id AS record_id, n.score
    FROM quality_rules(p_collection, p_position, 9223372036854775807) r JOIN quality_pin n ON n.version_id = r.version_id
  ), word AS (
    SELECT DISTINCT ON (f.target_version_id, f.chunk_index, f.given_by) f.target_version_id, f.chunk_index, quality_weight(f.verdict) AS weight
    FROM operation o JOIN version v ON v.operation_id = o.id JOIN feedback f ON f.version_id = v.version_id
    WHERE o.collection_id = p_collection AND o.kind = 'feedback' AND o.position <= p_position
      AND (SELECT h.visible FROM visibility_history h
           WHERE h.operation_id = o.id AND h.from_position <= p_position ORDER BY h.from_position DESC LIMIT 1)
      AND NOT (o.narrowed AND NOT coalesce((SELECT w.visible FROM record_visibility_history w
           WHERE w.operation_id = o.id AND w.record_id = v.record_id AND w.from_position <= p_position ORDER BY w.from_position DESC LIMIT 1), true))
    ORDER BY f.target_version_id, f.chunk_index, f.given_by, o.position DESC, f.version_id DESC
  ), used AS (
    SELECT a.operation_id, a.record_id, sum(a.shown)::bigint AS shown, sum(a.reformulated)::bigint AS reformulated
    FROM access_count a WHERE a.id <= basis.access_until GROUP BY a.operation_id, a.record_id
  ), cited AS (
    SELECT x.input_version_id AS version_id, count(DISTINCT k.agent) AS agents
    FROM dependency x JOIN operation k ON k.id = x.operation_id
    WHERE x.class = 'cited' AND k.position <= p_position AND k.position < basis.position
      AND (SELECT h.visible FROM visibility_history h
           WHERE h.operation_id = k.id AND h.from_position <= p_position ORDER BY h.from_position DESC LIMIT 1)
    GROUP BY x.input_version_id
  ), aged AS MATERIALIZED (
    SELECT v.version_id,
      quality_of_access(coalesce(u.shown, 0), coalesce(u.reformulated, 0), coalesce(t.agents, 0)) AS access,
      CASE WHEN pin.record_id IS NULL THEN coalesce(
        quality_of_age(extract(epoch FROM basis.at - document_time(d.attributes, o.closed_at))::float8 / 86400,
                       CASE WHEN own.doc_type IS NULL THEN rest.half_life_days ELSE own.half_life_days END,
                       coalesce(own.grace_days, rest.grace_days), coalesce(own.floor, rest.floor)), 0) ELSE 0 END AS freshness
    FROM operation o JOIN version v ON v.operation_id = o.id JOIN document_version d ON d.version_id = v.version_id
    LEFT JOIN used u ON u.operation_id = v.operation_id AND u.record_id = v.record_id
    LEFT JOIN cited t ON t.version_id = v.version_id
    LEFT JOIN pin ON pin.record_id = v.record_id
    LEFT JOIN policy own ON own.doc_type = d.attributes ->> 'doc_type'
    LEFT JOIN policy rest ON rest.doc_type = ''
    WHERE o.collection_id = p_collection AND o.life = 'published' AND o.position <= p_position AND o.position < basis.position
  ), part AS (
    SELECT c.id, quality_of_feedback(sum(w.weight), sum(abs(w.weight))) AS feedback, 0.0 AS access, 0.0 AS freshness, NULL::real AS pin
    FROM word w JOIN chunk c ON c.version_id = w.target_version_id AND c.index = w.chunk_index GROUP BY c.id
    UNION ALL
    SELECT c.id, 0, a.access, a.freshness, NULL FROM aged a JOIN chunk c ON c.version_id = a.version_id WHERE a.access <> 0 OR a.freshness <> 0
    UNION ALL
    SELECT c.id, 0, 0, 0, pin.score
    FROM pin JOIN version v ON v.record_id = pin.record_id JOIN operation o ON o.id = v.operation_id JOIN chunk c ON c.version_id = v.version_id
    WHERE pin.score IS NOT NULL AND o.life = 'published' AND o.position <= p_position
  ), whole AS (
    SELECT p.id, sum(p.feedback) AS feedback, sum(p.access) AS access, sum(p.freshness) AS freshness, max(p.pin) AS pin
    FROM part p GROUP BY p.id
  )
  SELECT w.id, quality_score(w.feedback, w.access, w.freshness, w.pin), w.feedback::real, w.access::real, w.freshness::real, w.pin IS NOT NULL
  FROM whole w WHERE w.feedback <> 0 OR w.access <> 0 OR w.freshness <> 0 OR w.pin IS NOT NULL;
END $$;

-- Brings the stored scores of these chunks (null: of all of the collection) to what they are at a position; returns how
-- many changed. Under the projection's lock.
CREATE FUNCTION store_quality(p_collection integer, p_position bigint, p_chunks bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
  changed bigint;
  gone bigint;
  top real;
BEGIN
  PERFORM fold_quality(p_collection, p_chunks, 0, NULL);
  WITH now_is AS MATERIALIZED (
    SELECT n.* FROM compute_quality(p_collection, p_position, p_chunks) n
  ), removed AS (
    DELETE FROM chunk_quality q
    WHERE (q.collection_id = p_collection AND p_chunks IS NULL OR q.chunk_id = ANY (p_chunks))
      AND NOT EXISTS (SELECT FROM now_is n WHERE n.chunk_id = q.chunk_id)
    RETURNING 1
  ), put AS (
    INSERT INTO chunk_quality AS q (chunk_id, score, true_position, collection_id, feedback, access, freshness, pinned)
    SELECT n.chunk_id, n.score, p_position, p_collection, n.feedback, n.access, n.freshness, n.pinned FROM now_is n
    ON CONFLICT (chunk_id) DO UPDATE SET score = excluded.score, true_position = excluded.true_position,
      feedback = excluded.feedback, access = excluded.access, freshness = excluded.freshness, pinned = excluded.pinned
    WHERE (q.score, q.feedback, q.access, q.freshness, q.pinned)
      IS DISTINCT FROM (excluded.score, excluded.feedback, excluded.access, excluded.freshness, excluded.pinned)
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM put), (SELECT count(*) FROM removed), (SELECT max(n.score) FROM now_is n) INTO changed, gone, top;
  PERFORM raise_quality_bound(p_collection, top);
  RETURN changed + gone;
END $$;

CREATE FUNCTION raise_quality_bound(p_collection integer, p_highest real) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  INSERT INTO scored_collection AS s (collection_id, highest) SELECT p_collection, p_highest WHERE p_highest IS NOT NULL
  ON CONFLICT (collection_id) DO UPDATE SET highest = excluded.highest WHERE s.highest < excluded.highest
$$;

-- Moves drafted scores of a published recalculation in among the stored ones: those of these chunks, or (null) the first
-- ones after a chunk, so many (null: all). What counts stays the same. Returns the last chunk; null: there was none left.
-- Under the projection's lock.
CREATE FUNCTION fold_quality(p_collection integer, p_chunks bigint[], p_after bigint, p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off AS $$  -- statistics know nothing yet of what was drafted just now
DECLARE
  drafted bigint := (SELECT s.folding FROM scored_collection s WHERE s.collection_id = p_collection);
  last_chunk bigint;
BEGIN
  IF drafted IS NULL THEN
    RETURN NULL;
  END IF;
  WITH move AS (
    DELETE FROM quality_draft d
    WHERE d.operation_id = drafted AND d.chunk_id = ANY (ARRAY(
      SELECT x.chunk_id FROM quality_draft x
      WHERE x.operation_id = drafted AND x.chunk_id > p_after AND (p_chunks IS NULL OR x.chunk_id = ANY (p_chunks))
      ORDER BY x.chunk_id LIMIT p_limit))
    RETURNING d.*
  ), gone AS (
    DELETE FROM chunk_quality q USING move m WHERE m.score IS NULL AND q.chunk_id = m.chunk_id
  ), put AS (
    INSERT INTO chunk_quality AS q (chunk_id, score, true_position, collection_id, feedback, access, freshness, pinned)
    SELECT m.chunk_id, m.score, (SELECT o.position FROM operation o WHERE o.id = drafted), p_collection, m.feedback, m.access, m.freshness, m.pinned
    FROM move m WHERE m.score IS NOT NULL AND EXISTS (SELECT FROM chunk c WHERE c.id = m.chunk_id)
    ON CONFLICT (chunk_id) DO UPDATE SET score = excluded.score, true_position = excluded.true_position, collection_id = excluded.collection_id,
      feedback = excluded.feedback, access = excluded.access, freshness = excluded.freshness, pinned = excluded.pinned
  )
  SELECT max(m.chunk_id) INTO last_chunk FROM move m;
  IF p_chunks IS NULL AND (last_chunk IS NULL OR p_limit IS NULL) AND NOT EXISTS (SELECT FROM quality_draft d WHERE d.operation_id = drafted) THEN
    UPDATE scored_collection SET folding = NULL, highest = coalesce((SELECT max(q.score) FROM chunk_quality q WHERE q.collection_id = p_collection), 0)
    WHERE collection_id = p_collection;
  END IF;
  RETURN last_chunk;
END $$;

CREATE FUNCTION fold_scores(p_collection integer, p_after bigint, p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7241169, 22);
  RETURN fold_quality(p_collection, NULL, p_after, p_limit);
END $$;

-- The chunks of a collection whose scores may be others because of what was published, hidden or shown at the positions
-- after `p_since`; null: perhaps all. `p_recalculation` is one of these that has been worked out already, but for what
-- was published since.
CREATE FUNCTION touched_by_quality(p_collection integer, p_since bigint, p_until bigint, p_recalculation bigint) RETURNS bigint[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
  flipped bigint[];
  basis_position bigint := (SELECT b.position FROM quality_basis(p_collection, p_until, NULL) b);
BEGIN
  flipped := ARRAY(
    SELECT o.id FROM operation o WHERE o.collection_id = p_collection AND o.id IN (
      SELECT h.operation_id FROM visibility_history h WHERE h.from_position > p_since AND h.from_position <= p_until
      UNION
      SELECT w.operation_id FROM record_visibility_history w WHERE w.from_position > p_since AND w.from_position <= p_until));
  IF EXISTS (SELECT FROM operation o WHERE o.id = ANY (flipped) AND o.kind = 'recalculate_quality' AND o.id IS DISTINCT FROM p_recalculation)
     OR EXISTS (SELECT FROM operation o JOIN version v ON v.operation_id = o.id JOIN record r ON r.id = v.record_id
                WHERE o.id = ANY (flipped) AND o.kind = 'set_policy' AND o.position < basis_position AND r.kind = 'quality_policy') THEN
    RETURN NULL;
  END IF;
  RETURN ARRAY(
    SELECT c.id
    FROM operation o JOIN version v ON v.operation_id = o.id JOIN feedback f ON f.version_id = v.version_id
    JOIN chunk c ON c.version_id = f.target_version_id AND c.index = f.chunk_index
    WHERE o.id = ANY (flipped) AND o.kind = 'feedback'
    UNION
    SELECT c.id
    FROM operation o JOIN version v ON v.operation_id = o.id JOIN record r ON r.id = v.record_id AND r.kind = 'quality_pin'
    JOIN version p ON p.record_id = r.id JOIN quality_pin n ON n.version_id = p.version_id
    JOIN version d ON d.record_id = n.target_record_id JOIN chunk c ON c.version_id = d.version_id
    WHERE o.id = ANY (flipped) AND o.kind = 'set_policy'
    UNION
    SELECT c.id FROM quality_pin n JOIN version d ON d.record_id = n.target_record_id JOIN chunk c ON c.version_id = d.version_id
    WHERE d.operation_id = ANY (flipped)
    UNION
    SELECT c.id FROM dependency x JOIN operation k ON k.id = x.operation_id JOIN chunk c ON c.version_id = x.input_version_id
    WHERE x.operation_id = ANY (flipped) AND x.class = 'cited' AND k.position < basis_position
    UNION
    SELECT c.id FROM operation o JOIN version d ON d.operation_id = o.id JOIN chunk c ON c.version_id = d.version_id
    WHERE p_recalculation IS NOT NULL AND o.id = ANY (flipped) AND o.position > p_since AND o.position < basis_position);
END $$;

-- Makes the stored scores true at the last position, at the price of what changed since they were. Returns how many
-- changed. Waits for whoever else does it; never asks for the log's lock.
CREATE FUNCTION refresh_quality() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  IF (SELECT true_position FROM quality_projection) >= log_position() THEN
    RETURN 0;
  END IF;
  PERFORM pg_advisory_xact_lock(7241169, 22);
  RETURN catch_up_quality(NULL);
END $$;

CREATE FUNCTION catch_up_quality(p_recalculation bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  since bigint := (SELECT true_position FROM quality_projection);
  until bigint := log_position();
  changed bigint := 0;
  touched bigint[];
  one integer;
BEGIN
  FOR one IN SELECT DISTINCT o.collection_id FROM visibility_history h JOIN operation o ON o.id = h.operation_id
             WHERE h.from_position > since AND h.from_position <= until AND o.collection_id IS NOT NULL
             UNION
             SELECT DISTINCT o.collection_id FROM record_visibility_history w JOIN operation o ON o.id = w.operation_id
             WHERE w.from_position > since AND w.from_position <= until AND o.collection_id IS NOT NULL ORDER BY 1 LOOP
    touched := touched_by_quality(one, since, until, p_recalculation);
    IF touched IS NULL OR cardinality(touched) > 0 THEN
      changed := changed + store_quality(one, until, touched);
    END IF;
  END LOOP;
  UPDATE quality_projection SET true_position = until WHERE true_position < until;
  RETURN changed;
END $$;

-- What an open recalculation is going to change: worked out beside whoever writes, under no lock.
CREATE FUNCTION draft_quality(p_operation bigint) RETURNS TABLE ("position" bigint, scored bigint, changed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' AS $$
#variable_conflict use_column
DECLARE
  collection integer;
BEGIN
  PERFORM check_fence(ARRAY[p_operation], '{}');
  DELETE FROM quality_draft d WHERE d.operation_id = p_operation;
  SELECT o.collection_id INTO collection FROM operation o WHERE o.id = p_operation;
  position := log_position();
  WITH now_is AS MATERIALIZED (
    SELECT n.* FROM compute_quality(collection, position, NULL, p_operation) n
  ), drafted AS (
    INSERT INTO quality_draft (operation_id, chunk_id, score, feedback, access, freshness, pinned)
    SELECT p_operation, coalesce(n.chunk_id, q.chunk_id), n.score, n.feedback, n.access, n.freshness, n.pinned
    FROM now_is n FULL JOIN (SELECT * FROM current_quality x WHERE x.collection_id = collection) q ON q.chunk_id = n.chunk_id
    WHERE (q.score, q.feedback, q.access, q.freshness, q.pinned) IS DISTINCT FROM (n.score, n.feedback, n.access, n.freshness, n.pinned)
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM now_is), (SELECT count(*) FROM drafted) INTO scored, changed;
  RETURN NEXT;
END $$;

-- Publishes a recalculation: from then on its drafted scores count, until they are folded in. What was published, hidden or
-- shown since the draft is worked out again, under the log's lock. Locks: storage (so that no chunk's score is deleted
-- meanwhile), the projection, the operation's row, the log.
CREATE FUNCTION publish_quality(p_operation bigint, p_drafted_at bigint) RETURNS TABLE ("position" bigint, changed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
  collection integer;
  top real;
BEGIN
  PERFORM pg_advisory_xact_lock(7241169, 3);
  PERFORM pg_advisory_xact_lock(7241169, 22);
  SELECT o.collection_id INTO collection FROM operation o WHERE o.id = p_operation;
  PERFORM fold_quality(collection, NULL, 0, NULL);
  SELECT count(*), max(d.score) INTO changed, top FROM quality_draft d WHERE d.operation_id = p_operation;
  SELECT p.position INTO position FROM publish_operations(ARRAY[p_operation]) p;
  IF changed > 0 THEN
    INSERT INTO scored_collection AS s (collection_id, highest, folding) VALUES (collection, coalesce(top, 0), p_operation)
    ON CONFLICT (collection_id) DO UPDATE SET highest = greatest(s.highest, excluded.highest), folding = excluded.folding;
  END IF;
  UPDATE quality_projection SET true_position = least(true_position, p_drafted_at);
  changed := changed + catch_up_quality(p_operation);
  RETURN NEXT;
END $$;

-- What recalculations drafted that were never published.
CREATE FUNCTION forget_drafts() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  forgotten bigint;
BEGIN
  DELETE FROM quality_draft d USING operation o WHERE o.id = d.operation_id AND o.life = 'aborted';
  GET DIAGNOSTICS forgotten = ROW_COUNT;
  RETURN forgotten;
END $$;

-- What searches outside of sessions showed, counted. Needs no wait for the disk: a count that is lost is no harm.
CREATE FUNCTION count_accesses(p_operations bigint[], p_records bigint[], p_shown bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM pg_advisory_xact_lock_shared(7241169, 23);
  INSERT INTO access_count (operation_id, record_id, shown)
  SELECT u.o, u.r, sum(least(greatest(u.n, 0), 1000000)) FROM unnest(p_operations, p_records, p_shown) AS u (o, r, n) GROUP BY u.o, u.r;
END $$;

-- Before a search of a session gets its number: whoever waits for the numbers so far waits for their commits, too.
CREATE FUNCTION await_searches() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(7241169, 23);
  RETURN NULL;
END $$;
CREATE TRIGGER await_searches BEFORE INSERT ON session_search FOR EACH STATEMENT EXECUTE FUNCTION await_searches();

-- Takes what sessions were shown since last time into the counts, one a session; adds up what was counted since; returns
-- the number up to which a recalculation counts. No count with a lower one comes later.
CREATE FUNCTION take_accesses() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  known quality_projection;
  last_search bigint;
  last_access bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(7241169, 23);
  SELECT * INTO known FROM quality_projection;
  SELECT coalesce(max(id), 0) INTO last_search FROM session_search;
  INSERT INTO access_count (operation_id, record_id, shown, reformulated)
  SELECT r.operation_id, r.record_id, count(DISTINCT s.session), count(DISTINCT s.session) FILTER (WHERE s.reformulated)
  FROM (
    SELECT x.id, x.session, coalesce(lower(lead(x.query) OVER following) <> lower(x.query)
      AND lead(x.searched_at) OVER following - x.searched_at <= interval '10 minutes'
      AND lead(x.operation_id) OVER following IS NOT DISTINCT FROM x.operation_id, false) AS reformulated
    FROM session_search x WHERE x.id > known.absorbed_search AND x.id <= last_search
    WINDOW following AS (PARTITION BY x.session ORDER BY x.id)) s
  JOIN session_read r ON r.search_id = s.id
  GROUP BY r.operation_id, r.record_id ORDER BY r.operation_id, r.record_id;
  WITH taken AS (
    DELETE FROM access_count a WHERE a.id > known.taken_access RETURNING a.id, a.operation_id, a.record_id, a.shown, a.reformulated
  )
  INSERT INTO access_count (id, operation_id, record_id, shown, reformulated) OVERRIDING SYSTEM VALUE
  SELECT max(t.id), t.operation_id, t.record_id, sum(t.shown), sum(t.reformulated) FROM taken t GROUP BY t.operation_id, t.record_id;
  SELECT coalesce(max(id), known.taken_access) INTO last_access FROM access_count;
  UPDATE quality_projection SET absorbed_search = last_search, taken_access = last_access;
  RETURN last_access;
END $$;

REVOKE ALL ON FUNCTION quality_of_feedback(bigint, bigint), quality_of_access(bigint, bigint, bigint),
  quality_of_age(double precision, double precision, double precision, real), quality_weight(text),
  quality_score(numeric, numeric, numeric, real), document_time(jsonb, timestamptz), quality_basis(integer, bigint, bigint),
  quality_rules(integer, bigint, bigint), quality_of_chunks(integer, bigint, bigint[]), compute_quality(integer, bigint, bigint[], bigint), store_quality(integer, bigint, bigint[]),
  raise_quality_bound(integer, real), fold_quality(integer, bigint[], bigint, integer), touched_by_quality(integer, bigint, bigint, bigint), refresh_quality(), catch_up_quality(bigint),
  draft_quality(bigint), publish_quality(bigint, bigint), forget_drafts(), fold_scores(integer, bigint, integer), count_accesses(bigint[], bigint[], bigint[]), await_searches(),
  take_accesses() FROM PUBLIC;
GRANT SELECT ON quality_policy, quality_pin, access_count, quality_projection, scored_collection, quality_draft, current_quality TO recant_reader;
GRANT SELECT, INSERT ON quality_policy, quality_pin TO recant_writer;
GRANT EXECUTE ON FUNCTION quality_of_chunks(integer, bigint, bigint[]), quality_of_feedback(bigint, bigint), quality_of_access(bigint, bigint, bigint),
  quality_of_age(double precision, double precision, double precision, real), quality_weight(text),
  quality_score(numeric, numeric, numeric, real), document_time(jsonb, timestamptz), quality_basis(integer, bigint, bigint),
  quality_rules(integer, bigint, bigint), compute_quality(integer, bigint, bigint[], bigint) TO recant_reader;
GRANT EXECUTE ON FUNCTION refresh_quality(), draft_quality(bigint), publish_quality(bigint, bigint), forget_drafts(), fold_scores(integer, bigint, integer),
  count_accesses(bigint[], bigint[], bigint[]), take_accesses() TO recant_coordinator, recant_writer;

RESET ROLE;
