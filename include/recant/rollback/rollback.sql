-- What a rollback would change, what it did, and whether the log and what is seen agree.

-- name: log_position
SELECT log_position() AS position

-- name: lock_log
SELECT lock_log() AS position

-- name: dependents
-- Operations built on these over any number of hops, hidden ones in between included; the first hop that leads to each.
WITH RECURSIVE reach (id) AS (
  SELECT unnest(%(operations)s::bigint[])
  UNION
  SELECT d.operation_id FROM reach r JOIN dependency d ON d.input_operation_id = r.id
)
SELECT o.id, via.class, via.input_operation_id AS via
FROM (SELECT id FROM reach EXCEPT SELECT unnest(%(operations)s::bigint[])) r
JOIN operation o ON o.id = r.id
JOIN LATERAL (
  SELECT d.class, d.input_operation_id FROM dependency d JOIN reach s ON s.id = d.input_operation_id
  WHERE d.operation_id = o.id ORDER BY d.input_operation_id, d.class LIMIT 1
) via ON true
WHERE o.life = 'published' AND o.visible
ORDER BY o.position

-- name: supports
-- What these operations were built on, over any number of hops.
WITH RECURSIVE ground (id) AS (
  SELECT unnest(%(operations)s::bigint[])
  UNION
  SELECT d.input_operation_id FROM ground g JOIN dependency d ON d.operation_id = g.id
)
SELECT id FROM ground EXCEPT SELECT unnest(%(operations)s::bigint[])

-- name: writing_operations
SELECT o.id FROM operation o JOIN collection c ON c.id = o.collection_id
WHERE c.name = %(collection)s AND o.life = 'published' AND EXISTS (SELECT FROM version v WHERE v.operation_id = o.id)

-- name: flips
SELECT f.operation_id, f.visible, o.control FROM flips(%(operations)s::bigint[], %(shows)s::boolean[]) f
JOIN operation o ON o.id = f.operation_id

-- name: describe_operations
SELECT o.id, o.position, o.kind, o.agent, o.session, o.run_id, o.lineage_run_id::text, c.name AS collection, o.message,
       o.closed_at AS published_at, o.visible, o.counts
FROM operation o LEFT JOIN collection c ON c.id = o.collection_id
WHERE o.id = ANY (%(operations)s::bigint[]) ORDER BY o.position

-- name: datasets_of_operations
SELECT DISTINCT direction, namespace, name FROM operation_dataset WHERE operation_id = ANY (%(operations)s::bigint[]) ORDER BY 1, 2, 3

-- name: make_changes
CREATE TEMPORARY TABLE changed_head (
  record_id bigint, kind text, key text, before_version bigint, before_operation bigint, absent_before boolean,
  after_version bigint, after_operation bigint, absent_after boolean
) ON COMMIT DROP

-- name: changed_heads
-- Records whose head would be another, were these operations hidden and those shown. Temporary, for this transaction.
INSERT INTO changed_head
SELECT x.record_id, r.kind, r.key, x.before_version, x.before_operation, coalesce(x.before_tombstone, true) AS absent_before,
       x.after_version, x.after_operation, coalesce(x.after_tombstone, true) AS absent_after
FROM (
  SELECT t.record_id, b.version_id AS before_version, b.operation_id AS before_operation, b.tombstone AS before_tombstone,
         a.version_id AS after_version, a.operation_id AS after_operation, a.tombstone AS after_tombstone
  FROM (SELECT DISTINCT record_id FROM version WHERE operation_id = ANY (%(hide)s::bigint[]) OR operation_id = ANY (%(show)s::bigint[])) t
  LEFT JOIN LATERAL (
    SELECT v.version_id, v.operation_id, v.tombstone FROM version v
    WHERE v.record_id = t.record_id AND (SELECT o.visible FROM operation o WHERE o.id = v.operation_id)
    ORDER BY v.version_id DESC LIMIT 1
  ) b ON true
  LEFT JOIN LATERAL (
    SELECT v.version_id, v.operation_id, v.tombstone FROM version v
    WHERE v.record_id = t.record_id
      AND ((SELECT o.visible FROM operation o WHERE o.id = v.operation_id) AND NOT v.operation_id = ANY (%(hide)s::bigint[])
           OR v.operation_id = ANY (%(show)s::bigint[]))
    ORDER BY v.version_id DESC LIMIT 1
  ) a ON true
  WHERE b.version_id IS DISTINCT FROM a.version_id
) x
JOIN record r ON r.id = x.record_id

-- name: summarise_changes
-- withdrawn: seen now, and another version or nothing afterwards; revived: what is seen again, that isn't seen now.
SELECT kind,
       count(*) FILTER (WHERE NOT absent_before AND before_operation = ANY (%(hide)s::bigint[])) AS withdrawn,
       count(*) FILTER (WHERE NOT absent_after) AS revived,
       count(*) FILTER (WHERE absent_after AND NOT absent_before) AS vanishing,
       count(*) AS changed
FROM changed_head GROUP BY kind ORDER BY kind

-- name: count_chunks_of_changes
SELECT coalesce(sum(d.chunk_count) FILTER (WHERE d.version_id = c.before_version AND c.before_operation = ANY (%(hide)s::bigint[])), 0)::bigint AS withdrawn,
       coalesce(sum(d.chunk_count) FILTER (WHERE d.version_id = c.after_version), 0)::bigint AS revived
FROM changed_head c JOIN document_version d ON d.version_id IN (c.before_version, c.after_version)

-- name: sample_changes
SELECT kind, key, before_operation, after_operation, absent_before, absent_after
FROM changed_head ORDER BY kind, key LIMIT %(limit)s

-- name: digest_changes
SELECT coalesce(md5(string_agg(record_id || '>' || coalesce(after_operation, 0), ',' ORDER BY record_id)), md5('')) AS digest FROM changed_head

-- name: drop_changes
DROP TABLE IF EXISTS pg_temp.changed_head

-- name: shadowed_revivals
-- Versions that would come back under a head whose writer didn't know them: written while they were away.
WITH RECURSIVE coming AS (
  SELECT v.record_id, v.operation_id FROM version v WHERE v.operation_id = ANY (%(show)s::bigint[])
), head AS (
  SELECT c.record_id, c.operation_id, h.operation_id AS head_operation, h.over_operation_id
  FROM coming c
  JOIN LATERAL (
    SELECT v.operation_id, v.over_operation_id FROM version v
    WHERE v.record_id = c.record_id
      AND ((SELECT o.visible FROM operation o WHERE o.id = v.operation_id) AND NOT v.operation_id = ANY (%(hide)s::bigint[])
           OR v.operation_id = ANY (%(show)s::bigint[]))
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
-- Operations that would come back although something they were made from stays away.
SELECT DISTINCT d.operation_id, d.input_operation_id, d.class
FROM dependency d JOIN operation i ON i.id = d.input_operation_id
WHERE d.operation_id = ANY (%(show)s::bigint[]) AND NOT d.input_operation_id = ANY (%(show)s::bigint[])
  AND (NOT i.visible OR d.input_operation_id = ANY (%(hide)s::bigint[]))
ORDER BY 1, 2 LIMIT 20

-- name: store_plan
SELECT store_plan(%(plan_id)s, %(kind)s, %(selector)s, %(policy)s, %(position)s, %(withdraw)s, %(consequences)s, %(report)s, %(agent)s)

-- name: load_plan
SELECT id::text AS plan_id, state::text, kind, selector, policy, position, withdraw, consequences, report, agent, created_at, approved_by,
       approved_at, applied_as
FROM rollback_plan WHERE id = %(plan_id)s

-- name: approve_plan
SELECT approve_plan(%(plan_id)s, %(by)s)

-- name: close_plan
SELECT close_plan(%(plan_id)s, %(state)s, %(applied_as)s)

-- name: apply_verdicts
SELECT control_id, "position" FROM apply_verdicts(
  %(kind)s, %(agent)s, %(session)s, %(run_id)s, %(lineage_run_id)s, %(message)s, %(parameters)s, %(context)s, %(datasets)s, %(counts)s,
  %(operations)s, %(shows)s)

-- name: digest_as_seen
-- What is seen at a position, read as searches read it: visibility from its history, the last version by version_id.
SELECT x.kind, count(*) AS records,
       digest_hex(sum(half(x.hash, 1)), sum(half(x.hash, 9))) AS digest
FROM (
  SELECT r.kind, sha256(convert_to(r.collection_id || '/' || r.kind || '/' || r.key, 'UTF8') || v.content_hash) AS hash
  FROM (
    SELECT DISTINCT ON (v.record_id) v.record_id, v.content_hash, v.tombstone
    FROM version v
    JOIN operation o ON o.id = v.operation_id
    WHERE o.position <= %(position)s
      AND (SELECT h.visible FROM visibility_history h WHERE h.operation_id = o.id AND h.from_position <= %(position)s
           ORDER BY h.from_position DESC LIMIT 1)
    ORDER BY v.record_id, v.version_id DESC
  ) v
  JOIN record r ON r.id = v.record_id
  WHERE NOT v.tombstone
) x
GROUP BY x.kind ORDER BY x.kind

-- name: digest_without
-- The story told again without some operations, from positions and verdicts alone: what should be seen.
SELECT x.kind, count(*) AS records,
       digest_hex(sum(half(x.hash, 1)), sum(half(x.hash, 9))) AS digest
FROM (
  SELECT r.kind, sha256(convert_to(r.collection_id || '/' || r.kind || '/' || r.key, 'UTF8') || v.content_hash) AS hash
  FROM (
    SELECT DISTINCT ON (v.record_id) v.record_id, v.content_hash, v.tombstone
    FROM version v JOIN operation o ON o.id = v.operation_id
    WHERE o.id = ANY (%(operations)s::bigint[])
    ORDER BY v.record_id, o.position DESC
  ) v
  JOIN record r ON r.id = v.record_id
  WHERE NOT v.tombstone
) x
GROUP BY x.kind ORDER BY x.kind

-- name: verdicts_until
SELECT v.control_id, v.operation_id, v.shows FROM verdict v JOIN operation c ON c.id = v.control_id WHERE c.position <= %(position)s

-- name: published_until
SELECT id, position, control FROM operation WHERE position <= %(position)s ORDER BY position DESC

-- name: control_operation
SELECT o.id, o.position, o.kind, o.visible, o.parameters FROM operation o WHERE o.id = %(operation_id)s AND o.control AND o.life = 'published'

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

-- name: visible_operations
SELECT id, visible FROM operation WHERE life = 'published'

-- name: check_history
-- Operations whose cached visibility isn't the last entry of its history.
SELECT o.id FROM operation o
WHERE o.life = 'published' AND o.visible IS DISTINCT FROM
  (SELECT h.visible FROM visibility_history h WHERE h.operation_id = o.id ORDER BY h.from_position DESC LIMIT 1)
ORDER BY o.id LIMIT 20

-- name: check_order
-- Versions of a record that were published in another order than they are numbered.
SELECT x.record_id FROM (
  SELECT v.record_id, o.position, lag(o.position) OVER (PARTITION BY v.record_id ORDER BY v.version_id) AS earlier
  FROM version v JOIN operation o ON o.id = v.operation_id WHERE o.life = 'published'
) x WHERE x.earlier > x.position LIMIT 20

-- name: check_parts
-- Document versions whose chunks aren't as many as were appended.
SELECT d.version_id FROM document_version d
LEFT JOIN (SELECT version_id, count(*) AS chunks FROM chunk GROUP BY version_id) c USING (version_id)
WHERE d.chunk_count <> coalesce(c.chunks, 0) ORDER BY d.version_id LIMIT 20

-- name: count_orphan_embeddings
SELECT count(*) AS orphans FROM embedding e WHERE NOT EXISTS (SELECT FROM chunk c WHERE c.embedding_id = e.id)
