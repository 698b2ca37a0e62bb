-- Verdicts about single records of an operation: a rollback by document takes back that document and leaves the rest.
--
-- Two layers, each with its own last effective word: a version is seen when its operation is visible and the pair
-- (operation, record) is not withheld. So a redo or release of a whole operation never shows what a narrower rollback
-- took out of it. And a version's payload can be gone, erased or reclaimed: as a head it shows its record as absent.

SET ROLE recant_owner;
SET search_path = recant, public;

ALTER TABLE operation ADD COLUMN narrowed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN operation.narrowed IS 'Whether a verdict was ever about one of its records: reads ask `withheld` only then.';

CREATE TYPE payload_state AS ENUM ('kept', 'erased', 'reclaimed');
ALTER TABLE version ADD COLUMN payload payload_state NOT NULL DEFAULT 'kept';
COMMENT ON COLUMN version.payload IS 'kept, or destroyed: erased for good, or reclaimed past the horizon. The skeleton stays, so an older version is never shown instead.';

CREATE TABLE record_verdict (
  control_id   bigint NOT NULL REFERENCES operation,
  operation_id bigint NOT NULL REFERENCES operation,
  record_id    bigint NOT NULL REFERENCES record,
  shows        boolean NOT NULL,
  PRIMARY KEY (control_id, operation_id, record_id),
  CHECK (operation_id < control_id)
);
COMMENT ON TABLE record_verdict IS 'What a control operation says of one record of an earlier operation: of its version, or of its having affirmed one.';
CREATE INDEX record_verdict_record ON record_verdict (operation_id, record_id, control_id);

CREATE TABLE record_visibility_history (
  operation_id  bigint NOT NULL,
  record_id     bigint NOT NULL,
  from_position bigint NOT NULL,
  visible       boolean NOT NULL,
  PRIMARY KEY (operation_id, record_id, from_position)
);
COMMENT ON TABLE record_visibility_history IS 'As of position P an operation''s record is withheld when its last row with from_position <= P says not visible.';
CREATE INDEX record_visibility_history_position ON record_visibility_history (from_position, operation_id, record_id);

CREATE TABLE withheld (
  operation_id bigint NOT NULL,
  record_id    bigint NOT NULL,
  PRIMARY KEY (operation_id, record_id)
);
COMMENT ON TABLE withheld IS 'The cached answer of the record verdicts: what is not seen now of operations that may be.';

CREATE VIEW seen_version AS
SELECT v.version_id, v.record_id, v.operation_id, v.batch_id, v.over_operation_id, v.tombstone, v.content_hash, v.payload
FROM version v
WHERE (SELECT o.visible AND (NOT o.narrowed OR NOT EXISTS (
                SELECT FROM withheld w WHERE w.operation_id = o.id AND w.record_id = v.record_id))
       FROM operation o WHERE o.id = v.operation_id);
COMMENT ON VIEW seen_version IS 'Versions that count now, tombstones and destroyed payloads among them: a record''s head is the last by version_id. For point reads; scans use heads_at.';

-- The records present at a position (null: now), each with its head. Scans: all visibility is worked out first.
CREATE FUNCTION heads_at(p_collection integer, p_position bigint)
RETURNS TABLE (record_id bigint, kind text, key text, version_id bigint, operation_id bigint, content_hash bytea)
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT r.id, r.kind, r.key, h.version_id, h.operation_id, h.content_hash
  FROM (
    (SELECT DISTINCT ON (v.record_id) v.record_id, v.version_id, v.operation_id, v.content_hash, v.tombstone, v.payload
     FROM version v JOIN operation o ON o.id = v.operation_id
     WHERE p_position IS NULL AND o.visible AND (p_collection IS NULL OR o.collection_id = p_collection)
       AND NOT (o.narrowed AND EXISTS (SELECT FROM withheld w WHERE w.operation_id = o.id AND w.record_id = v.record_id))
     ORDER BY v.record_id, v.version_id DESC)
    UNION ALL
    (SELECT DISTINCT ON (v.record_id) v.record_id, v.version_id, v.operation_id, v.content_hash, v.tombstone, v.payload
     FROM version v
     JOIN operation o ON o.id = v.operation_id
     JOIN (SELECT DISTINCT ON (s.operation_id) s.operation_id, s.visible FROM visibility_history s
           WHERE s.from_position <= p_position ORDER BY s.operation_id, s.from_position DESC) then_ ON then_.operation_id = o.id
     WHERE p_position IS NOT NULL AND then_.visible AND (p_collection IS NULL OR o.collection_id = p_collection)
       AND NOT (o.narrowed AND NOT coalesce(
             (SELECT s.visible FROM record_visibility_history s
              WHERE s.operation_id = o.id AND s.record_id = v.record_id AND s.from_position <= p_position
              ORDER BY s.from_position DESC LIMIT 1), true))
     ORDER BY v.record_id, v.version_id DESC)
  ) h
  JOIN record r ON r.id = h.record_id
  WHERE NOT h.tombstone AND h.payload = 'kept';
END;

-- Versions whose predecessor is not the head that their writer saw. Only records that moved since the operations were
-- opened can be among them, so the work follows what happened in between, not what was written.
CREATE OR REPLACE FUNCTION write_conflicts(p_operations bigint[], p_since bigint)
RETURNS TABLE (operation_id bigint, record_id bigint, expected bigint, actual bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH moved AS MATERIALIZED (
    SELECT DISTINCT h.operation_id FROM visibility_history h WHERE h.from_position > p_since
  ), suspect AS MATERIALIZED (
    SELECT n.record_id FROM moved m JOIN version n ON n.operation_id = m.operation_id
    UNION
    SELECT h.record_id FROM record_visibility_history h WHERE h.from_position > p_since
    UNION
    -- written over its session's own open work, which may not have been published
    SELECT v.record_id
    FROM operation mine
    JOIN version v ON v.operation_id = mine.id
    JOIN operation o ON o.id = v.over_operation_id AND o.life <> 'published'
    WHERE mine.id = ANY (p_operations) AND mine.session IS NOT NULL
  )
  SELECT v.operation_id, v.record_id, v.over_operation_id, head.operation_id
  FROM suspect s
  JOIN version v ON v.record_id = s.record_id AND v.operation_id = ANY (p_operations)
  LEFT JOIN LATERAL (
    SELECT n.operation_id FROM (
      SELECT x.operation_id, x.version_id, true AS own FROM version x
      WHERE x.record_id = v.record_id AND x.operation_id = ANY (p_operations) AND x.operation_id < v.operation_id
      UNION ALL
      SELECT x.operation_id, x.version_id, false FROM seen_version x
      WHERE x.record_id = v.record_id AND x.operation_id <> v.operation_id
    ) n
    ORDER BY n.own DESC, n.version_id DESC
    LIMIT 1
  ) head ON true
  WHERE head.operation_id IS DISTINCT FROM v.over_operation_id
$$;

CREATE OR REPLACE FUNCTION raise_withdrawn_inputs(p_operations bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  c record;
BEGIN
  SELECT d.operation_id, d.input_operation_id, d.class INTO c
  FROM (SELECT DISTINCT operation_id, input_operation_id, class FROM dependency WHERE operation_id = ANY (p_operations)) d
  JOIN operation i ON i.id = d.input_operation_id
  WHERE NOT i.id = ANY (p_operations) AND (NOT i.visible OR i.narrowed AND EXISTS (
    SELECT FROM dependency x
    JOIN version v ON v.version_id = x.input_version_id
    JOIN withheld w ON w.operation_id = v.operation_id AND w.record_id = v.record_id
    WHERE x.operation_id = d.operation_id AND x.input_operation_id = d.input_operation_id AND x.class = d.class))
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'operation % was made from operation % (%), which is no longer seen', c.operation_id, c.input_operation_id, c.class
      USING ERRCODE = 'RC005', HINT = 'Run it again without that input, or redo what withdrew it.',
        DETAIL = jsonb_build_object('operation_id', c.operation_id, 'input', c.input_operation_id, 'class', c.class)::text;
  END IF;
END $$;

-- The same as before where no verdict is about a record, so earlier links of the hash chain hold.
CREATE OR REPLACE FUNCTION verdict_digest(p_operation bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT encode(sha256(convert_to(
    coalesce((SELECT string_agg(operation_id || ':' || shows, ',' ORDER BY operation_id) FROM verdict WHERE control_id = p_operation), '')
    || coalesce((SELECT '/' || string_agg(operation_id || '#' || record_id || ':' || shows, ',' ORDER BY operation_id, record_id)
                 FROM record_verdict WHERE control_id = p_operation), ''), 'UTF8')), 'hex')
$$;

-- Which records of operations would begin or cease to be withheld: those that new verdicts name, and those named by
-- control operations that flip (what `flips` answered). Record verdicts are never about control operations: no levels.
CREATE FUNCTION record_flips(p_flipped bigint[], p_flipped_shows boolean[], p_operations bigint[], p_records bigint[], p_shows boolean[])
RETURNS TABLE (operation_id bigint, record_id bigint, visible boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH said AS MATERIALIZED (
    SELECT u.o AS operation_id, u.r AS record_id, u.s AS shows FROM unnest(p_operations, p_records, p_shows) AS u (o, r, s)
  ), flipped AS MATERIALIZED (
    SELECT u.id, u.shows FROM unnest(p_flipped, p_flipped_shows) AS u (id, shows) JOIN operation c ON c.id = u.id AND c.control
  ), target AS (
    SELECT v.operation_id, v.record_id FROM record_verdict v WHERE v.control_id IN (SELECT id FROM flipped)
    EXCEPT
    SELECT s.operation_id, s.record_id FROM said s
  ), answer AS (
    SELECT s.operation_id, s.record_id, s.shows FROM said s
    UNION ALL
    SELECT t.operation_id, t.record_id, coalesce(
      (SELECT v.shows
       FROM record_verdict v JOIN operation c ON c.id = v.control_id LEFT JOIN flipped f ON f.id = c.id
       WHERE v.operation_id = t.operation_id AND v.record_id = t.record_id AND coalesce(f.shows, c.visible)
       ORDER BY c.position DESC LIMIT 1), true)
    FROM target t
  )
  SELECT a.operation_id, a.record_id, a.shows FROM answer a
  WHERE a.shows = EXISTS (SELECT FROM withheld w WHERE w.operation_id = a.operation_id AND w.record_id = a.record_id)
$$;

-- A control operation: verdicts, and their effect, in one transaction. Takes time by the verdict, never by the row.
DROP FUNCTION apply_verdicts(text, text, text, text, uuid, text, jsonb, jsonb, jsonb, jsonb, bigint[], boolean[]);
CREATE FUNCTION apply_verdicts(
  p_kind text, p_agent text, p_session text, p_run_id text, p_lineage_run_id uuid, p_message text, p_parameters jsonb, p_context jsonb,
  p_datasets jsonb, p_counts jsonb, p_operations bigint[], p_shows boolean[],
  p_record_operations bigint[] DEFAULT '{}', p_records bigint[] DEFAULT '{}', p_record_shows boolean[] DEFAULT '{}')
RETURNS TABLE (control_id bigint, "position" bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  flipped_ids bigint[];
  flipped_shows boolean[];
  pair_operations bigint[];
  pair_records bigint[];
  pair_shows boolean[];
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'recant writes under READ COMMITTED only' USING ERRCODE = 'RC001';
  END IF;
  IF p_kind NOT IN ('rollback', 'redo', 'quarantine', 'release', 'restore') THEN
    RAISE EXCEPTION 'kind "%" carries no verdicts', p_kind USING ERRCODE = 'RC002';
  END IF;
  IF coalesce(cardinality(p_operations), 0) + coalesce(cardinality(p_record_operations), 0) = 0 THEN
    RAISE EXCEPTION 'a % without verdicts would change nothing', p_kind USING ERRCODE = 'RC006';
  END IF;
  IF EXISTS (SELECT FROM unnest(p_operations || p_record_operations) x (id) LEFT JOIN operation o ON o.id = x.id
             WHERE o.life IS DISTINCT FROM 'published') THEN
    RAISE EXCEPTION 'verdicts are about published operations only' USING ERRCODE = 'RC002';
  END IF;
  IF EXISTS (SELECT FROM operation o WHERE o.id = ANY (p_record_operations) AND o.control) THEN
    RAISE EXCEPTION 'a control operation has no records: take it back as a whole' USING ERRCODE = 'RC002';
  END IF;
  PERFORM lock_log();
  SELECT array_agg(f.operation_id), array_agg(f.visible) INTO flipped_ids, flipped_shows FROM flips(p_operations, p_shows) f;
  SELECT array_agg(f.operation_id), array_agg(f.record_id), array_agg(f.visible) INTO pair_operations, pair_records, pair_shows
  FROM record_flips(flipped_ids, flipped_shows, p_record_operations, p_records, p_record_shows) f;
  INSERT INTO operation (kind, control, agent, session, run_id, lineage_run_id, message, parameters, context, base_position, opened_at)
  VALUES (p_kind, true, p_agent, p_session, p_run_id, p_lineage_run_id, coalesce(p_message, ''), p_parameters, p_context,
          log_position(), clock_timestamp())
  RETURNING id INTO control_id;
  INSERT INTO operation_dataset (operation_id, direction, namespace, name)
  SELECT control_id, d ->> 'direction', d ->> 'namespace', d ->> 'name' FROM jsonb_array_elements(p_datasets) d ON CONFLICT DO NOTHING;
  PERFORM emit_lineage(control_id, 'START', clock_timestamp());
  INSERT INTO verdict (control_id, operation_id, shows) SELECT control_id, u.id, u.shows FROM unnest(p_operations, p_shows) AS u (id, shows);
  INSERT INTO record_verdict (control_id, operation_id, record_id, shows)
  SELECT control_id, u.o, u.r, u.s FROM unnest(p_record_operations, p_records, p_record_shows) AS u (o, r, s);
  position := commit_operation(control_id, p_counts, digest_hex(0, 0));
  UPDATE operation o SET visible = f.shows FROM unnest(flipped_ids, flipped_shows) AS f (id, shows) WHERE o.id = f.id;
  INSERT INTO visibility_history (operation_id, from_position, visible)
  SELECT f.id, position, f.shows FROM unnest(flipped_ids, flipped_shows) AS f (id, shows);
  IF cardinality(pair_operations) > 0 THEN
    PERFORM withhold(position, pair_operations, pair_records, pair_shows);
  END IF;
  RETURN NEXT;
END $$;

-- The effect of record verdicts: the cached answer and its history. Called under the log's lock.
CREATE FUNCTION withhold(p_position bigint, p_operations bigint[], p_records bigint[], p_shows boolean[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  UPDATE operation SET narrowed = true WHERE id = ANY (p_operations) AND NOT narrowed;
  INSERT INTO record_visibility_history (operation_id, record_id, from_position, visible)
  SELECT u.o, u.r, p_position, u.s FROM unnest(p_operations, p_records, p_shows) AS u (o, r, s);
  INSERT INTO withheld (operation_id, record_id)
  SELECT u.o, u.r FROM unnest(p_operations, p_records, p_shows) AS u (o, r, s) WHERE NOT u.s;
  DELETE FROM withheld w USING unnest(p_operations, p_records, p_shows) AS u (o, r, s)
  WHERE u.s AND w.operation_id = u.o AND w.record_id = u.r;
END $$;

REVOKE ALL ON FUNCTION heads_at(integer, bigint), withhold(bigint, bigint[], bigint[], boolean[]),
  record_flips(bigint[], boolean[], bigint[], bigint[], boolean[]),
  apply_verdicts(text, text, text, text, uuid, text, jsonb, jsonb, jsonb, jsonb, bigint[], boolean[], bigint[], bigint[], boolean[]) FROM PUBLIC;
GRANT SELECT ON record_verdict, record_visibility_history, withheld, seen_version TO recant_reader, recant_writer;
GRANT EXECUTE ON FUNCTION heads_at(integer, bigint), record_flips(bigint[], boolean[], bigint[], bigint[], boolean[]) TO recant_reader;
GRANT EXECUTE ON FUNCTION
  apply_verdicts(text, text, text, text, uuid, text, jsonb, jsonb, jsonb, jsonb, bigint[], boolean[], bigint[], bigint[], boolean[]) TO recant_coordinator;

RESET ROLE;
