-- What is kept, and the only two ways in which anything stored goes away: erasing a document, and reclaiming what is
-- past the horizon. Both destroy payloads and leave skeletons (versions, their hashes, the log), so that the hash chain
-- still verifies and nobody is shown an older version in place of one that is gone. Error code: RC020 past the horizon.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE tag (
  name       text PRIMARY KEY CHECK (name ~ '^[A-Za-z][A-Za-z0-9_./-]{0,99}$'),
  position   bigint NOT NULL CHECK (position >= 0),
  created_by text NOT NULL CHECK (length(created_by) BETWEEN 1 AND 200),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  message    text NOT NULL DEFAULT ''
);
COMMENT ON TABLE tag IS 'A named position of the whole log. What was seen there is never reclaimed while the tag stands.';
COMMENT ON COLUMN tag.name IS 'Begins with a letter, so that it is never taken for a position or a time.';
CREATE INDEX tag_position ON tag (position);

CREATE TABLE horizon (
  single       boolean PRIMARY KEY DEFAULT true CHECK (single),
  position     bigint NOT NULL CHECK (position >= 0),
  operation_id bigint NOT NULL REFERENCES operation,
  embedding_id bigint NOT NULL
);
COMMENT ON TABLE horizon IS 'One row once anything was reclaimed: from this position on, every position can be answered as it was; before it, tags only.';
COMMENT ON COLUMN horizon.operation_id IS 'The last operation of kind reclaim.';
COMMENT ON COLUMN horizon.embedding_id IS 'The last embedding there was then: what no chunk used before it, nobody is about to use.';

CREATE TABLE reclaim_work (
  version_id bigint PRIMARY KEY
);
COMMENT ON TABLE reclaim_work IS 'Versions marked as reclaimed whose payload is still on disk. Freed in short transactions; what a crash leaves here, the next reclaim frees first.';

CREATE FUNCTION horizon_position() RETURNS bigint
LANGUAGE sql STABLE SET search_path = recant, public, pg_temp
AS $$ SELECT coalesce((SELECT position FROM horizon), 0) $$;

-- Raises RC020 for a position that was reclaimed and isn't tagged. Asked in the snapshot that answers.
CREATE FUNCTION require_answerable(p_position bigint) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  IF p_position < horizon_position() AND NOT EXISTS (SELECT FROM tag t WHERE t.position = p_position) THEN
    RAISE EXCEPTION 'what was seen at position % has been reclaimed: the horizon is position %', p_position, horizon_position()
      USING ERRCODE = 'RC020', HINT = 'Ask for a position from there on, or for a tag.',
        DETAIL = jsonb_build_object('position', p_position, 'horizon', horizon_position())::text;
  END IF;
END $$;

-- Under the log's lock: a reclaim has either seen the tag, or has moved the horizon before it was made.
CREATE FUNCTION create_tag(p_name text, p_position bigint, p_by text, p_message text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  PERFORM lock_log();
  PERFORM require_answerable(p_position);
  INSERT INTO tag (name, position, created_by, message) VALUES (p_name, p_position, p_by, coalesce(p_message, '')) ON CONFLICT DO NOTHING;
  RETURN FOUND;
END $$;

CREATE FUNCTION drop_tag(p_name text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  DELETE FROM tag WHERE name = p_name;
  RETURN FOUND;
END $$;

-- A control operation without verdicts: it has a position and lineage, and nothing ever takes it back. The caller holds
-- the log's lock.
CREATE FUNCTION record_destruction(
  p_kind text, p_collection integer, p_agent text, p_session text, p_run_id text, p_lineage_run_id uuid, p_message text,
  p_parameters jsonb, p_context jsonb, p_datasets jsonb, p_counts jsonb) RETURNS TABLE (control_id bigint, "position" bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO operation (kind, control, collection_id, agent, session, run_id, lineage_run_id, message, parameters, context, base_position, opened_at)
  VALUES (p_kind, true, p_collection, p_agent, p_session, p_run_id, p_lineage_run_id, coalesce(p_message, ''), p_parameters, p_context,
          log_position(), clock_timestamp())
  RETURNING id INTO control_id;
  INSERT INTO operation_dataset (operation_id, direction, namespace, name)
  SELECT control_id, d ->> 'direction', d ->> 'namespace', d ->> 'name' FROM jsonb_array_elements(p_datasets) d ON CONFLICT DO NOTHING;
  PERFORM emit_lineage(control_id, 'START', clock_timestamp());
  position := commit_operation(control_id, p_counts, digest_hex(0, 0));
  RETURN NEXT;
END $$;

-- Of these embeddings, deletes those that no chunk uses. One that a writer is about to use is locked by its foreign key
-- and left; a writer that comes a moment later meets the key's error, and embeds again. The second look is a statement
-- of its own, because the first one's snapshot is older than its locks.
CREATE FUNCTION delete_unused_embeddings(p_embeddings bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  locked bigint[];
  deleted bigint;
BEGIN
  locked := ARRAY(
    SELECT e.id FROM embedding e
    WHERE e.id = ANY (p_embeddings) AND NOT EXISTS (SELECT FROM chunk c WHERE c.embedding_id = e.id)
    ORDER BY e.id FOR UPDATE SKIP LOCKED);
  DELETE FROM embedding e WHERE e.id = ANY (locked) AND NOT EXISTS (SELECT FROM chunk c WHERE c.embedding_id = e.id);
  GET DIAGNOSTICS deleted = ROW_COUNT;
  RETURN deleted;
END $$;

-- Deletes the chunks of these versions; returns how many, and whose embeddings they used.
CREATE FUNCTION delete_chunks(p_versions bigint[], OUT chunks bigint, OUT embeddings bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  DELETE FROM chunk_quality q USING chunk c WHERE q.chunk_id = c.id AND c.version_id = ANY (p_versions);
  WITH gone AS (DELETE FROM chunk c WHERE c.version_id = ANY (p_versions) RETURNING c.embedding_id)
  SELECT count(*), coalesce(array_agg(DISTINCT g.embedding_id), '{}') INTO chunks, embeddings FROM gone g;
END $$;

-- Locks the rows of the open operations that wrote a record, by id, as whoever publishes them does. One that is over by the
-- time its lock comes is let go again: held on to, it would stand in the way of a rollback that has the log's lock.
CREATE FUNCTION lock_open_writers(p_record bigint) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  writers bigint[];
BEGIN
  LOOP
    BEGIN
      writers := ARRAY(SELECT o.id FROM operation o WHERE o.life = 'open' AND EXISTS (
        SELECT FROM version v WHERE v.operation_id = o.id AND v.record_id = p_record));
      PERFORM FROM operation WHERE id = ANY (writers) ORDER BY id FOR UPDATE;
      IF EXISTS (SELECT FROM operation WHERE id = ANY (writers) AND life <> 'open') THEN
        RAISE EXCEPTION 'one of them was published or aborted meanwhile' USING ERRCODE = 'serialization_failure';
      END IF;
      RETURN writers;
    EXCEPTION WHEN serialization_failure THEN
      NULL;
    END;
  END LOOP;
END $$;

-- Destroys the payload of every version of a document, open operations' too. Its record, versions and hashes stay. No
-- row: there is nothing left to destroy. Locks: storage, then the rows of open operations by id (whoever appends to them
-- or publishes them holds those), then the log. An operation that wrote the document between the last two is taken along
-- where nobody holds its row; otherwise its write comes after the erasure.
CREATE FUNCTION erase_document(
  p_record bigint, p_agent text, p_session text, p_run_id text, p_lineage_run_id uuid, p_message text, p_parameters jsonb,
  p_context jsonb, p_datasets jsonb)
RETURNS TABLE (control_id bigint, "position" bigint, versions bigint, chunks bigint, embeddings bigint, shared bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  none CONSTANT bytea := decode(repeat('00', 32), 'hex');
  opened bigint[];
  doomed bigint[];
  used bigint[];
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'recant writes under READ COMMITTED only' USING ERRCODE = 'RC001';
  END IF;
  PERFORM pg_advisory_xact_lock(7241169, 3);
  opened := lock_open_writers(p_record);
  PERFORM lock_log();
  opened := opened || ARRAY(SELECT o.id FROM operation o WHERE o.life = 'open' AND EXISTS (
    SELECT FROM version v WHERE v.operation_id = o.id AND v.record_id = p_record) FOR UPDATE SKIP LOCKED);
  doomed := ARRAY(SELECT v.version_id FROM version v JOIN operation o ON o.id = v.operation_id
                  WHERE v.record_id = p_record AND (o.life <> 'open' OR o.id = ANY (opened)));
  PERFORM FROM reclaim_work w WHERE w.version_id = ANY (doomed) ORDER BY w.version_id FOR UPDATE;  -- whoever frees them is done first
  SELECT d.chunks, d.embeddings INTO chunks, used FROM delete_chunks(doomed) d;
  UPDATE document_version SET title = NULL, attributes = '{}', source_hash = none, fingerprint = none WHERE version_id = ANY (doomed);
  UPDATE version SET payload = 'erased' WHERE version_id = ANY (doomed) AND NOT tombstone AND payload = 'kept';
  GET DIAGNOSTICS versions = ROW_COUNT;
  IF versions = 0 AND chunks = 0 THEN
    RETURN;
  END IF;
  embeddings := delete_unused_embeddings(used);
  shared := cardinality(used) - embeddings;
  SELECT r.control_id, r.position INTO control_id, position
  FROM record_destruction('erase', (SELECT collection_id FROM record WHERE id = p_record), p_agent, p_session, p_run_id, p_lineage_run_id,
    p_message, p_parameters, p_context, p_datasets,
    jsonb_build_object('versions', versions, 'chunks', chunks, 'embeddings', embeddings)) r;
  RETURN NEXT;
END $$;

-- The head of every record as of a position: tombstones, and versions whose payload was destroyed, too.
CREATE FUNCTION head_versions(p_position bigint) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT DISTINCT ON (v.record_id) v.version_id
  FROM version v
  JOIN (SELECT DISTINCT ON (h.operation_id) h.operation_id, h.visible FROM visibility_history h
        WHERE h.from_position <= p_position ORDER BY h.operation_id, h.from_position DESC) o ON o.operation_id = v.operation_id
  LEFT JOIN (SELECT DISTINCT ON (w.operation_id, w.record_id) w.operation_id, w.record_id, w.visible FROM record_visibility_history w
             WHERE w.from_position <= p_position ORDER BY w.operation_id, w.record_id, w.from_position DESC) w
    ON w.operation_id = v.operation_id AND w.record_id = v.record_id
  WHERE o.visible AND coalesce(w.visible, true)
  ORDER BY v.record_id, v.version_id DESC
$$;

-- Heads that came about after a position because an operation, or a record of one, was hidden or shown again: for each
-- such position, the heads then of the records that it touched.
CREATE FUNCTION flipped_head_versions(p_since bigint) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH flip AS MATERIALIZED (
    SELECT h.from_position AS position, v.record_id
    FROM visibility_history h JOIN operation o ON o.id = h.operation_id JOIN version v ON v.operation_id = h.operation_id
    WHERE h.from_position > p_since AND o.position <> h.from_position
    UNION
    SELECT w.from_position, w.record_id FROM record_visibility_history w WHERE w.from_position > p_since
  )
  SELECT head.version_id
  FROM flip f
  JOIN LATERAL (
    SELECT v.version_id FROM version v
    WHERE v.record_id = f.record_id
      AND (SELECT h.visible FROM visibility_history h
           WHERE h.operation_id = v.operation_id AND h.from_position <= f.position ORDER BY h.from_position DESC LIMIT 1)
      AND coalesce((SELECT w.visible FROM record_visibility_history w
           WHERE w.operation_id = v.operation_id AND w.record_id = v.record_id AND w.from_position <= f.position
           ORDER BY w.from_position DESC LIMIT 1), true)
    ORDER BY v.version_id DESC LIMIT 1
  ) head ON true
$$;

-- Every version of the records that an open plan is about: it may want to show any of them. Those are the records of the
-- operations that get its verdicts, or that the control operations among them spoke of, and those that it names itself.
CREATE FUNCTION planned_versions() RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH RECURSIVE plan AS MATERIALIZED (
    SELECT p.withdraw, p.report FROM rollback_plan p
    WHERE p.state = 'open' AND coalesce(p.expires_at > clock_timestamp(), true)
  ), named (operation_id) AS (
    (SELECT unnest(p.withdraw) FROM plan p
     UNION
     SELECT x.id::bigint FROM plan p CROSS JOIN LATERAL jsonb_array_elements(p.report -> 'bring_back') AS x (id))
    UNION
    SELECT v.operation_id FROM named n JOIN verdict v ON v.control_id = n.operation_id
  ), spoken_of (record_id) AS (
    SELECT v.record_id FROM named n JOIN version v ON v.operation_id = n.operation_id
    UNION
    SELECT v.record_id FROM named n JOIN record_verdict v ON v.control_id = n.operation_id
    UNION
    SELECT (x.record ->> 'record_id')::bigint
    FROM plan p CROSS JOIN (VALUES ('withdraw_records'), ('bring_back_records')) AS list (name)
    CROSS JOIN LATERAL jsonb_array_elements(p.report -> list.name) AS x (record)
  )
  SELECT v.version_id FROM spoken_of s JOIN version v ON v.record_id = s.record_id
$$;

-- Versions whose payload may go with this horizon. They are of aborted operations, or published by then, and seen
-- neither at any position from the horizon to now, nor at a tag, nor perhaps by an open plan. Watermarks are a few bytes
-- and stay: were they gone, no ingest before the horizon could be taken back, even one that had only added documents.
CREATE FUNCTION find_reclaimable(p_horizon bigint) RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH kept (version_id) AS MATERIALIZED (
    SELECT head_versions(p_horizon)
    UNION ALL
    SELECT head_versions(tagged.position) FROM (SELECT DISTINCT t.position FROM tag t WHERE t.position < p_horizon) tagged
    UNION ALL
    SELECT flipped_head_versions(p_horizon)
    UNION ALL
    SELECT planned_versions()
  )
  SELECT v.version_id FROM version v JOIN operation o ON o.id = v.operation_id JOIN record r ON r.id = v.record_id
  WHERE r.kind <> 'watermark' AND (o.life = 'aborted' OR o.position <= p_horizon) AND v.payload <> 'reclaimed'
    AND NOT EXISTS (SELECT FROM kept k WHERE k.version_id = v.version_id)
$$;

-- The horizon that an asked one comes to: never back, and never past what an open operation was begun on.
CREATE FUNCTION effective_horizon(p_asked bigint) RETURNS TABLE ("position" bigint, held_by bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT greatest(horizon_position(), least(asked.position, o.base_position)), CASE WHEN o.base_position < asked.position THEN o.id END
  FROM (SELECT least(p_asked, log_position()) AS position) asked
  LEFT JOIN LATERAL (SELECT id, base_position FROM operation WHERE life = 'open' ORDER BY base_position, id LIMIT 1) o ON true
$$;

-- Equal before and after: nothing was hidden, shown, tagged or planned in between, so what is reclaimable is so still.
CREATE FUNCTION reclaim_stamp(p_since bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT concat_ws('/',
    (SELECT count(*) FROM operation o WHERE o.position > p_since AND o.control AND o.kind NOT IN ('erase', 'reclaim')),
    (SELECT string_agg(t.name || ':' || t.position, ',' ORDER BY t.name) FROM tag t),
    (SELECT string_agg(p.id::text, ',' ORDER BY p.id) FROM rollback_plan p WHERE p.state = 'open'))
$$;

-- Marks what is reclaimable, and takes the log's lock last: publishing waits for the comparison only. No row, and nothing
-- marked, when what was worked out no longer holds by then.
CREATE FUNCTION mark_reclaimable(p_horizon bigint, p_namespace text) RETURNS TABLE (versions bigint, chunks bigint, datasets jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  since bigint := log_position();
  stamp text := reclaim_stamp(since);
  marked bigint[] := ARRAY(SELECT find_reclaimable(p_horizon));
BEGIN
  versions := cardinality(marked);
  chunks := (SELECT count(*) FROM chunk c JOIN unnest(marked) AS x (id) ON x.id = c.version_id);
  datasets := reclaimed_datasets(p_namespace, marked);
  UPDATE version v SET payload = 'reclaimed' FROM unnest(marked) AS x (id) WHERE v.version_id = x.id;
  INSERT INTO reclaim_work (version_id) SELECT x.id FROM unnest(marked) AS x (id) ON CONFLICT DO NOTHING;
  PERFORM lock_log();
  IF reclaim_stamp(since) <> stamp THEN
    RAISE EXCEPTION 'something was hidden, shown, tagged or planned meanwhile' USING ERRCODE = 'serialization_failure';
  END IF;
  RETURN NEXT;
EXCEPTION WHEN serialization_failure THEN
  RETURN;
END $$;

-- The OpenLineage datasets of the collections that these versions are of.
CREATE FUNCTION reclaimed_datasets(p_namespace text, p_versions bigint[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT coalesce(jsonb_agg(jsonb_build_object('direction', 'output', 'namespace', p_namespace, 'name', 'recant.recant.' || c.name)), '[]')
  FROM collection c WHERE c.id IN (
    SELECT r.collection_id FROM unnest(p_versions) AS x (id) JOIN version v ON v.version_id = x.id JOIN record r ON r.id = v.record_id)
$$;

-- Moves the horizon and marks what nobody can be shown any more, in one transaction; the payloads themselves are freed
-- afterwards (free_reclaimed). Nothing to reclaim: no operation, and the horizon stays. Locks: storage, then the log. What
-- was worked out before the log's lock and doesn't hold under it is worked out again, under it.
CREATE FUNCTION reclaim_versions(
  p_asked bigint, p_agent text, p_session text, p_run_id text, p_lineage_run_id uuid, p_message text, p_parameters jsonb,
  p_context jsonb, p_namespace text)
RETURNS TABLE (control_id bigint, "position" bigint, horizon bigint, held_by bigint, versions bigint, chunks bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  marked record;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'recant writes under READ COMMITTED only' USING ERRCODE = 'RC001';
  END IF;
  PERFORM pg_advisory_xact_lock(7241169, 3);
  SELECT e.position, e.held_by INTO horizon, held_by FROM effective_horizon(p_asked) e;
  LOOP
    SELECT m.versions, m.chunks, m.datasets INTO marked FROM mark_reclaimable(horizon, p_namespace) m;
    EXIT WHEN FOUND;
    PERFORM lock_log();
  END LOOP;
  versions := marked.versions;
  chunks := marked.chunks;
  IF versions > 0 THEN
    SELECT r.control_id, r.position INTO control_id, position
    FROM record_destruction('reclaim', NULL, p_agent, p_session, p_run_id, p_lineage_run_id, p_message,
      p_parameters || jsonb_build_object('horizon', horizon), p_context, marked.datasets,
      jsonb_build_object('versions', versions, 'chunks', chunks)) r;
    INSERT INTO recant.horizon AS h (position, operation_id, embedding_id)
    VALUES (horizon, control_id, (SELECT coalesce(max(id), 0) FROM embedding))
    ON CONFLICT (single) DO UPDATE SET position = excluded.position, operation_id = excluded.operation_id, embedding_id = excluded.embedding_id;
  END IF;
  RETURN NEXT;
END $$;

-- What a reclaim would do; nothing is changed.
CREATE FUNCTION preview_reclaim(p_asked bigint)
RETURNS TABLE (horizon bigint, held_by bigint, versions bigint, chunks bigint, embeddings bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  doomed bigint[];
BEGIN
  SELECT e.position, e.held_by INTO horizon, held_by FROM effective_horizon(p_asked) e;
  doomed := ARRAY(SELECT find_reclaimable(horizon));
  versions := cardinality(doomed);
  WITH going AS MATERIALIZED (
    SELECT c.id, c.embedding_id FROM chunk c JOIN unnest(doomed) AS x (id) ON x.id = c.version_id
  )
  SELECT (SELECT count(*) FROM going), count(*) INTO chunks, embeddings
  FROM (SELECT g.embedding_id, count(*) AS uses FROM going g GROUP BY g.embedding_id) e
  WHERE e.uses = (SELECT count(*) FROM chunk c WHERE c.embedding_id = e.embedding_id);
  RETURN NEXT;
END $$;

-- Frees the payloads of some marked versions, in a short transaction. Concurrent callers share the work.
CREATE FUNCTION free_reclaimed(p_versions integer, p_chunks integer) RETURNS TABLE (versions bigint, chunks bigint, embeddings bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  locked bigint[];
  doomed bigint[];
  used bigint[];
BEGIN
  locked := ARRAY(SELECT w.version_id FROM reclaim_work w ORDER BY w.version_id LIMIT p_versions FOR UPDATE SKIP LOCKED);
  doomed := ARRAY(
    SELECT x.id FROM (
      SELECT l.id, coalesce(sum(d.chunk_count) OVER (ORDER BY l.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
      FROM unnest(locked) AS l (id) LEFT JOIN document_version d ON d.version_id = l.id) x
    WHERE x.before < p_chunks);
  SELECT d.chunks, d.embeddings INTO chunks, used FROM delete_chunks(doomed) d;
  DELETE FROM document_version WHERE version_id = ANY (doomed);
  DELETE FROM reclaim_work WHERE version_id = ANY (doomed);
  versions := cardinality(doomed);
  embeddings := delete_unused_embeddings(used);
  RETURN NEXT;
END $$;

-- Goes through the embeddings that were there at the last reclaim, and deletes those that no chunk uses: of batches
-- that were tried again, say. `last_id` is null at the end.
CREATE FUNCTION sweep_embeddings(p_after bigint, p_limit integer) RETURNS TABLE (last_id bigint, embeddings bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  ids bigint[];
BEGIN
  ids := ARRAY(SELECT e.id FROM embedding e WHERE e.id > p_after AND e.id <= (SELECT h.embedding_id FROM horizon h) ORDER BY e.id LIMIT p_limit);
  last_id := ids[cardinality(ids)];
  embeddings := delete_unused_embeddings(ids);
  RETURN NEXT;
END $$;

-- What aborted operations left besides versions, once they are older than the horizon: rejections, gate results, and
-- what they were made from. Nobody can come to depend on them: they are never published.
CREATE FUNCTION forget_aborted() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  old bigint[];
  gone bigint;
  forgotten bigint := 0;
BEGIN
  old := ARRAY(SELECT o.id FROM operation o WHERE o.life = 'aborted'
               AND o.closed_at <= (SELECT p.closed_at FROM operation p WHERE p.position = horizon_position()));
  DELETE FROM rejection WHERE operation_id = ANY (old);
  GET DIAGNOSTICS gone = ROW_COUNT;
  forgotten := forgotten + gone;
  DELETE FROM quality_check WHERE operation_id = ANY (old);
  GET DIAGNOSTICS gone = ROW_COUNT;
  forgotten := forgotten + gone;
  DELETE FROM dependency WHERE operation_id = ANY (old);
  GET DIAGNOSTICS gone = ROW_COUNT;
  RETURN forgotten + gone;
END $$;

REVOKE ALL ON FUNCTION horizon_position(), require_answerable(bigint), create_tag(text, bigint, text, text), drop_tag(text),
  record_destruction(text, integer, text, text, text, uuid, text, jsonb, jsonb, jsonb, jsonb), delete_unused_embeddings(bigint[]),
  delete_chunks(bigint[]), lock_open_writers(bigint), erase_document(bigint, text, text, text, uuid, text, jsonb, jsonb, jsonb), head_versions(bigint),
  flipped_head_versions(bigint), planned_versions(), find_reclaimable(bigint), effective_horizon(bigint), reclaim_stamp(bigint),
  mark_reclaimable(bigint, text), reclaim_versions(bigint, text, text, text, uuid, text, jsonb, jsonb, text),
  reclaimed_datasets(text, bigint[]), preview_reclaim(bigint), free_reclaimed(integer, integer), sweep_embeddings(bigint, integer),
  forget_aborted() FROM PUBLIC;
GRANT SELECT ON tag, horizon, reclaim_work TO recant_reader, recant_writer;
GRANT EXECUTE ON FUNCTION horizon_position(), require_answerable(bigint), effective_horizon(bigint), head_versions(bigint) TO recant_reader;
GRANT EXECUTE ON FUNCTION create_tag(text, bigint, text, text), drop_tag(text),
  erase_document(bigint, text, text, text, uuid, text, jsonb, jsonb, jsonb) TO recant_coordinator;
GRANT EXECUTE ON FUNCTION reclaim_versions(bigint, text, text, text, uuid, text, jsonb, jsonb, text), preview_reclaim(bigint),
  free_reclaimed(integer, integer), sweep_embeddings(bigint, integer), forget_aborted(), delete_unused_embeddings(bigint[])
  TO recant_coordinator, recant_reclaimer;

RESET ROLE;
