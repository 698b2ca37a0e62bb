-- Blocks, and what they hold back.

-- name: add_block
SELECT add_block(%(collection)s, %(source_hash)b::bytea, %(source)s, %(reason)s, %(agent)s) AS id

-- name: lift_blocks
SELECT lift_blocks(%(ids)s::bigint[], %(reason)s, %(agent)s)

-- name: find_blocks
SELECT b.id AS block_id, c.name AS collection, b.source_hash, b.source, b.seen_as, b.reason, b.control_id, b.agent, b.created_at,
       b.lifted_at IS NULL AND (b.control_id IS NULL OR o.visible) AS in_effect, b.lifted_at, b.lifted_by, b.lift_reason, o.kind AS control_kind
FROM block b LEFT JOIN collection c ON c.id = b.collection_id LEFT JOIN operation o ON o.id = b.control_id
WHERE (%(ids)s::bigint[] IS NULL OR b.id = ANY (%(ids)s)) AND (%(control_id)s::bigint IS NULL OR b.control_id = %(control_id)s)
ORDER BY b.id

-- name: any_block
SELECT FROM block_in_effect b WHERE b.collection_id IS NULL OR b.collection_id = %(collection_id)s LIMIT 1

-- name: matching_blocks
-- The first block on each document. Two halves, so that each finds its index; a block with both hash and source is in the first.
SELECT w.source AS document, b.id AS block_id, c.name AS collection, b.source_hash, b.source, b.seen_as, b.reason, b.control_id, b.agent,
       b.created_at, true AS in_effect, (SELECT o.kind FROM operation o WHERE o.id = b.control_id) AS control_kind
FROM unnest(%(sources)s::text[], %(files)s::text[], %(hashes)b::bytea[]) AS w (source, file, source_hash)
JOIN LATERAL (
  SELECT h.* FROM block_in_effect h
  WHERE h.source_hash = w.source_hash AND (h.source IS NULL OR h.source IN (w.source, w.file))
    AND (h.collection_id IS NULL OR h.collection_id = %(collection_id)s)
  UNION ALL
  SELECT s.* FROM block_in_effect s
  WHERE s.source IN (w.source, w.file) AND s.source_hash IS NULL
    AND (s.collection_id IS NULL OR s.collection_id = %(collection_id)s)
  ORDER BY id LIMIT 1
) b ON true
LEFT JOIN collection c ON c.id = b.collection_id

-- name: would_block
WITH unwanted AS MATERIALIZED (SELECT * FROM unwanted_content(
       %(operations)s::bigint[], %(record_operations)s::bigint[], %(records)s::bigint[], %(selected)s::bigint[])),
     gone AS (SELECT DISTINCT collection_id, source FROM unwanted WHERE gone)
SELECT (SELECT count(*) FROM (SELECT DISTINCT collection_id, source_hash FROM unwanted) x) AS contents,
       (SELECT count(*) FROM gone) AS sources,
       ARRAY(SELECT source FROM gone ORDER BY source LIMIT %(limit)s) AS first_sources

-- name: block_withdrawn
SELECT block_withdrawn(%(control_id)s, %(selected)s::bigint[])
