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

-- Through files: the next operations downstream, and upstream, of one. What reads a file read what was published last of those
-- that had written it when it began. Written so that the planner takes them apart: nothing is called for each operation.
CREATE FUNCTION lineage_files_below(p_operation bigint)
RETURNS TABLE (operation_id bigint, "position" bigint, namespace text, name text)
LANGUAGE sql STABLE AS $$
  SELECT x.operation_id, x.position, w.namespace, w.name
  FROM recant.operation_dataset w
  CROSS JOIN LATERAL (
    SELECT r.operation_id, reader.position
    FROM recant.operation writer
    JOIN recant.operation_dataset r ON r.namespace = w.namespace AND r.name = w.name AND r.direction = 'input'
    JOIN recant.operation reader ON reader.id = r.operation_id AND reader.base_position >= writer.position
    WHERE writer.id = w.operation_id AND writer.position = (
      SELECT max(o.position) FROM recant.operation_dataset d JOIN recant.operation o ON o.id = d.operation_id
      WHERE d.namespace = w.namespace AND d.name = w.name AND d.direction = 'output' AND o.position <= reader.base_position)
    OFFSET 0  -- so that readers are looked for where a file was written, and there are few
  ) x
  WHERE w.operation_id = p_operation AND w.direction = 'output' AND NOT recant.is_collection(w.namespace, w.name)
$$;

CREATE FUNCTION lineage_files_above(p_operation bigint) RETURNS TABLE (operation_id bigint, namespace text, name text)
LANGUAGE sql STABLE AS $$
  SELECT x.operation_id, r.namespace, r.name
  FROM recant.operation_dataset r
  JOIN recant.operation reader ON reader.id = r.operation_id
  CROSS JOIN LATERAL (
    SELECT w.operation_id FROM recant.operation_dataset w JOIN recant.operation writer ON writer.id = w.operation_id
    WHERE w.namespace = r.namespace AND w.name = r.name AND w.direction = 'output' AND writer.position <= reader.base_position
    ORDER BY writer.position DESC LIMIT 1
  ) x
  WHERE r.operation_id = p_operation AND r.direction = 'input' AND NOT recant.is_collection(r.namespace, r.name)
$$;

-- All operations downstream (or upstream) of some, over any number of hops or at most p_depth, these among them. What was
-- built on something comes after it, so that of the answer as of a position only the end needs to be left out.
CREATE FUNCTION lineage_reach(p_operations bigint[], p_upstream boolean, p_depth integer, p_position bigint) RETURNS bigint[]
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = recant, public, pg_temp SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' AS $$
DECLARE
  reached bigint[];
BEGIN
  IF p_upstream THEN
    WITH RECURSIVE reach (id, hops) AS (
      SELECT u.id, 0 FROM unnest(p_operations) AS u (id)
      UNION
      SELECT n.id, CASE WHEN p_depth IS NULL THEN 0 ELSE r.hops + 1 END
      FROM reach r CROSS JOIN LATERAL (
        SELECT d.input_operation_id AS id FROM dependency d WHERE d.operation_id = r.id
        UNION ALL
        SELECT f.operation_id FROM lineage_files_above(r.id) f
      ) n
      WHERE p_depth IS NULL OR r.hops < p_depth
    )
    SELECT array_agg(DISTINCT id) INTO reached FROM reach;
  ELSE
    WITH RECURSIVE reach (id, hops) AS (
      SELECT u.id, 0 FROM unnest(p_operations) AS u (id)
      UNION
      SELECT n.id, CASE WHEN p_depth IS NULL THEN 0 ELSE r.hops + 1 END
      FROM reach r CROSS JOIN LATERAL (
        SELECT d.operation_id AS id FROM dependency d WHERE d.input_operation_id = r.id
        UNION ALL
        SELECT f.operation_id FROM lineage_files_below(r.id) f
      ) n
      WHERE p_depth IS NULL OR r.hops < p_depth
    )
    SELECT array_agg(DISTINCT id) INTO reached FROM reach;
  END IF;
  RETURN (SELECT coalesce(array_agg(o.id ORDER BY o.id), '{}') FROM unnest(reached) AS r (id) JOIN operation o ON o.id = r.id
          WHERE o.position <= p_position OR o.id = ANY (p_operations));
END $$;

REVOKE ALL ON FUNCTION is_collection(text, text), lineage_files_below(bigint), lineage_files_above(bigint),
  lineage_reach(bigint[], boolean, integer, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_collection(text, text), lineage_files_below(bigint), lineage_files_above(bigint),
  lineage_reach(bigint[], boolean, integer, bigint) TO recant_reader;

RESET ROLE;
