-- Who was shown what is selected and then wrote, by the searches that sessions' writes took.

-- name: any_reads
SELECT EXISTS (SELECT FROM session_search WHERE operation_id IS NOT NULL) AS known

-- name: readers
-- Operations that took a search which showed a version by these or by what was built on these over any number of hops;
-- hidden ones too, those themselves left out. `via`: the first that was shown. (NOT IN, which is hashed: an anti join is
-- planned as a nested loop, as nothing is known of how much will be reached.)
WITH RECURSIVE built (id) AS (
  SELECT unnest(%(operations)s::bigint[])
  UNION
  SELECT d.operation_id FROM (SELECT array_agg(l.id) AS ids FROM (SELECT b.id FROM built b) l) step
  JOIN dependency d ON d.input_operation_id = ANY (step.ids)
)
SELECT o.id AS operation_id, o.visible AS live, x.via, 0 AS via_record
FROM (
  SELECT s.operation_id, min(r.operation_id) AS via
  FROM built b JOIN session_read r ON r.operation_id = b.id JOIN session_search s ON s.id = r.search_id
  WHERE s.operation_id NOT IN (SELECT id FROM built)
  GROUP BY s.operation_id
) x
JOIN operation o ON o.id = x.operation_id AND o.life = 'published'
ORDER BY o.position

-- name: narrowed_readers
-- The same of records of operations (record 0: of all of it), once for each that was shown. What was built on them is
-- among them already.
WITH ground AS MATERIALIZED (
  SELECT t.o AS operation_id, t.r AS record_id FROM unnest(%(operations)s::bigint[], %(records)s::bigint[]) AS t (o, r)
)
SELECT o.id AS operation_id, o.visible AS live, x.via, x.via_record
FROM (
  SELECT DISTINCT s.operation_id, g.operation_id AS via, g.record_id AS via_record
  FROM ground g
  JOIN session_read r ON r.operation_id = g.operation_id AND (g.record_id = 0 OR r.record_id = g.record_id)
  JOIN session_search s ON s.id = r.search_id AND s.operation_id <> r.operation_id
  WHERE s.operation_id NOT IN (SELECT operation_id FROM ground WHERE record_id = 0)
) x
JOIN operation o ON o.id = x.operation_id AND o.life = 'published'
ORDER BY o.position, x.via, x.via_record

-- name: evidence
-- Of each reader, the first searches that showed it this operation (this record of it, unless 0), and the best hit's document.
SELECT w.reader, s.id AS search_id, s.agent, s.query, s.position, to_json(s.searched_at) #>> '{}' AS searched_at, s.source
FROM unnest(%(readers)s::bigint[], %(via)s::bigint[], %(via_records)s::bigint[]) AS w (reader, via, via_record)
CROSS JOIN LATERAL (
  SELECT s.id, s.agent, s.query, s.position, s.searched_at, (array_agg(k.key ORDER BY r.rank))[1] AS source
  FROM session_search s
  JOIN session_read r ON r.search_id = s.id AND r.operation_id = w.via AND (w.via_record = 0 OR r.record_id = w.via_record)
  JOIN record k ON k.id = r.record_id
  WHERE s.operation_id = w.reader
  GROUP BY s.id ORDER BY s.id LIMIT %(limit)s
) s
ORDER BY w.reader, s.id

-- name: shown_to
-- Whose work was shown by the searches that these operations took.
SELECT DISTINCT r.operation_id AS id FROM session_search s JOIN session_read r ON r.search_id = s.id
WHERE s.operation_id = ANY (%(operations)s::bigint[])
