-- The life of data by rule: how long a collection's documents of one class keep their history, and when they expire. What
-- is reclaimed is brought back from archives; files are looked at only as long as they stand.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE retention_rule (
  version_id     bigint PRIMARY KEY REFERENCES version ON UPDATE CASCADE ON DELETE CASCADE,
  classification text NOT NULL CHECK (classification IN ('', 'public', 'internal', 'confidential')),
  history_days   integer CHECK (history_days BETWEEN 0 AND 100000),
  expire_days    integer CHECK (expire_days BETWEEN 1 AND 100000),
  CHECK (history_days IS NOT NULL OR expire_days IS NOT NULL)
);
COMMENT ON TABLE retention_rule IS 'How long what a collection holds of one class is kept; the empty class is for all that have no rule of their own.';
COMMENT ON COLUMN retention_rule.history_days IS 'What was last seen so long ago is reclaimed; null: as the collection''s rule says, or the installation.';
COMMENT ON COLUMN retention_rule.expire_days IS 'A document whose version was published so long ago is retired; null: as the collection''s rule says, or never.';
CREATE TRIGGER fence AFTER INSERT ON retention_rule REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION fence_parts();

CREATE TABLE collection_horizon (
  collection_id integer PRIMARY KEY REFERENCES collection,
  position      bigint NOT NULL CHECK (position >= 0),
  operation_id  bigint NOT NULL REFERENCES operation
);
COMMENT ON TABLE collection_horizon IS 'Of collections that have had a retention rule at a reclaim: their horizon, in place of the common one.';

-- A collection's horizon.
CREATE FUNCTION horizon_of(p_collection integer) RETURNS bigint
LANGUAGE sql STABLE SET search_path = recant, public, pg_temp AS $$
  SELECT coalesce((SELECT h.position FROM collection_horizon h WHERE h.collection_id = p_collection), horizon_position())
$$;

-- Raises RC020 for a position of a collection (null: of all) that was reclaimed and isn't tagged.
CREATE FUNCTION require_answerable_of(p_position bigint, p_collection text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = recant, public, pg_temp AS $$
DECLARE
  past bigint := CASE WHEN p_collection IS NULL THEN greatest(horizon_position(), (SELECT max(h.position) FROM collection_horizon h))
                      ELSE horizon_of((SELECT c.id FROM collection c WHERE c.name = p_collection)) END;
BEGIN
  IF p_position < past AND NOT EXISTS (SELECT FROM tag t WHERE t.position = p_position) THEN
    RAISE EXCEPTION 'what was seen at position % has been reclaimed: the horizon is position %', p_position, past
      USING ERRCODE = 'RC020', HINT = 'Tagged positions, and those from the horizon on, can be answered.',
        DETAIL = jsonb_build_object('position', p_position, 'horizon', past)::text;
  END IF;
END $$;

-- As before, for what concerns every collection: a tag must be answerable in all of them.
CREATE OR REPLACE FUNCTION require_answerable(p_position bigint) RETURNS void
LANGUAGE sql STABLE SET search_path = recant, public, pg_temp AS $$ SELECT require_answerable_of(p_position, NULL) $$;

-- The rules that stand.
CREATE FUNCTION retention_rules()
RETURNS TABLE (rule_id bigint, collection_id integer, operation_id bigint, classification text, history_days integer, expire_days integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT h.version_id, r.collection_id, h.operation_id, t.classification, t.history_days, t.expire_days
  FROM (SELECT DISTINCT v.record_id FROM retention_rule x JOIN version v ON v.version_id = x.version_id) known
  JOIN record r ON r.id = known.record_id
  CROSS JOIN LATERAL (SELECT s.version_id, s.operation_id FROM seen_version s WHERE s.record_id = r.id ORDER BY s.version_id DESC LIMIT 1) h
  JOIN retention_rule t ON t.version_id = h.version_id
  JOIN version v ON v.version_id = h.version_id AND NOT v.tombstone AND v.payload = 'kept'
$$;

-- The class of a document version that rules go by; none of those known: the empty one.
CREATE FUNCTION retention_class(p_attributes jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT lower(btrim(coalesce(p_attributes ->> 'classification', ''))) $$;

-- The horizons that a reclaim now goes by: that of what no rule covers (rule 0), and one for each rule. None is past what an
-- open operation was begun on.
CREATE FUNCTION retention_horizons(p_asked bigint)
RETURNS TABLE (rule_id bigint, collection_id integer, classification text, history_days integer, operation_id bigint, horizon bigint, held_by bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT 0, NULL::integer, '', NULL::integer, NULL::bigint, e.position, e.held_by FROM effective_horizon(p_asked) e
  UNION ALL
  SELECT r.rule_id, r.collection_id, r.classification, r.history_days, r.operation_id, least(asked.position, o.base_position),
         CASE WHEN o.base_position < asked.position THEN o.id END
  FROM retention_rules() r
  CROSS JOIN LATERAL (
    SELECT coalesce(max(p.position), 0) AS position FROM operation p
    WHERE p.life = 'published' AND p.closed_at <= statement_timestamp() - make_interval(days => r.history_days)) asked
  LEFT JOIN LATERAL (SELECT x.id, x.base_position FROM operation x WHERE x.life = 'open' ORDER BY x.base_position, x.id LIMIT 1) o ON true
  WHERE r.history_days IS NOT NULL
$$;

-- Versions whose payload may go, each with the rule that says so: the one for its class, else the collection's, else rule 0.
CREATE FUNCTION retention_marks(p_horizons jsonb) RETURNS TABLE (version_id bigint, rule_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH h AS MATERIALIZED (
    SELECT x.* FROM jsonb_to_recordset(p_horizons) AS x (rule_id bigint, collection_id integer, classification text, horizon bigint)
  ), free AS MATERIALIZED (
    SELECT x.horizon, f.version_id FROM (SELECT DISTINCT h.horizon FROM h) x CROSS JOIN LATERAL find_reclaimable(x.horizon) AS f (version_id)
  ), own AS (
    SELECT f.version_id, f.horizon, (
      SELECT h.rule_id FROM h
      WHERE h.rule_id = 0 OR (h.collection_id = r.collection_id AND h.classification IN ('', retention_class(d.attributes)))
      ORDER BY h.rule_id = 0, h.classification DESC LIMIT 1) AS rule_id
    FROM free f JOIN version v ON v.version_id = f.version_id JOIN record r ON r.id = v.record_id
    LEFT JOIN document_version d ON d.version_id = f.version_id
  )
  SELECT o.version_id, o.rule_id FROM own o JOIN h ON h.rule_id = o.rule_id AND h.horizon = o.horizon
$$;

-- What each rule comes to: [{collection, classification, history_days, operation_id, horizon, held_by, versions, chunks}].
CREATE FUNCTION retention_report(p_horizons jsonb, p_versions bigint[], p_rules bigint[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH counted AS MATERIALIZED (
    SELECT m.rule_id, count(*) AS versions, sum((SELECT count(*) FROM chunk c WHERE c.version_id = m.version_id)) AS chunks
    FROM unnest(p_versions, p_rules) AS m (version_id, rule_id) GROUP BY m.rule_id
  )
  SELECT coalesce(jsonb_agg(jsonb_build_object('collection', c.name, 'classification', h.classification, 'history_days', h.history_days,
           'operation_id', h.operation_id, 'horizon', h.horizon, 'held_by', h.held_by, 'versions', coalesce(n.versions, 0),
           'chunks', coalesce(n.chunks, 0)) ORDER BY c.name NULLS FIRST, h.classification), '[]')
  FROM jsonb_to_recordset(p_horizons)
    AS h (rule_id bigint, collection_id integer, classification text, history_days integer, operation_id bigint, horizon bigint, held_by bigint)
  LEFT JOIN collection c ON c.id = h.collection_id LEFT JOIN counted n ON n.rule_id = h.rule_id
$$;

-- As before; and the rules are as they were.
CREATE OR REPLACE FUNCTION reclaim_stamp(p_since bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT concat_ws('/',
    (SELECT count(*) FROM operation o WHERE o.position > p_since AND o.control AND o.kind NOT IN ('erase', 'reclaim')),
    (SELECT string_agg(t.name || ':' || t.position, ',' ORDER BY t.name) FROM tag t),
    (SELECT string_agg(p.id::text, ',' ORDER BY p.id) FROM rollback_plan p WHERE p.state = 'open'),
    (SELECT string_agg(r.rule_id::text, ',' ORDER BY r.rule_id) FROM retention_rules() r))
$$;

DROP FUNCTION mark_reclaimable(bigint, text);
DROP FUNCTION reclaim_versions(bigint, text, text, text, uuid, text, jsonb, jsonb, text);
DROP FUNCTION preview_reclaim(bigint);

-- Marks what is reclaimable, and takes the log's lock last: publishing waits for the comparison only. No row, and nothing
-- marked, when what was worked out no longer holds by then.
CREATE FUNCTION mark_reclaimable(p_asked bigint, p_namespace text)
RETURNS TABLE (horizons jsonb, marked bigint[], rules bigint[], chunks bigint, datasets jsonb, report jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  since bigint := log_position();
  stamp text := reclaim_stamp(since);
BEGIN
  SELECT jsonb_agg(to_jsonb(h)) INTO horizons FROM retention_horizons(p_asked) h;
  SELECT coalesce(array_agg(m.version_id), '{}'), coalesce(array_agg(m.rule_id), '{}') INTO marked, rules FROM retention_marks(horizons) m;
  report := retention_report(horizons, marked, rules);
  chunks := (SELECT sum((x.rule ->> 'chunks')::bigint) FROM jsonb_array_elements(report) AS x (rule));
  datasets := reclaimed_datasets(p_namespace, marked);
  UPDATE version v SET payload = 'reclaimed' FROM unnest(marked) AS x (id) WHERE v.version_id = x.id;
  INSERT INTO reclaim_work (version_id) SELECT x.id FROM unnest(marked) AS x (id) ON CONFLICT DO NOTHING;
  PERFORM lock_log();
  IF reclaim_stamp(since) <> stamp THEN
    RAISE EXCEPTION 'something was hidden, shown, tagged, planned or ruled meanwhile' USING ERRCODE = 'serialization_failure';
  END IF;
  RETURN NEXT;
EXCEPTION WHEN serialization_failure THEN
  RETURN;
END $$;

-- Moves the horizons past what was marked: the common one where no rule was the reason, and those of collections that have
-- a rule, or had one. What was never published was never seen: it moves none of these.
CREATE FUNCTION move_horizons(p_control bigint, p_horizon bigint, p_horizons jsonb, p_marked bigint[], p_rules bigint[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH h AS (
    SELECT x.* FROM jsonb_to_recordset(p_horizons) AS x (rule_id bigint, collection_id integer, horizon bigint)
  ), moved AS (
    SELECT r.collection_id, max(h.horizon) AS position
    FROM unnest(p_marked, p_rules) AS m (version_id, rule_id) JOIN h ON h.rule_id = m.rule_id
    JOIN version v ON v.version_id = m.version_id JOIN operation o ON o.id = v.operation_id AND o.life = 'published'
    JOIN record r ON r.id = v.record_id GROUP BY r.collection_id
  )
  INSERT INTO collection_horizon AS k (collection_id, position, operation_id)
  SELECT c.collection_id, greatest(horizon_of(c.collection_id), m.position), p_control
  FROM (SELECT h.collection_id FROM h WHERE h.collection_id IS NOT NULL UNION SELECT x.collection_id FROM collection_horizon x) c
  LEFT JOIN moved m ON m.collection_id = c.collection_id
  ON CONFLICT (collection_id) DO UPDATE SET position = excluded.position, operation_id = excluded.operation_id
    WHERE k.position < excluded.position;
  INSERT INTO horizon AS h (position, operation_id, embedding_id)
  VALUES (p_horizon, p_control, (SELECT coalesce(max(id), 0) FROM embedding))
  ON CONFLICT (single) DO UPDATE SET position = excluded.position, operation_id = excluded.operation_id, embedding_id = excluded.embedding_id;
$$;

-- As before, by the rules: `rules` says what each came to. p_asked is the horizon of what no rule covers.
CREATE FUNCTION reclaim_versions(
  p_asked bigint, p_agent text, p_session text, p_run_id text, p_lineage_run_id uuid, p_message text, p_parameters jsonb,
  p_context jsonb, p_namespace text)
RETURNS TABLE (control_id bigint, "position" bigint, horizon bigint, held_by bigint, versions bigint, chunks bigint, rules jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  work record;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'recant writes under READ COMMITTED only' USING ERRCODE = 'RC001';
  END IF;
  PERFORM pg_advisory_xact_lock(7241169, 3);
  LOOP
    SELECT m.* INTO work FROM mark_reclaimable(p_asked, p_namespace) m;
    EXIT WHEN FOUND;
    PERFORM lock_log();
  END LOOP;
  SELECT h.horizon, h.held_by INTO horizon, held_by FROM jsonb_to_recordset(work.horizons) AS h (rule_id bigint, horizon bigint, held_by bigint)
  WHERE h.rule_id = 0;
  IF NOT 0 = ANY (work.rules) THEN
    horizon := horizon_position();
  END IF;
  versions := cardinality(work.marked);
  chunks := work.chunks;
  rules := work.report;
  IF versions > 0 THEN
    SELECT r.control_id, r.position INTO control_id, position
    FROM record_destruction('reclaim', NULL, p_agent, p_session, p_run_id, p_lineage_run_id, p_message,
      p_parameters || jsonb_build_object('horizon', horizon)
        || CASE WHEN jsonb_array_length(rules) > 1 THEN jsonb_build_object('rules', rules) ELSE '{}' END,
      p_context, work.datasets, jsonb_build_object('versions', versions, 'chunks', chunks)) r;
    PERFORM move_horizons(control_id, horizon, work.horizons, work.marked, work.rules);
  END IF;
  RETURN NEXT;
END $$;

-- What a reclaim would do; nothing is changed.
CREATE FUNCTION preview_reclaim(p_asked bigint)
RETURNS TABLE (horizon bigint, held_by bigint, versions bigint, chunks bigint, embeddings bigint, rules jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  horizons jsonb := (SELECT jsonb_agg(to_jsonb(h)) FROM retention_horizons(p_asked) h);
  doomed bigint[];
  reasons bigint[];
BEGIN
  SELECT h.horizon, h.held_by INTO horizon, held_by FROM jsonb_to_recordset(horizons) AS h (rule_id bigint, horizon bigint, held_by bigint)
  WHERE h.rule_id = 0;
  SELECT coalesce(array_agg(m.version_id), '{}'), coalesce(array_agg(m.rule_id), '{}') INTO doomed, reasons FROM retention_marks(horizons) m;
  IF jsonb_array_length(horizons) > 1 AND NOT 0 = ANY (reasons) THEN
    horizon := horizon_position();
  END IF;
  versions := cardinality(doomed);
  WITH going AS MATERIALIZED (
    SELECT c.id, c.embedding_id FROM chunk c JOIN unnest(doomed) AS x (id) ON x.id = c.version_id
  )
  SELECT (SELECT count(*) FROM going), count(*) INTO chunks, embeddings
  FROM (SELECT g.embedding_id, count(*) AS uses FROM going g GROUP BY g.embedding_id) e
  WHERE e.uses = (SELECT count(*) FROM chunk c WHERE c.embedding_id = e.embedding_id);
  rules := retention_report(horizons, doomed, reasons);
  RETURN NEXT;
END $$;

-- Documents of a collection that are seen and whose rule says that they have expired: published longer ago than it allows.
-- Not those that are pinned (they don't age), and not what an open plan is about.
CREATE FUNCTION expired_documents(p_collection integer)
RETURNS TABLE (record_id bigint, source text, operation_id bigint, rule_id bigint, classification text, expire_days integer, published_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH rule AS MATERIALIZED (
    SELECT r.* FROM retention_rules() r WHERE r.collection_id = p_collection AND r.expire_days IS NOT NULL
  ), kept AS MATERIALIZED (
    SELECT n.target_record_id AS record_id
    FROM quality_rules(p_collection, log_position(), 9223372036854775807) q JOIN quality_pin n ON n.version_id = q.version_id
    UNION
    SELECT v.record_id FROM planned_versions() AS p (version_id) JOIN version v ON v.version_id = p.version_id
  )
  SELECT h.record_id, h.key, h.operation_id, own.rule_id, own.classification, own.expire_days, o.closed_at
  FROM heads_at(p_collection, NULL) h
  JOIN operation o ON o.id = h.operation_id
  JOIN document_version d ON d.version_id = h.version_id
  CROSS JOIN LATERAL (
    SELECT r.* FROM rule r WHERE r.classification IN ('', retention_class(d.attributes)) ORDER BY r.classification DESC LIMIT 1) own
  WHERE h.kind = 'document' AND EXISTS (SELECT FROM rule)
    AND o.closed_at <= statement_timestamp() - make_interval(days => own.expire_days)
    AND h.record_id NOT IN (SELECT k.record_id FROM kept k)
$$;

-- What an operation retires is blocked as it stands, for as long as the operation is seen: or the next ingest of where it
-- comes from would bring it back.
CREATE FUNCTION block_expired(p_operation bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  added bigint;
BEGIN
  PERFORM check_fence(ARRAY[p_operation], '{}');
  INSERT INTO block (collection_id, source_hash, source, reason, control_id, agent)
  SELECT r.collection_id, d.source_hash, r.key, 'it has expired', o.id, o.agent
  FROM operation o JOIN version v ON v.operation_id = o.id AND v.tombstone JOIN record r ON r.id = v.record_id AND r.kind = 'document'
  JOIN version w ON w.record_id = r.id AND w.operation_id = v.over_operation_id JOIN document_version d ON d.version_id = w.version_id
  WHERE o.id = p_operation AND o.kind = 'expire_documents';
  GET DIAGNOSTICS added = ROW_COUNT;
  RETURN added;
END $$;

-- A file that a later one has replaced stays so, whatever becomes of the later one's operation. It is said once, when the
-- later one is published, so that nothing looks at last year's nightly exports again.
ALTER TABLE artifact ADD COLUMN replaced boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN artifact.replaced IS 'A later artifact of a published operation stands at its path.';
UPDATE artifact a SET replaced = true
WHERE EXISTS (SELECT FROM artifact n JOIN operation m ON m.id = n.operation_id WHERE n.path = a.path AND n.id > a.id AND m.life = 'published');
CREATE INDEX artifact_standing ON artifact (path, id) WHERE NOT replaced;

CREATE FUNCTION replace_artifacts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  UPDATE artifact a SET replaced = true FROM artifact mine
  WHERE mine.operation_id = NEW.id AND a.path = mine.path AND NOT a.replaced AND a.id < (
    SELECT max(l.id) FROM artifact l JOIN operation o ON o.id = l.operation_id AND o.life = 'published' WHERE l.path = mine.path AND NOT l.replaced);
  RETURN NULL;
END $$;
CREATE TRIGGER replace_artifacts AFTER UPDATE OF life ON operation FOR EACH ROW
  WHEN (NEW.life = 'published' AND OLD.life <> 'published') EXECUTE FUNCTION replace_artifacts();

CREATE OR REPLACE VIEW artifact_state AS
SELECT a.id, a.kind, a.path, a.format, a.operation_id, c.name AS collection, a.first_position, a.position, a.read_position, a.scope,
       a.sha256, a.size_bytes, a.files, a.created_at, a.removed_at, a.removed_by, o.agent,
       CASE
         WHEN a.removed_at IS NOT NULL THEN 'removed'
         WHEN a.replaced THEN 'replaced'
         WHEN NOT o.visible THEN 'withdrawn'
         WHEN EXISTS (SELECT FROM artifact_reasons(a.id) r WHERE r.reason = 'erased') THEN 'erased'
         WHEN EXISTS (SELECT FROM artifact_reasons(a.id)) THEN 'stale'
         ELSE 'current'
       END AS state
FROM artifact a JOIN operation o ON o.id = a.operation_id LEFT JOIN collection c ON c.id = a.collection_id
WHERE o.life = 'published';

-- As before; the state of a file, which takes a look at the log, is asked of those that stand and hold something of it.
CREATE OR REPLACE FUNCTION artifacts_holding(p_operations bigint[]) RETURNS SETOF artifact_state
LANGUAGE sql STABLE SET search_path = recant, public, pg_temp AS $$
  WITH held AS MATERIALIZED (
    SELECT a.id FROM artifact a
    WHERE a.removed_at IS NULL AND NOT a.replaced AND EXISTS (
      SELECT FROM operation o
      WHERE o.id = ANY (p_operations) AND NOT o.control AND o.position BETWEEN a.first_position AND a.position
        AND (a.collection_id IS NULL OR o.collection_id = a.collection_id)
        AND (SELECT s.visible FROM visibility_history s WHERE s.operation_id = o.id AND s.from_position <= a.position
             ORDER BY s.from_position DESC LIMIT 1))
  )
  SELECT s.* FROM held h JOIN artifact_state s ON s.id = h.id ORDER BY s.path
$$;

-- Bringing reclaimed payloads back from an archive, for a plan that would show them again: written first, while they are marked
-- as reclaimed and so shown to nobody, then kept, in the transaction that shows them. What comes of neither, the next reclaim frees.
ALTER TABLE reclaim_work ADD COLUMN reviving boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN reclaim_work.reviving IS 'Its payload is being brought back from an archive.';

-- As before; but for versions whose payload is being brought back.
CREATE OR REPLACE FUNCTION fence_parts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  PERFORM check_fence(array_agg(DISTINCT v.operation_id), array_agg(DISTINCT v.batch_id))
  FROM (SELECT DISTINCT version_id FROM added) a JOIN version v USING (version_id)
  WHERE NOT (v.payload = 'reclaimed' AND EXISTS (SELECT FROM reclaim_work w WHERE w.version_id = v.version_id AND w.reviving))
  HAVING count(*) > 0;
  RETURN NULL;
END $$;

-- Whether a version's document was erased after it was written: its payload comes back from nowhere.
CREATE FUNCTION was_erased(p_version bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT EXISTS (
    SELECT FROM version v JOIN operation o ON o.id = v.operation_id
    JOIN operation e ON e.control AND e.kind = 'erase' AND e.position > o.position AND e.parameters ->> 'document_id' = v.record_id::text
    WHERE v.version_id = p_version)
$$;

-- Makes room for the payloads of reclaimed versions; what is left of them on disk goes. The caller writes them in this
-- transaction. Gives the versions that it may write.
CREATE FUNCTION begin_revival(p_versions bigint[]) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  mine bigint[];
BEGIN
  PERFORM pg_advisory_xact_lock(7241169, 3);
  mine := ARRAY(SELECT v.version_id FROM version v
                WHERE v.version_id = ANY (p_versions) AND v.payload = 'reclaimed' AND NOT was_erased(v.version_id) ORDER BY v.version_id);
  INSERT INTO reclaim_work (version_id, reviving) SELECT x.id, true FROM unnest(mine) AS x (id)
  ON CONFLICT (version_id) DO UPDATE SET reviving = true;
  PERFORM delete_chunks(mine);
  DELETE FROM document_version WHERE version_id = ANY (mine);
  RETURN QUERY SELECT unnest(mine);
END $$;

-- Keeps the payloads that were brought back, in the transaction of the plan that needs them. Refused (RC031) where one isn't
-- whole: another reclaim has come by. Locks: storage; the caller takes the log's afterwards.
CREATE FUNCTION finish_revival(p_versions bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  kept bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(7241169, 3);
  PERFORM FROM reclaim_work w WHERE w.version_id = ANY (p_versions) ORDER BY w.version_id FOR UPDATE;
  IF EXISTS (
    SELECT FROM version v JOIN record r ON r.id = v.record_id
    LEFT JOIN reclaim_work w ON w.version_id = v.version_id LEFT JOIN document_version d ON d.version_id = v.version_id
    WHERE v.version_id = ANY (p_versions) AND v.payload <> 'kept' AND NOT v.tombstone
      AND (v.payload = 'erased' OR was_erased(v.version_id) OR NOT coalesce(w.reviving, false)
           OR (r.kind = 'document' AND d.chunk_count IS DISTINCT FROM (SELECT count(*) FROM chunk c WHERE c.version_id = v.version_id)))) THEN
    RAISE EXCEPTION 'what was brought back from an archive was reclaimed or erased again' USING ERRCODE = 'RC031';
  END IF;
  UPDATE version SET payload = 'kept' WHERE version_id = ANY (p_versions) AND payload = 'reclaimed';
  GET DIAGNOSTICS kept = ROW_COUNT;
  DELETE FROM reclaim_work WHERE version_id = ANY (p_versions);
  DELETE FROM keyword_purge q USING version v
  WHERE v.version_id = ANY (p_versions) AND q.operation_id = v.operation_id AND q.record_id = v.record_id;
  RETURN kept;
END $$;

-- The scores of what was brought back: they went with its chunks.
CREATE FUNCTION score_revived(p_versions bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  changed bigint := 0;
  one record;
BEGIN
  PERFORM pg_advisory_xact_lock(7241169, 22);
  FOR one IN SELECT r.collection_id, array_agg(c.id) AS chunks
             FROM chunk c JOIN version v ON v.version_id = c.version_id JOIN record r ON r.id = v.record_id
             WHERE c.version_id = ANY (p_versions) GROUP BY r.collection_id LOOP
    changed := changed + store_quality(one.collection_id, (SELECT true_position FROM quality_projection), one.chunks);
  END LOOP;
  RETURN changed;
END $$;

REVOKE ALL ON FUNCTION horizon_of(integer), require_answerable_of(bigint, text), retention_rules(), retention_class(jsonb), retention_horizons(bigint),
  retention_marks(jsonb), retention_report(jsonb, bigint[], bigint[]), mark_reclaimable(bigint, text),
  move_horizons(bigint, bigint, jsonb, bigint[], bigint[]), reclaim_versions(bigint, text, text, text, uuid, text, jsonb, jsonb, text),
  preview_reclaim(bigint), expired_documents(integer), block_expired(bigint), replace_artifacts(),
  was_erased(bigint), begin_revival(bigint[]), finish_revival(bigint[]), score_revived(bigint[]) FROM PUBLIC;
GRANT SELECT ON retention_rule, collection_horizon TO recant_reader, recant_writer;
GRANT INSERT ON retention_rule TO recant_writer;
GRANT EXECUTE ON FUNCTION horizon_of(integer), require_answerable_of(bigint, text), retention_rules(), retention_class(jsonb),
  expired_documents(integer) TO recant_reader;
GRANT EXECUTE ON FUNCTION horizon_of(integer), expired_documents(integer) TO recant_writer;
GRANT EXECUTE ON FUNCTION reclaim_versions(bigint, text, text, text, uuid, text, jsonb, jsonb, text), preview_reclaim(bigint)
  TO recant_coordinator, recant_reclaimer;
GRANT EXECUTE ON FUNCTION was_erased(bigint) TO recant_reader;
GRANT EXECUTE ON FUNCTION block_expired(bigint), begin_revival(bigint[]), finish_revival(bigint[]), score_revived(bigint[]) TO recant_coordinator;

RESET ROLE;
