-- What a rollback would change, what it did, and whether the log and what is seen agree.

-- name: log_position
SELECT log_position() AS position

-- name: lock_log
SELECT lock_log() AS position

-- name: dependents
-- Seen operations built on these over any number of hops, and the first hop that leads to each of the first.
SELECT ids, coalesce(classes, '{}') AS classes, coalesce(vias, '{}') AS vias FROM dependents_of(%(operations)s::bigint[], %(listed)s)

-- name: narrowed_targets
-- What a selector by document picks of each operation: the records written or affirmed. `whole`: it wrote nothing else.
WITH wanted AS MATERIALIZED (
  SELECT r.id, r.key FROM record r
  WHERE r.kind = 'document' AND (%(sources)s::text[] IS NULL OR r.key = ANY (%(sources)s))
    AND (%(documents)s::bigint[] IS NULL OR r.id = ANY (%(documents)s))
), touched AS (
  SELECT v.operation_id, w.id AS record_id, w.key, true AS wrote
  FROM wanted w JOIN version v ON v.record_id = w.id WHERE v.operation_id = ANY (%(operations)s::bigint[])
  UNION
  SELECT d.operation_id, w.id, w.key, false
  FROM wanted w JOIN version v ON v.record_id = w.id JOIN dependency d ON d.input_version_id = v.version_id
  WHERE d.class = 'affirmed' AND d.operation_id = ANY (%(operations)s::bigint[])
    AND NOT EXISTS (SELECT FROM version own WHERE own.operation_id = d.operation_id AND own.record_id = w.id)
), written AS (
  SELECT t.operation_id, count(*) AS picked,
         (SELECT count(*) FROM version v JOIN record r ON r.id = v.record_id
          WHERE v.operation_id = t.operation_id AND r.kind <> 'watermark') AS written
  FROM touched t WHERE t.wrote GROUP BY t.operation_id
)
SELECT t.operation_id, t.record_id, t.key AS source, coalesce(w.picked = w.written AND t.wrote, false) AS whole,
       NOT o.visible OR EXISTS (SELECT FROM withheld x WHERE x.operation_id = t.operation_id AND x.record_id = t.record_id) AS hidden
FROM touched t JOIN operation o ON o.id = t.operation_id LEFT JOIN written w ON w.operation_id = t.operation_id
ORDER BY t.operation_id, t.key

-- name: narrowed_edges
-- What was built on these records of operations (record 0: on all of it), over any number of hops. A dependent is
-- narrowed to the record that names its input, or that it affirmed; `live`: it is seen.
WITH RECURSIVE reach (operation_id, record_id) AS (
  SELECT t.o, t.r FROM unnest(%(operations)s::bigint[], %(records)s::bigint[]) AS t (o, r)
  UNION
  SELECT e.operation_id, e.record_id FROM reach r CROSS JOIN LATERAL (
    SELECT d.operation_id, coalesce(m.record_id, CASE WHEN d.class = 'affirmed' THEN i.record_id END, 0) AS record_id
    FROM dependency d JOIN version i ON i.version_id = d.input_version_id LEFT JOIN version m ON m.version_id = d.version_id
    WHERE d.input_operation_id = r.operation_id AND (r.record_id = 0 OR i.record_id = r.record_id)
  ) e
)
SELECT DISTINCT r.operation_id AS via, r.record_id AS via_record, d.operation_id, d.class,
       coalesce(m.record_id, CASE WHEN d.class = 'affirmed' THEN i.record_id END, 0) AS record_id, k.key AS source,
       o.life = 'published' AND o.visible AND NOT EXISTS (
         SELECT FROM withheld w WHERE w.operation_id = d.operation_id
           AND w.record_id = coalesce(m.record_id, CASE WHEN d.class = 'affirmed' THEN i.record_id END)) AS live
FROM reach r
JOIN dependency d ON d.input_operation_id = r.operation_id
JOIN version i ON i.version_id = d.input_version_id
LEFT JOIN version m ON m.version_id = d.version_id
LEFT JOIN record k ON k.id = coalesce(m.record_id, CASE WHEN d.class = 'affirmed' THEN i.record_id END)
JOIN operation o ON o.id = d.operation_id
WHERE r.record_id = 0 OR i.record_id = r.record_id
ORDER BY d.operation_id, record_id, via

-- name: supports
-- What these operations were built on, over any number of hops.
WITH RECURSIVE ground (id) AS (
  SELECT unnest(%(operations)s::bigint[])
  UNION
  SELECT d.input_operation_id FROM (SELECT array_agg(l.id) AS ids FROM (SELECT g.id FROM ground g) l) step
  JOIN dependency d ON d.operation_id = ANY (step.ids)
)
SELECT coalesce(array_agg(x.id), '{}') AS ids FROM (SELECT id FROM ground EXCEPT SELECT unnest(%(operations)s::bigint[])) x

-- name: writing_operations
SELECT coalesce(array_agg(o.id), '{}') AS operations, coalesce(array_agg(o.id) FILTER (WHERE o.position <= %(position)s), '{}') AS until
FROM operation o JOIN collection c ON c.id = o.collection_id
WHERE c.name = %(collection)s AND o.life = 'published' AND EXISTS (SELECT FROM version v WHERE v.operation_id = o.id)

-- name: flips
SELECT hidden, shown, controls FROM flipped_by(%(operations)s::bigint[], %(shows)s::boolean[])

-- name: record_flips
SELECT f.operation_id, f.record_id, f.visible FROM record_flips(
  %(flipped)s::bigint[], %(flipped_shows)s::boolean[], %(operations)s::bigint[], %(records)s::bigint[], %(shows)s::boolean[]) f
ORDER BY f.operation_id, f.record_id

-- name: quarantined_records
-- Records of these operations that the last effective verdict quarantines.
SELECT w.operation_id, w.record_id, r.key AS source
FROM withheld w JOIN record r ON r.id = w.record_id
WHERE w.operation_id = ANY (%(operations)s::bigint[])
  AND (%(sources)s::text[] IS NULL OR r.key = ANY (%(sources)s)) AND (%(documents)s::bigint[] IS NULL OR r.id = ANY (%(documents)s))
  AND 'quarantine' = (
    SELECT c.kind FROM record_verdict v JOIN operation c ON c.id = v.control_id
    WHERE v.operation_id = w.operation_id AND v.record_id = w.record_id AND c.visible ORDER BY c.position DESC LIMIT 1)
ORDER BY 1, 2

-- name: records_as_of
-- Records of a collection's operations that were withheld at a position and aren't now, or the other way round.
SELECT h.operation_id, h.record_id, r.key AS source, h.visible AS shows
FROM (SELECT DISTINCT ON (x.operation_id, x.record_id) x.operation_id, x.record_id, x.visible
      FROM (SELECT operation_id, record_id, from_position, visible FROM record_visibility_history WHERE from_position <= %(position)s
            UNION ALL
            SELECT operation_id, record_id, 0, true FROM record_visibility_history) x
      ORDER BY x.operation_id, x.record_id, x.from_position DESC) h
JOIN record r ON r.id = h.record_id
JOIN operation o ON o.id = h.operation_id
JOIN collection c ON c.id = o.collection_id AND c.name = %(collection)s
WHERE h.visible = EXISTS (SELECT FROM withheld w WHERE w.operation_id = h.operation_id AND w.record_id = h.record_id)
ORDER BY 1, 2

-- name: first_of
-- The first of these by position.
SELECT o.id FROM operation o WHERE o.id = ANY (%(operations)s::bigint[]) ORDER BY o.position LIMIT %(limit)s

-- name: whose
-- Whose operations these are, and in which sessions and collections.
SELECT coalesce(array_agg(DISTINCT o.agent), '{}') AS agents,
       coalesce(array_agg(DISTINCT o.session) FILTER (WHERE o.session IS NOT NULL), '{}') AS sessions,
       coalesce(array_agg(DISTINCT c.name) FILTER (WHERE c.name IS NOT NULL), '{}') AS collections
FROM operation o LEFT JOIN collection c ON c.id = o.collection_id WHERE o.id = ANY (%(operations)s::bigint[])

-- name: describe_operations
SELECT o.id, o.position, o.kind, o.agent, o.session, o.run_id, o.lineage_run_id::text, c.name AS collection, o.message,
       o.closed_at AS published_at, o.visible, o.counts
FROM operation o LEFT JOIN collection c ON c.id = o.collection_id
WHERE o.id = ANY (%(operations)s::bigint[]) ORDER BY o.position

-- name: datasets_of_operations
SELECT DISTINCT direction, namespace, name FROM operation_dataset WHERE operation_id = ANY (%(operations)s::bigint[]) ORDER BY 1, 2, 3

-- name: imagine
-- Visibility as it would be, for this transaction. What isn't named stays as it is.
CREATE TEMPORARY TABLE imagined (operation_id bigint PRIMARY KEY, visible boolean NOT NULL) ON COMMIT DROP

-- name: imagine_records
CREATE TEMPORARY TABLE imagined_record (operation_id bigint, record_id bigint, visible boolean NOT NULL, PRIMARY KEY (operation_id, record_id)) ON COMMIT DROP

-- name: fill_imagined
INSERT INTO imagined SELECT u.id, u.visible FROM unnest(%(operations)s::bigint[], %(visible)s::boolean[]) AS u (id, visible)

-- name: fill_imagined_records
INSERT INTO imagined_record SELECT u.o, u.r, u.visible FROM unnest(%(operations)s::bigint[], %(records)s::bigint[], %(visible)s::boolean[]) AS u (o, r, visible)

-- name: seen_then
-- Of a version v: would it be seen?
coalesce((SELECT i.visible FROM imagined i WHERE i.operation_id = v.operation_id),
             (SELECT o.visible FROM operation o WHERE o.id = v.operation_id))
      AND coalesce((SELECT i.visible FROM imagined_record i WHERE i.operation_id = v.operation_id AND i.record_id = v.record_id),
                   NOT EXISTS (SELECT FROM withheld w WHERE w.operation_id = v.operation_id AND w.record_id = v.record_id))

-- name: make_changes
CREATE TEMPORARY TABLE changed_head (
  record_id bigint, kind text, key text, before_version bigint, before_operation bigint, absent_before boolean, before_hidden boolean,
  after_version bigint, after_operation bigint, absent_after boolean, after_payload payload_state
) ON COMMIT DROP

-- name: changed_heads
-- Records whose head would be another. Temporary, for this transaction.
INSERT INTO changed_head
SELECT x.record_id, r.kind, r.key, x.before_version, x.before_operation, coalesce(x.before_absent, true) AS absent_before,
       NOT coalesce(x.before_stays, true) AS before_hidden,
       x.after_version, x.after_operation, coalesce(x.after_absent, true) AS absent_after, x.after_payload
FROM (
  SELECT t.record_id, b.version_id AS before_version, b.operation_id AS before_operation, b.absent AS before_absent, b.stays AS before_stays,
         a.version_id AS after_version, a.operation_id AS after_operation, a.absent AS after_absent, a.payload AS after_payload
  FROM (SELECT v.record_id FROM imagined i JOIN version v ON v.operation_id = i.operation_id
        UNION
        SELECT i.record_id FROM imagined_record i) t
  LEFT JOIN LATERAL (
    SELECT v.version_id, v.operation_id, v.tombstone OR v.payload <> 'kept' AS absent, {seen_then} AS stays FROM seen_version v
    WHERE v.record_id = t.record_id ORDER BY v.version_id DESC LIMIT 1
  ) b ON true
  LEFT JOIN LATERAL (
    SELECT v.version_id, v.operation_id, v.tombstone OR v.payload <> 'kept' AS absent, v.payload FROM version v
    WHERE v.record_id = t.record_id AND {seen_then}
    ORDER BY v.version_id DESC LIMIT 1
  ) a ON true
  WHERE b.version_id IS DISTINCT FROM a.version_id
) x
JOIN record r ON r.id = x.record_id

-- name: reclaimed_revivals
-- What would be seen again and has no payload. `bare`: it needs none.
SELECT c.kind, c.key, c.after_operation, c.after_version AS version_id, o.position, k.name AS collection, v.content_hash,
       v.tombstone OR c.kind IN ('quality_policy', 'quality_pin', 'retention_rule', 'search_weights') AS bare, was_erased(v.version_id) AS erased
FROM changed_head c JOIN version v ON v.version_id = c.after_version JOIN operation o ON o.id = c.after_operation
JOIN record r ON r.id = c.record_id JOIN collection k ON k.id = r.collection_id
WHERE c.after_payload = 'reclaimed' ORDER BY c.kind, c.key

-- name: imagine_revived
-- They come back with their payload.
UPDATE changed_head c SET after_payload = 'kept', absent_after = v.tombstone
FROM version v WHERE v.version_id = c.after_version AND c.after_version = ANY (%(versions)s::bigint[])

-- name: finish_revival
SELECT finish_revival(%(versions)s::bigint[]) AS kept

-- name: begin_bare_revival
SELECT count(*) AS begun FROM begin_revival(%(versions)s::bigint[])

-- name: score_revived
SELECT score_revived(%(versions)s::bigint[]) AS changed

-- name: summarise_changes
-- withdrawn: seen now and no longer afterwards; revived: what is seen again, that isn't seen now.
SELECT kind,
       count(*) FILTER (WHERE NOT absent_before AND before_hidden) AS withdrawn,
       count(*) FILTER (WHERE NOT absent_after) AS revived,
       count(*) FILTER (WHERE absent_after AND NOT absent_before) AS vanishing,
       count(*) AS changed
FROM changed_head GROUP BY kind ORDER BY kind

-- name: count_chunks_of_changes
SELECT coalesce(sum(d.chunk_count) FILTER (WHERE d.version_id = c.before_version AND c.before_hidden AND NOT c.absent_before), 0)::bigint AS withdrawn,
       coalesce(sum(d.chunk_count) FILTER (WHERE d.version_id = c.after_version AND NOT c.absent_after), 0)::bigint AS revived
FROM changed_head c JOIN document_version d ON d.version_id IN (c.before_version, c.after_version)

-- name: sample_changes
SELECT kind, key, before_operation, after_operation, absent_before, absent_after
FROM changed_head ORDER BY kind, key LIMIT %(limit)s

-- name: digest_changes
SELECT coalesce(md5(string_agg(record_id || '>' || coalesce(after_operation, 0), ',' ORDER BY record_id)), md5('')) AS digest FROM changed_head

-- name: drop_changes
DROP TABLE IF EXISTS pg_temp.changed_head, pg_temp.imagined, pg_temp.imagined_record

-- name: shadowed_revivals
-- Versions that would come back under a head whose writer didn't know them: written while they were away.
WITH RECURSIVE coming AS (
  SELECT v.record_id, v.operation_id FROM version v
  WHERE (v.operation_id IN (SELECT i.operation_id FROM imagined i WHERE i.visible)
         OR (v.operation_id, v.record_id) IN (SELECT i.operation_id, i.record_id FROM imagined_record i WHERE i.visible))
    AND {seen_then}
), head AS (
  SELECT c.record_id, c.operation_id, h.operation_id AS head_operation, h.over_operation_id
  FROM coming c
  JOIN LATERAL (
    SELECT v.operation_id, v.over_operation_id FROM version v
    WHERE v.record_id = c.record_id AND {seen_then}
    ORDER BY v.version_id DESC LIMIT 1
  ) h ON true
), chain AS (
  SELECT record_id, operation_id, head_operation, head_operation AS at, over_operation_id AS over FROM head
  UNION ALL
  SELECT c.record_id, c.operation_id, c.head_operation, v.operation_id, v.over_operation_id
  FROM chain c JOIN version v ON v.record_id = c.record_id AND v.operation_id = c.over
  WHERE c.at <> c.operation_id
)
SELECT r.kind, r.key, h.operation_id, h.head_operation
FROM head h JOIN record r ON r.id = h.record_id
WHERE NOT EXISTS (SELECT FROM chain c WHERE c.record_id = h.record_id AND c.operation_id = h.operation_id AND c.at = h.operation_id)
ORDER BY r.kind, r.key LIMIT 20

-- name: unsupported_revivals
-- What would come back although something it was made from stays away. `own`: the record that the dependency is of, if one.
SELECT DISTINCT d.operation_id, d.input_operation_id, d.class
FROM (
  SELECT x.operation_id, x.input_operation_id, x.class, i.record_id AS input_record,
         coalesce(m.record_id, CASE WHEN x.class = 'affirmed' THEN i.record_id END) AS own
  FROM dependency x JOIN version i ON i.version_id = x.input_version_id LEFT JOIN version m ON m.version_id = x.version_id
  WHERE x.operation_id IN (SELECT operation_id FROM imagined WHERE visible UNION SELECT operation_id FROM imagined_record WHERE visible)
) d
WHERE (EXISTS (SELECT FROM imagined i WHERE i.operation_id = d.operation_id AND i.visible)
       OR EXISTS (SELECT FROM imagined_record i WHERE i.operation_id = d.operation_id AND i.record_id = d.own AND i.visible))
  AND (SELECT {seen_then} FROM (SELECT d.operation_id, coalesce(d.own, 0) AS record_id) v)
  AND NOT (SELECT {seen_then} FROM (SELECT d.input_operation_id AS operation_id, d.input_record AS record_id) v)
ORDER BY 1, 2 LIMIT 20

-- name: apply_verdicts
SELECT control_id, "position" FROM apply_verdicts(
  %(kind)s, %(agent)s, %(session)s, %(run_id)s, %(lineage_run_id)s, %(message)s, %(parameters)s, %(context)s, %(datasets)s, %(counts)s,
  %(operations)s::bigint[], %(shows)s::boolean[], %(record_operations)s::bigint[], %(records)s::bigint[], %(record_shows)s::boolean[])

-- name: digest_as_seen
-- What is seen at a position, read as searches read it: visibility from its history, the last version by version_id.
SELECT x.kind, count(*) AS records,
       digest_hex(sum(half(x.hash, 1)), sum(half(x.hash, 9))) AS digest
FROM (
  SELECT h.kind, sha256(convert_to(r.collection_id || '/' || h.kind || '/' || h.key, 'UTF8') || h.content_hash) AS hash
  FROM heads_at(NULL, %(position)s::bigint) h JOIN record r ON r.id = h.record_id
) x
GROUP BY x.kind ORDER BY x.kind

-- name: digest_without
-- The story told again without some operations and records, from positions and verdicts alone: what should be seen.
SELECT x.kind, count(*) AS records,
       digest_hex(sum(half(x.hash, 1)), sum(half(x.hash, 9))) AS digest
FROM (
  SELECT r.kind, sha256(convert_to(r.collection_id || '/' || r.kind || '/' || r.key, 'UTF8') || v.content_hash) AS hash
  FROM (
    SELECT DISTINCT ON (v.record_id) v.record_id, v.content_hash, v.tombstone, v.payload
    FROM version v JOIN operation o ON o.id = v.operation_id
    WHERE o.life = 'published' AND o.position <= %(position)s AND o.id NOT IN (SELECT unnest(%(hidden)s::bigint[]))
      AND (v.operation_id, v.record_id) NOT IN (SELECT u.o, u.r FROM unnest(%(without_operations)s::bigint[], %(without_records)s::bigint[]) AS u (o, r))
    ORDER BY v.record_id, o.position DESC
  ) v
  JOIN record r ON r.id = v.record_id
  WHERE NOT v.tombstone AND v.payload = 'kept'
) x
GROUP BY x.kind ORDER BY x.kind

-- name: verdicts_until
SELECT v.control_id, coalesce(array_agg(v.operation_id) FILTER (WHERE v.shows), '{}') AS shows,
       coalesce(array_agg(v.operation_id) FILTER (WHERE NOT v.shows), '{}') AS hides
FROM verdict v JOIN operation c ON c.id = v.control_id WHERE c.position <= %(position)s GROUP BY v.control_id

-- name: record_verdicts_until
SELECT v.control_id, v.operation_id, v.record_id, v.shows FROM record_verdict v JOIN operation c ON c.id = v.control_id
WHERE c.position <= %(position)s

-- name: controls_until
SELECT id FROM operation WHERE control AND position <= %(position)s ORDER BY position DESC

-- name: control_operation
SELECT o.id, o.position, o.kind, o.visible, o.parameters FROM operation o
WHERE o.id = %(operation_id)s AND o.control AND o.life = 'published' AND o.kind NOT IN ('erase', 'reclaim')

-- name: check_positions
SELECT count(*) AS published, coalesce(max(position), 0) AS position, min(position) AS first FROM operation WHERE life = 'published'

-- name: check_chain
-- Entries whose link doesn't follow from the entry before them.
SELECT o.id, o.position
FROM operation o LEFT JOIN operation p ON p.position = o.position - 1
WHERE o.life = 'published' AND o.chain IS DISTINCT FROM chain_link(p.chain, o)
ORDER BY o.position LIMIT 20

-- name: check_digests
-- Operations whose versions aren't those that were published.
SELECT o.id, o.position FROM operation o
LEFT JOIN (SELECT operation_id, digest_hex(sum(half(content_hash, 1)), sum(half(content_hash, 9))) AS digest FROM version GROUP BY operation_id) v
  ON v.operation_id = o.id
WHERE o.life = 'published' AND o.digest IS DISTINCT FROM coalesce(v.digest, digest_hex(0, 0))
ORDER BY o.position LIMIT 20

-- name: hidden_operations
SELECT coalesce(array_agg(id) FILTER (WHERE NOT visible), '{}') AS hidden, count(*) FILTER (WHERE visible) AS seen
FROM operation WHERE life = 'published'

-- name: withheld_records
SELECT operation_id, record_id FROM withheld

-- name: check_history
-- Operations whose cached visibility isn't the last entry of its history.
SELECT x.id FROM (
  SELECT o.id FROM operation o
  WHERE o.life = 'published' AND o.visible IS DISTINCT FROM
    (SELECT h.visible FROM visibility_history h WHERE h.operation_id = o.id ORDER BY h.from_position DESC LIMIT 1)
  UNION
  SELECT h.operation_id
  FROM (SELECT DISTINCT ON (operation_id, record_id) operation_id, record_id, visible FROM record_visibility_history
        ORDER BY operation_id, record_id, from_position DESC) h
  FULL JOIN withheld w USING (operation_id, record_id)
  WHERE coalesce(h.visible, true) = (w.operation_id IS NOT NULL)
  UNION
  SELECT w.operation_id FROM withheld w JOIN operation o ON o.id = w.operation_id WHERE NOT o.narrowed
) x ORDER BY x.id LIMIT 20

-- name: check_order
-- Versions of a record that were published in another order than they are numbered.
SELECT x.record_id FROM (
  SELECT v.record_id, o.position, lag(o.position) OVER (PARTITION BY v.record_id ORDER BY v.version_id) AS earlier
  FROM version v JOIN operation o ON o.id = v.operation_id WHERE o.life = 'published'
) x WHERE x.earlier > x.position LIMIT 20

-- name: check_parts
-- Document versions whose chunks aren't as many as were appended. Destroyed payloads: none for what was erased, and no
-- more than there were for what is being reclaimed.
SELECT d.version_id FROM document_version d JOIN version v USING (version_id)
LEFT JOIN (SELECT version_id, count(*) AS chunks FROM chunk GROUP BY version_id) c USING (version_id)
WHERE CASE v.payload WHEN 'kept' THEN d.chunk_count <> coalesce(c.chunks, 0)
                     WHEN 'erased' THEN coalesce(c.chunks, 0) > 0
                     ELSE coalesce(c.chunks, 0) > d.chunk_count END ORDER BY d.version_id LIMIT 20

-- name: count_orphan_embeddings
SELECT count(*) AS orphans FROM embedding e WHERE NOT EXISTS (SELECT FROM chunk c WHERE c.embedding_id = e.id)

-- name: check_reclaimed
-- Heads, now and at their collection's horizon, whose payload was reclaimed.
SELECT v.record_id
FROM (SELECT log_position() UNION SELECT horizon_position() UNION SELECT k.position FROM collection_horizon k) AS p (position)
CROSS JOIN LATERAL head_versions(p.position) AS h (version_id)
JOIN version v ON v.version_id = h.version_id
JOIN record r ON r.id = v.record_id
WHERE v.payload = 'reclaimed' AND p.position >= horizon_of(r.collection_id) ORDER BY v.record_id LIMIT 20
