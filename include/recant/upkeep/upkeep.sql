-- Tending the vector index, checking it, and pruning.

-- name: find_indexes
-- Spaces that have a vector index, and the collections that they are of.
SELECT s.id AS space_id, s.dimensions, s.model, i.oid::regclass::text AS index_name,
  ARRAY(SELECT c.name FROM collection_space c WHERE c.space_id = s.id ORDER BY c.collection_id) AS collections,
  coalesce(x.outside, 0) AS outside, coalesce(x.tended_position, 0) AS tended_position, x.recall,
  coalesce(pg_relation_size(i.oid), 0) AS size_bytes, greatest(i.reltuples, 0)::bigint AS entries,
  CASE WHEN x.built_bytes > 0 AND x.built_entries > 1000 AND i.reltuples > 1000
       THEN greatest(pg_relation_size(i.oid) / i.reltuples / (x.built_bytes::float8 / x.built_entries) - 1, 0) END::float8 AS bloat
FROM embedding_space s JOIN pg_class i ON i.oid = to_regclass('recant.embedding_vector_' || s.id)
LEFT JOIN vector_index x ON x.space_id = s.id ORDER BY s.id

-- name: begin_tending
SELECT begin_tending(%(space_id)s) AS begun

-- name: log_position
SELECT log_position() AS position

-- name: missing
SELECT missing_embeddings(%(space_id)s) AS id

-- name: surplus
SELECT surplus_embeddings(%(space_id)s) AS id

-- name: entries
SELECT reltuples::bigint AS entries FROM pg_class WHERE oid = to_regclass('recant.embedding_vector_' || %(space_id)s::integer)

-- name: largest_surplus
SELECT vector_largest_surplus(%(ids)s::bigint[]) AS written

-- name: enter_index
SELECT enter_index(%(space_id)s, %(ids)s::bigint[]) AS moved

-- name: leave_index
SELECT leave_index(%(space_id)s, %(ids)s::bigint[]) AS moved

-- name: end_tending
SELECT end_tending(%(space_id)s, %(position)s) AS outside

-- name: drop_broken_indexes
SELECT drop_broken_indexes() AS dropped

-- name: may_maintain
-- Whether this role may vacuum and reindex: from PostgreSQL 17 on without owning the table.
SELECT current_setting('server_version_num')::integer >= 170000 AS may

-- name: record_build
SELECT record_build(%(space_id)s)

-- name: record_recall
SELECT record_recall(%(space_id)s, %(recall)s, %(queries)s)

-- name: sample_vectors
-- Stored vectors of a collection's space near random ids: the rows are found by the primary key, not by reading the table.
SELECT DISTINCT ON (e.id) e.id, e.vector::text AS vector
FROM (SELECT min(id) AS low, max(id) AS high FROM embedding) span
CROSS JOIN LATERAL (SELECT span.low + floor(random() * (span.high - span.low + 1))::bigint AS near FROM generate_series(1, %(queries)s)) r
CROSS JOIN LATERAL (SELECT x.id, x.vector FROM embedding x WHERE x.id >= r.near AND x.space_id = %(space_id)s AND x.indexed ORDER BY x.id LIMIT 1) e

-- name: prune_searches
SELECT prune_searches(%(before)s, %(limit)s) AS pruned

-- name: vacuum_candidates
-- Tables of which a good part is dead rows, by PostgreSQL's statistics.
SELECT s.relname AS name, s.n_dead_tup AS dead, s.n_live_tup AS live, s.last_autovacuum, s.last_vacuum
FROM pg_stat_user_tables s
WHERE s.schemaname = 'recant' AND s.n_dead_tup > greatest(%(least)s, %(share)s * s.n_live_tup) ORDER BY s.relname

-- name: maintained_tables
-- Those that this role may vacuum.
SELECT c.relname AS name FROM pg_class c
WHERE c.relnamespace = 'recant'::regnamespace AND c.relkind = 'r' AND has_table_privilege(c.oid, 'MAINTAIN')
