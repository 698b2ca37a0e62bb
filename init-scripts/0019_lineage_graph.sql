-- Questions of lineage, answered from the log: who read or wrote a dataset, what a DAG or one of its runs did, and how far
-- that reaches.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE INDEX operation_dataset_dataset ON operation_dataset (namespace, name, direction, operation_id);

-- Of operations that Airflow made; those made by hand cost nothing.
CREATE INDEX operation_dag ON operation ((context ->> 'dag_id'), (context ->> 'task_id')) WHERE context ->> 'dag_id' IS NOT NULL;
CREATE INDEX operation_parent_run ON operation ((context ->> 'parent_run_id')) WHERE context ->> 'parent_run_id' IS NOT NULL;
CREATE INDEX operation_root_run ON operation ((context ->> 'root_run_id')) WHERE context ->> 'root_run_id' IS NOT NULL;

-- Whether a dataset is a collection. What is built from a collection names its input record by record, as dependencies;
-- a file, an address or a table of others is tied to its readers by its name alone.
CREATE FUNCTION is_collection(p_namespace text, p_name text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT p_namespace LIKE 'postgres://%' AND p_name LIKE 'recant.recant.%'
$$;

-- Through files: the next operations downstream (or upstream) of some. What reads a file read what was published last of
-- those that had written it when it began.
CREATE FUNCTION lineage_through_files(p_operations bigint[], p_upstream boolean)
RETURNS TABLE (via bigint, operation_id bigint, namespace text, name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT w.operation_id, r.operation_id, r.namespace, r.name
  FROM operation_dataset w
  JOIN operation writer ON writer.id = w.operation_id AND writer.life = 'published'
  JOIN operation_dataset r ON r.namespace = w.namespace AND r.name = w.name AND r.direction = 'input'
  JOIN operation reader ON reader.id = r.operation_id AND reader.base_position >= writer.position
  WHERE NOT p_upstream AND w.operation_id = ANY (p_operations) AND w.direction = 'output' AND NOT is_collection(w.namespace, w.name)
    AND NOT EXISTS (
      SELECT FROM operation_dataset later JOIN operation o ON o.id = later.operation_id
      WHERE later.namespace = w.namespace AND later.name = w.name AND later.direction = 'output'
        AND o.position > writer.position AND o.position <= reader.base_position)
  UNION ALL
  SELECT r.operation_id, x.operation_id, r.namespace, r.name
  FROM operation_dataset r
  JOIN operation reader ON reader.id = r.operation_id
  CROSS JOIN LATERAL (
    SELECT w.operation_id FROM operation_dataset w JOIN operation writer ON writer.id = w.operation_id
    WHERE w.namespace = r.namespace AND w.name = r.name AND w.direction = 'output' AND writer.position <= reader.base_position
    ORDER BY writer.position DESC LIMIT 1
  ) x
  WHERE p_upstream AND r.operation_id = ANY (p_operations) AND r.direction = 'input' AND NOT is_collection(r.namespace, r.name)
$$;

-- All operations downstream (or upstream) of some, over any number of hops or at most p_depth, these among them. What was
-- built on something comes after it, so that of the answer as of a position only the end needs to be left out.
CREATE FUNCTION lineage_reach(p_operations bigint[], p_upstream boolean, p_depth integer, p_position bigint) RETURNS bigint[]
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = recant, public, pg_temp SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' AS $$
  WITH RECURSIVE reach (id, hops) AS (
    SELECT u.id, 0 FROM unnest(p_operations) AS u (id)
    UNION
    SELECT n.id, CASE WHEN p_depth IS NULL THEN 0 ELSE r.hops + 1 END
    FROM reach r CROSS JOIN LATERAL (
      SELECT d.operation_id AS id FROM dependency d WHERE NOT p_upstream AND d.input_operation_id = r.id
      UNION ALL
      SELECT d.input_operation_id FROM dependency d WHERE p_upstream AND d.operation_id = r.id
      UNION ALL
      SELECT f.operation_id FROM operation_dataset own
      CROSS JOIN LATERAL lineage_through_files(ARRAY[own.operation_id], p_upstream) f
      WHERE own.operation_id = r.id AND own.direction = CASE WHEN p_upstream THEN 'input' ELSE 'output' END
        AND NOT is_collection(own.namespace, own.name)
    ) n
    WHERE p_depth IS NULL OR r.hops < p_depth
  )
  SELECT coalesce(array_agg(o.id), '{}') FROM (SELECT DISTINCT id FROM reach) r JOIN operation o ON o.id = r.id
  WHERE o.position <= p_position OR o.id = ANY (p_operations)
$$;

REVOKE ALL ON FUNCTION is_collection(text, text), lineage_through_files(bigint[], boolean),
  lineage_reach(bigint[], boolean, integer, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_collection(text, text), lineage_through_files(bigint[], boolean),
  lineage_reach(bigint[], boolean, integer, bigint) TO recant_reader;

RESET ROLE;
