-- Lineage from the log. An operation's state as of a position; what was built on what; who read and wrote which dataset.

-- name: begin
-- The last position. What is counted by job is hashed, not sorted, as long as it has the room.
SELECT log_position() AS position, set_config('work_mem', '64MB', true)

-- name: visible_then
-- Of an operation o: was it seen as of the position? `now` saves the look into its history.
CASE WHEN %(now)s THEN o.visible ELSE coalesce(
      (SELECT h.visible FROM visibility_history h WHERE h.operation_id = o.id AND h.from_position <= %(position)s
       ORDER BY h.from_position DESC LIMIT 1), false) END

-- name: find_operations
-- The operations asked for by id, position, run, DAG and task; each condition narrows. Those that were never published are
-- among them unless the question is about the past.
SELECT o.id FROM operation o
WHERE (o.position <= %(position)s OR %(now)s AND o.position IS NULL)
  AND {condition}
ORDER BY o.id DESC LIMIT %(limit)s

-- name: by_operation
o.id = %(operation)s

-- name: by_position
o.position = %(at)s

-- name: by_run
-- Airflow's run id, or an OpenLineage run id: of the operation, of the task that made it, or of the DAG run.
o.id IN (SELECT id FROM operation WHERE run_id = %(run)s
         UNION ALL SELECT id FROM operation WHERE lineage_run_id = %(run_uuid)s::uuid
         UNION ALL SELECT id FROM operation WHERE context ->> 'parent_run_id' = %(run)s
         UNION ALL SELECT id FROM operation WHERE context ->> 'root_run_id' = %(run)s)

-- name: by_dag
o.context ->> 'dag_id' = %(dag)s

-- name: by_task
o.context ->> 'task_id' = %(task)s

-- name: find_document
-- Records of documents of that source, one for each collection that has it.
SELECT r.id, r.key FROM record r JOIN collection c ON c.id = r.collection_id WHERE r.kind = 'document' AND r.key = %(source)s ORDER BY r.id

-- name: find_document_operations
-- What wrote a version of a record, or left it alone because its content was there already.
SELECT DISTINCT o.id, v.record_id FROM version v JOIN operation o ON o.id = v.operation_id
WHERE v.record_id = ANY (%(records)s::bigint[]) AND o.position <= %(position)s
ORDER BY o.id DESC LIMIT %(limit)s

-- name: known_datasets
-- Which of these pairs some operation read or wrote.
SELECT w.namespace, w.name FROM unnest(%(namespaces)s::text[], %(names)s::text[]) AS w (namespace, name)
WHERE EXISTS (SELECT FROM operation_dataset x WHERE x.name = w.name AND x.namespace = w.namespace)

-- name: datasets_called
-- Datasets of such a name in any namespace. Reads all of them.
SELECT DISTINCT namespace, name FROM operation_dataset WHERE name = ANY (%(names)s) ORDER BY 1, 2

-- name: operations_of_dataset
-- Who read it, or wrote it; the newest first.
SELECT o.id FROM operation_dataset d JOIN operation o ON o.id = d.operation_id
WHERE d.namespace = %(namespace)s AND d.name = %(name)s AND d.direction = %(direction)s AND o.position <= %(position)s
ORDER BY o.id DESC LIMIT %(limit)s

-- name: downstream
-- One hop: what was built on these operations, and what read a file that they wrote.
SELECT DISTINCT d.input_operation_id AS via, d.operation_id, 0 AS record_id, d.class AS relation, NULL AS source, NULL AS namespace, NULL AS name
FROM dependency d JOIN operation o ON o.id = d.operation_id
WHERE d.input_operation_id = ANY (%(operations)s::bigint[]) AND o.position <= %(position)s
UNION ALL
{files_below}
ORDER BY 2, 1, 4 LIMIT %(limit)s

-- name: upstream
-- One hop: what these operations were built on, and what wrote the files that they read.
SELECT DISTINCT d.operation_id AS via, d.input_operation_id AS operation_id, 0 AS record_id, d.class AS relation, NULL AS source,
       NULL AS namespace, NULL AS name
FROM dependency d
WHERE d.operation_id = ANY (%(operations)s::bigint[])
UNION ALL
{files_above}
ORDER BY 2 DESC, 1, 4 LIMIT %(limit)s

-- name: downstream_of_records
-- One hop: what was built on these records of operations (record 0: on all of it). What is built on an operation is narrowed
-- to the record that names its input, or that it left alone.
SELECT DISTINCT t.o AS via, d.operation_id, coalesce(m.record_id, CASE WHEN d.class = 'affirmed' THEN i.record_id END, 0) AS record_id,
       d.class AS relation, k.key AS source, NULL AS namespace, NULL AS name
FROM unnest(%(operations)s::bigint[], %(records)s::bigint[]) AS t (o, r)
JOIN dependency d ON d.input_operation_id = t.o
JOIN version i ON i.version_id = d.input_version_id
LEFT JOIN version m ON m.version_id = d.version_id
LEFT JOIN record k ON k.id = coalesce(m.record_id, CASE WHEN d.class = 'affirmed' THEN i.record_id END)
JOIN operation o ON o.id = d.operation_id
WHERE (t.r = 0 OR i.record_id = t.r) AND o.position <= %(position)s
UNION ALL
{files_below}
ORDER BY 2, 3, 1 LIMIT %(limit)s

-- name: upstream_of_records
-- One hop: which records of which operations these were built on.
SELECT DISTINCT t.o AS via, d.input_operation_id AS operation_id, i.record_id, d.class AS relation, k.key AS source,
       NULL AS namespace, NULL AS name
FROM unnest(%(operations)s::bigint[], %(records)s::bigint[]) AS t (o, r)
JOIN dependency d ON d.operation_id = t.o
JOIN version i ON i.version_id = d.input_version_id
JOIN record k ON k.id = i.record_id
LEFT JOIN version m ON m.version_id = d.version_id
WHERE t.r = 0 OR coalesce(m.record_id, CASE WHEN d.class = 'affirmed' THEN i.record_id END, t.r) = t.r
UNION ALL
{files_above}
ORDER BY 2 DESC, 3, 1 LIMIT %(limit)s

-- name: files_below
SELECT DISTINCT u.id, x.operation_id, 0, NULL, NULL, x.namespace, x.name
FROM unnest(%(operations)s::bigint[]) AS u (id) CROSS JOIN LATERAL lineage_files_below(u.id) x WHERE x.position <= %(position)s

-- name: files_above
SELECT DISTINCT u.id, x.operation_id, 0, NULL, NULL, x.namespace, x.name
FROM unnest(%(operations)s::bigint[]) AS u (id) CROSS JOIN LATERAL lineage_files_above(u.id) x

-- name: shown_to
-- Who was shown work of these operations (record 0: any of it) and wrote then.
SELECT DISTINCT t.o AS via, s.operation_id, 0 AS record_id, 'shown' AS relation, NULL AS source, NULL AS namespace, NULL AS name
FROM unnest(%(operations)s::bigint[], %(records)s::bigint[]) AS t (o, r)
JOIN session_read x ON x.operation_id = t.o AND (t.r = 0 OR x.record_id = t.r)
JOIN session_search s ON s.id = x.search_id AND s.operation_id <> t.o
JOIN operation o ON o.id = s.operation_id
WHERE o.position <= %(position)s
ORDER BY 2, 1 LIMIT %(limit)s

-- name: shown_before
-- Whose work these operations' sessions were shown since their write before.
SELECT DISTINCT t.o AS via, x.operation_id, 0 AS record_id, 'shown' AS relation, NULL AS source, NULL AS namespace, NULL AS name
FROM unnest(%(operations)s::bigint[]) AS t (o)
JOIN session_search s ON s.operation_id = t.o
JOIN session_read x ON x.search_id = s.id AND x.operation_id <> t.o
JOIN operation o ON o.id = x.operation_id
WHERE o.position <= %(position)s
ORDER BY 2 DESC, 1 LIMIT %(limit)s

-- name: reach
SELECT lineage_reach(%(operations)s::bigint[], %(upstream)s, %(depth)s, %(position)s) AS operations

-- name: describe
-- Operations with their state as of the position, by the last word in effect then.
SELECT o.id AS operation_id, o.position, o.kind, o.agent, o.session, o.run_id, o.lineage_run_id::text, c.name AS collection, o.message,
       o.context ->> 'dag_id' AS dag_id, o.context ->> 'dag_run_id' AS dag_run_id, o.context ->> 'task_id' AS task_id,
       {parent_job} AS parent_job_name,
       CASE WHEN o.life = 'published' THEN to_json(o.closed_at) #>> '{{}}' END AS published_at,
       CASE WHEN o.life <> 'published' THEN o.life::text
            WHEN x.seen THEN 'published'
            WHEN hidden.kind = 'quarantine' THEN 'quarantined'
            ELSE 'reverted' END AS state,
       CASE WHEN NOT o.narrowed THEN 0 ELSE (
         SELECT count(*) FROM (
           SELECT DISTINCT ON (h.record_id) h.visible FROM record_visibility_history h
           WHERE h.operation_id = o.id AND h.from_position <= %(position)s ORDER BY h.record_id, h.from_position DESC) w
         WHERE NOT w.visible) END AS withheld_records
FROM operation o
LEFT JOIN collection c ON c.id = o.collection_id
CROSS JOIN LATERAL (SELECT {visible_then} AS seen) x
LEFT JOIN LATERAL (
  SELECT k.kind FROM verdict v JOIN operation k ON k.id = v.control_id
  WHERE v.operation_id = o.id AND o.life = 'published' AND NOT x.seen AND k.position <= %(position)s
    AND (SELECT h.visible FROM visibility_history h WHERE h.operation_id = k.id AND h.from_position <= %(position)s
         ORDER BY h.from_position DESC LIMIT 1)
  ORDER BY k.position DESC LIMIT 1
) hidden ON true
WHERE o.id = ANY (%(operations)s::bigint[])
ORDER BY o.id

-- name: datasets_of_operations
SELECT operation_id, direction, namespace, name FROM operation_dataset
WHERE operation_id = ANY (%(operations)s::bigint[]) ORDER BY operation_id, direction, namespace, name

-- name: parent_job
-- Of an operation o: the task it was started from, if it names that as events need it.
CASE WHEN o.context ->> 'parent_run_id' IS NOT NULL AND o.context ->> 'parent_job_namespace' IS NOT NULL THEN o.context ->> 'parent_job_name' END

-- name: via_parent_job
-- The same of an operation i.
CASE WHEN i.context ->> 'parent_run_id' IS NOT NULL AND i.context ->> 'parent_job_namespace' IS NOT NULL THEN i.context ->> 'parent_job_name' END

-- name: job_columns
o.kind, c.name AS collection, o.context ->> 'dag_id' AS dag_id, o.context ->> 'task_id' AS task_id,
       {parent_job} AS parent_job_name

-- name: jobs_of_operations
-- Operations by the job that they are runs of. `hidden`: reverted or quarantined; `unpublished`: open or aborted.
SELECT kind, collection, dag_id, task_id, parent_job_name, sum(runs)::bigint AS runs, sum(hidden)::bigint AS hidden,
       sum(unpublished)::bigint AS unpublished, sum(possible)::bigint AS possible, max(last_position) AS last_position, max(last_operation) AS last_operation,
       array_agg(agent ORDER BY agent) AS agents
FROM (
  SELECT {job_columns}, o.agent, count(*) AS runs, count(*) FILTER (WHERE o.life = 'published' AND NOT {visible_then}) AS hidden,
         count(*) FILTER (WHERE o.life <> 'published') AS unpublished,
         count(*) FILTER (WHERE o.id = ANY (%(possible)s::bigint[])) AS possible, max(o.position) AS last_position, max(o.id) AS last_operation,
         min(o.id) AS first_operation
  FROM operation o LEFT JOIN collection c ON c.id = o.collection_id
  WHERE o.id = ANY (%(operations)s::bigint[])
  GROUP BY 1, 2, 3, 4, 5, 6
) x
GROUP BY 1, 2, 3, 4, 5 ORDER BY min(first_operation)

-- name: datasets_of_jobs
-- What they read and wrote, and in how many runs.
SELECT {job_columns}, d.namespace, d.name, count(*) AS runs
FROM operation_dataset d JOIN operation o ON o.id = d.operation_id LEFT JOIN collection c ON c.id = o.collection_id
WHERE o.id = ANY (%(operations)s::bigint[]) AND d.direction = %(direction)s
GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY min(o.id), 6, 7

-- name: links_of_jobs
-- Which jobs' operations were built on which jobs', both ends among these operations; `links` counts pairs of operations.
SELECT i.kind AS via_kind, ic.name AS via_collection, i.context ->> 'dag_id' AS via_dag_id, i.context ->> 'task_id' AS via_task_id,
       {via_parent_job} AS via_parent_job_name,
       {job_columns}, e.class AS relation, count(*) AS links
FROM (SELECT DISTINCT d.input_operation_id, d.operation_id, d.class FROM dependency d
      WHERE d.operation_id = ANY (%(operations)s::bigint[]) AND d.input_operation_id = ANY (%(operations)s::bigint[])) e
JOIN operation i ON i.id = e.input_operation_id LEFT JOIN collection ic ON ic.id = i.collection_id
JOIN operation o ON o.id = e.operation_id LEFT JOIN collection c ON c.id = o.collection_id
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 ORDER BY min(o.id), 11

-- name: reads_of_jobs
-- Which jobs' operations were shown work of which jobs', both ends among these operations.
SELECT i.kind AS via_kind, ic.name AS via_collection, i.context ->> 'dag_id' AS via_dag_id, i.context ->> 'task_id' AS via_task_id,
       {via_parent_job} AS via_parent_job_name,
       {job_columns}, 'shown' AS relation, count(*) AS links
FROM (SELECT DISTINCT x.operation_id AS input_operation_id, s.operation_id FROM session_search s JOIN session_read x ON x.search_id = s.id
      WHERE s.operation_id = ANY (%(operations)s::bigint[]) AND x.operation_id = ANY (%(operations)s::bigint[])
        AND x.operation_id <> s.operation_id) e
JOIN operation i ON i.id = e.input_operation_id LEFT JOIN collection ic ON ic.id = i.collection_id
JOIN operation o ON o.id = e.operation_id LEFT JOIN collection c ON c.id = o.collection_id
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 ORDER BY min(o.id)

-- name: operations_touching
-- Runs that read (or wrote) any of these datasets; runs that failed or are still open as well, while they are asked about today.
SELECT array_agg(DISTINCT o.id) AS operations FROM unnest(%(namespaces)s::text[], %(names)s::text[]) AS f (namespace, name)
JOIN operation_dataset d ON d.namespace = f.namespace AND d.name = f.name AND d.direction = %(direction)s
JOIN operation o ON o.id = d.operation_id
WHERE o.position <= %(position)s OR %(now)s AND o.position IS NULL

-- name: other_datasets
-- What those runs wrote (or read): the next datasets.
SELECT DISTINCT d.namespace, d.name FROM operation_dataset d
WHERE d.operation_id = ANY (%(operations)s::bigint[]) AND d.direction = %(direction)s ORDER BY 1, 2

-- name: states_of_operations
-- How many of them are published, hidden, open, aborted.
SELECT count(*) FILTER (WHERE o.life = 'published' AND {visible_then}) AS published,
       count(*) FILTER (WHERE o.life = 'published' AND NOT {visible_then}) AS hidden,
       count(*) FILTER (WHERE o.life = 'open') AS open, count(*) FILTER (WHERE o.life = 'aborted') AS aborted
FROM operation o WHERE o.id = ANY (%(operations)s::bigint[])

-- name: records_of_operations
-- Records whose head, as of the position, one of these operations wrote, by kind; and the chunks of those that are documents.
SELECT r.kind, count(*) AS records, coalesce(sum(w.chunk_count), 0)::bigint AS chunks
FROM version v JOIN record r ON r.id = v.record_id LEFT JOIN document_version w ON w.version_id = v.version_id
WHERE v.operation_id = ANY (%(operations)s::bigint[]) AND NOT v.tombstone AND v.payload = 'kept'
  AND v.version_id = (
    SELECT n.version_id FROM version n JOIN operation o ON o.id = n.operation_id
    WHERE n.record_id = v.record_id AND o.position <= %(position)s AND {visible_then}
      AND NOT (o.narrowed AND NOT coalesce(
        (SELECT s.visible FROM record_visibility_history s
         WHERE s.operation_id = o.id AND s.record_id = n.record_id AND s.from_position <= %(position)s
         ORDER BY s.from_position DESC LIMIT 1), true))
    ORDER BY n.version_id DESC LIMIT 1)
GROUP BY r.kind ORDER BY r.kind

-- name: every_operation
SELECT coalesce(array_agg(o.id ORDER BY o.id), ARRAY[]::bigint[]) AS operations FROM operation o
WHERE o.position <= %(position)s OR %(now)s AND o.position IS NULL

-- name: artifacts_of_operations
-- Files made by the position that hold something of these operations, and stand where they were put; the newest first. Their
-- state is that of today. `holds`: which of the operations.
SELECT s.id AS artifact_id, s.kind, s.path, s.format, s.position, s.collection, s.state, s.operation_id, held.operations AS holds
FROM artifact a
CROSS JOIN LATERAL (
  SELECT array_agg(o.id ORDER BY o.id) AS operations FROM operation o
  WHERE o.id = ANY (%(operations)s::bigint[]) AND NOT o.control AND o.position BETWEEN a.first_position AND a.position
    AND (a.collection_id IS NULL OR o.collection_id = a.collection_id)
    AND (SELECT h.visible FROM visibility_history h WHERE h.operation_id = o.id AND h.from_position <= a.position
         ORDER BY h.from_position DESC LIMIT 1)
) held
CROSS JOIN LATERAL (SELECT x.* FROM artifact_state x WHERE x.id = a.id OFFSET 0) s
WHERE a.removed_at IS NULL AND held.operations IS NOT NULL AND s.state NOT IN ('removed', 'replaced')
  AND (SELECT maker.position FROM operation maker WHERE maker.id = a.operation_id) <= %(position)s
ORDER BY a.id DESC LIMIT %(limit)s
