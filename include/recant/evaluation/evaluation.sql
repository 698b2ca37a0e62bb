-- The history of evaluations.

-- name: store_evaluation
SELECT store_evaluation(%(collection)s, %(position)s, %(mode)s, %(queries)s, %(digest)s, %(count)s, %(k)s, %(measures)s, %(latency)s) AS id


-- name: best_before
-- Of the ten last evaluations of the same, the one with the highest nDCG; of equal ones the last.
SELECT e.ndcg, e.position FROM (
  SELECT (e.measures ->> 'ndcg')::float8 AS ndcg, e.position, e.id
  FROM evaluation e JOIN collection c ON c.id = e.collection_id
  WHERE c.name = %(collection)s AND e.mode = %(mode)s AND e.queries_digest = %(digest)s AND e.k = %(k)s
  ORDER BY e.id DESC LIMIT 10) e
ORDER BY e.ndcg DESC, e.id DESC LIMIT 1


-- name: find_evaluations
SELECT e.id AS evaluation_id, e.evaluated_at, c.name AS collection, e.mode, e.position, e.queries_name, e.queries_digest, e.queries, e.k,
  e.measures, e.latency
FROM evaluation e JOIN collection c ON c.id = e.collection_id
WHERE c.name = %(collection)s AND (%(queries)s::text IS NULL OR e.queries_name = %(queries)s)
ORDER BY e.id DESC LIMIT %(limit)s


-- name: operations_between
-- What was published after one position and until another, in a collection or about it: the newest twenty.
SELECT o.id AS operation_id, o.position, o.kind, o.agent, o.message
FROM operation o
WHERE o.position > %(after)s AND o.position <= %(until)s
  AND (o.collection_id = (SELECT id FROM collection WHERE name = %(collection)s) OR o.control)
ORDER BY o.position DESC LIMIT 20
