-- What is read of chunks once they are found. {braces} as in search.sql. An embedding is named by the id that its chunk has;
-- its text's hash leads to the same text in another space.


-- name: similarities
SELECT w.id AS embedding_id, -(x.vector::halfvec({dimensions}) <#> %(vector)s) AS similarity
FROM unnest(%(ids)s::bigint[]) AS w (id) {in_space}


-- name: vectors
SELECT w.id AS embedding_id, x.vector::real[] AS vector
FROM unnest(%(ids)s::bigint[]) AS w (id) {in_space}


-- name: in_own_space
-- All chunks have their vectors in the one space of their collection.
JOIN embedding x ON x.id = w.id AND x.space_id = %(space_id)s


-- name: in_any_space
JOIN embedding e ON e.id = w.id JOIN embedding x ON x.space_id = %(space_id)s AND x.text_hash = e.text_hash


-- name: same_text
-- The visible chunks that have the same text under the same headings, for each embedding at most so many, lowest ids first.
-- What is filled in speaks of c, v and d.
SELECT w.id AS embedding_id, h.*
FROM unnest(%(ids)s::bigint[]) AS w (id) JOIN embedding e ON e.id = w.id
CROSS JOIN LATERAL (
  SELECT c.id AS chunk_id, v.record_id AS document_id, v.operation_id, (SELECT r.key FROM record r WHERE r.id = v.record_id) AS source
  FROM embedding_space s JOIN embedding x ON x.space_id = s.id AND x.text_hash = e.text_hash
  JOIN chunk c ON c.embedding_id = x.id JOIN version v ON v.version_id = c.version_id{documents}
  WHERE (SELECT r.collection_id FROM record r WHERE r.id = v.record_id) = %(collection_id)s
      AND {visible}{filters}
  ORDER BY c.id LIMIT {most}) h


-- name: surroundings
-- Chunks of the same document version: neighbours at most so far, and those whose headings begin as the hit's do, up to a
-- level (null: not wanted). Nearest first, so many for each hit.
SELECT h.chunk_id AS hit_id, n.chunk_id, n.index - h.index AS distance, n.text, n.parent_headers, n.chunk_type
FROM (SELECT c.id AS chunk_id, c.version_id, c.index, c.parent_headers,
        CASE %(section)s::text WHEN 'own' THEN cardinality(c.parent_headers) WHEN 'parent' THEN greatest(cardinality(c.parent_headers) - 1, 0) END AS level
      FROM chunk c WHERE c.id = ANY (%(ids)s::bigint[])) h
CROSS JOIN LATERAL (
  SELECT c.id AS chunk_id, c.index, c.text, c.parent_headers, c.chunk_type
  FROM chunk c
  WHERE c.version_id = h.version_id AND c.id <> h.chunk_id
    AND c.index BETWEEN h.index - greatest(%(reach)s::integer, {most}) AND h.index + greatest(%(reach)s::integer, {most})
    AND (abs(c.index - h.index) <= %(reach)s::integer OR c.parent_headers[1:h.level] = h.parent_headers[1:h.level])
  ORDER BY abs(c.index - h.index), c.index LIMIT {most}) n
ORDER BY h.chunk_id, n.index


-- name: weights_at
-- How a collection's hybrid searches weigh meaning, as of a position.
SELECT method, semantic_weight FROM search_weights_at(%(collection_id)s::integer, %(position)s::bigint)
