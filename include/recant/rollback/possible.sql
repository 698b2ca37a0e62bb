-- Who was shown what is selected and then wrote, by the searches that sessions' writes took. {braces} are filled with other
-- parts of this file.

-- name: any_reads
SELECT EXISTS (SELECT FROM session_search WHERE operation_id IS NOT NULL) AS known

-- name: readers
-- Operations outside of the ground that took a search which showed a version of it, hidden ones too; with the first five
-- of these searches, and the document of the ground that each of them ranked best. Record 0 of the ground: all of it.
{ground}, shown AS (
  SELECT s.operation_id, s.id AS search_id, min(r.operation_id) AS via, (array_agg(k.key ORDER BY r.rank))[1] AS source,
         jsonb_agg(DISTINCT jsonb_build_array(g.operation_id, g.record_id)) AS targets
  FROM ground g
  JOIN session_read r ON r.operation_id = g.operation_id AND (g.record_id = 0 OR r.record_id = g.record_id)
  JOIN session_search s ON s.id = r.search_id AND s.operation_id <> r.operation_id
  JOIN record k ON k.id = r.record_id
  WHERE NOT EXISTS (SELECT FROM ground own WHERE own.operation_id = s.operation_id AND own.record_id = 0)
  GROUP BY s.operation_id, s.id
), numbered AS (
  SELECT h.operation_id, h.search_id, h.via, h.source, h.targets,
         row_number() OVER (PARTITION BY h.operation_id ORDER BY h.search_id) AS number
  FROM shown h
)
SELECT o.id AS operation_id, o.life = 'published' AND o.visible AS live, min(n.via) AS via, jsonb_agg(n.targets) AS targets,
  jsonb_agg(jsonb_build_object('search_id', s.id, 'agent', s.agent, 'query', s.query, 'position', s.position, 'searched_at', s.searched_at,
    'shown', n.via, 'source', n.source) ORDER BY s.id) FILTER (WHERE n.number <= 5) AS evidence
FROM numbered n JOIN session_search s ON s.id = n.search_id JOIN operation o ON o.id = n.operation_id
WHERE o.life = 'published'
GROUP BY o.id ORDER BY o.position

-- name: whole_ground
-- These operations, and what was built on them over any number of hops.
WITH RECURSIVE built (operation_id) AS (
  SELECT unnest(%(operations)s::bigint[])
  UNION
  SELECT d.operation_id FROM built b JOIN dependency d ON d.input_operation_id = b.operation_id
), ground AS (
  SELECT operation_id, 0::bigint AS record_id FROM built
)

-- name: narrowed_ground
-- These records of operations.
WITH ground AS (
  SELECT t.o AS operation_id, t.r AS record_id FROM unnest(%(operations)s::bigint[], %(records)s::bigint[]) AS t (o, r)
)

-- name: shown_to
-- Whose work was shown by the searches that these operations took.
SELECT DISTINCT r.operation_id AS id FROM session_search s JOIN session_read r ON r.search_id = s.id
WHERE s.operation_id = ANY (%(operations)s::bigint[])
