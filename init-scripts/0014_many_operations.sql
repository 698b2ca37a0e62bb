-- What makes a rollback of many operations quick: room for their flags, no row-by-row checks, and dependents found set by set.

SET ROLE recant_owner;
SET search_path = recant, public;

-- A verdict changes one flag of each operation. With room on its page for every row's new version, none of the table's
-- indexes is touched (a heap-only update); with less room most of them were, by as many entries as there are indexes.
ALTER TABLE operation SET (fillfactor = 45);

-- Only the coordinator's functions insert here, about operations whose rows they have just read; and nobody may delete an
-- operation. A foreign key would lock each operation's row a second time: a third of the time of a large rollback.
ALTER TABLE verdict DROP CONSTRAINT verdict_control_id_fkey, DROP CONSTRAINT verdict_operation_id_fkey;
ALTER TABLE visibility_history DROP CONSTRAINT visibility_history_operation_id_fkey;

-- Seen operations built on these over any number of hops, hidden ones in between included, and the first hop that leads to
-- each. In steps, because only of an array does the planner know the length: of few it looks each up, of many it reads all.
-- A narrowed operation's hop counts only if its own record is seen. Classes are numbered by the alphabet, to take the least
-- pair of numbers instead of sorting.
CREATE FUNCTION dependents_of(p_operations bigint[]) RETURNS TABLE (operation_id bigint, class text, via bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = recant, public, pg_temp SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' AS $$
#variable_conflict use_column
DECLARE
  reached bigint[];
  narrowed bigint[];
BEGIN
  WITH RECURSIVE reach (id) AS (
    SELECT unnest(p_operations)
    UNION
    SELECT d.operation_id FROM reach r JOIN dependency d ON d.input_operation_id = r.id
  )
  SELECT array_agg(id) INTO reached FROM reach;
  SELECT coalesce(array_agg(DISTINCT w.operation_id), '{}') INTO narrowed FROM withheld w WHERE w.operation_id = ANY (reached);
  RETURN QUERY
  WITH hop (operation_id, edge) AS (
    SELECT d.operation_id, min((d.input_operation_id << 3) + CASE d.class
             WHEN 'affirmed' THEN 1 WHEN 'cited' THEN 2 WHEN 'decided' THEN 3 WHEN 'derived' THEN 4 ELSE 5 END)
    FROM unnest(reached) AS r (id) JOIN dependency d ON d.input_operation_id = r.id
    GROUP BY d.operation_id
  ), live AS (
    SELECT h.operation_id, (ARRAY['affirmed', 'cited', 'decided', 'derived', 'referenced'])[h.edge & 7] AS class, h.edge >> 3 AS via
    FROM hop h WHERE NOT h.operation_id = ANY (narrowed)
    UNION ALL
    SELECT n.id, v.class, v.input_operation_id
    FROM unnest(narrowed) AS n (id) CROSS JOIN LATERAL (
      SELECT d.class, d.input_operation_id FROM dependency d
      WHERE d.operation_id = n.id AND d.input_operation_id = ANY (reached) AND NOT EXISTS (
        SELECT FROM version x JOIN withheld w ON w.operation_id = n.id AND w.record_id = x.record_id
        WHERE x.version_id = coalesce(d.version_id, CASE WHEN d.class = 'affirmed' THEN d.input_version_id END))
      ORDER BY d.input_operation_id, d.class LIMIT 1) v
  )
  SELECT o.id, l.class, l.via FROM live l JOIN operation o ON o.id = l.operation_id
  WHERE o.life = 'published' AND o.visible AND NOT o.id = ANY (p_operations)
  ORDER BY o.position;
END $$;
REVOKE ALL ON FUNCTION dependents_of(bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dependents_of(bigint[]) TO recant_reader;

-- As before, with a short way for verdicts that are not about control operations: nothing follows from them. And the last
-- word on each target is found in one pass, words in effect first (if none is, the operation shows): joined with themselves,
-- the targets of a control operation that statistics don't know yet were planned as one row, and took the square of their
-- number.
CREATE OR REPLACE FUNCTION flips(p_operations bigint[], p_shows boolean[]) RETURNS TABLE (operation_id bigint, visible boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  all_ids bigint[] := '{}';
  all_shows boolean[] := '{}';
  level_ids bigint[];
  level_shows boolean[];
  control_ids bigint[] := '{}';
  control_shows boolean[] := '{}';
  follows boolean;
BEGIN
  SELECT array_agg(o.id), array_agg(x.shows), bool_or(o.control) INTO level_ids, level_shows, follows
  FROM unnest(p_operations, p_shows) AS x (id, shows) JOIN operation o ON o.id = x.id
  WHERE o.life = 'published' AND o.visible <> x.shows;
  IF NOT follows THEN
    RETURN QUERY SELECT u.id, u.shows FROM unnest(level_ids, level_shows) AS u (id, shows);
    RETURN;
  END IF;
  WHILE level_ids IS NOT NULL LOOP
    all_ids := all_ids || level_ids;
    all_shows := all_shows || level_shows;
    SELECT c.ids, c.shows INTO level_ids, level_shows FROM (
      SELECT array_agg(l.id) AS ids, array_agg(l.shows) AS shows
      FROM unnest(level_ids, level_shows) AS l (id, shows) JOIN operation o ON o.id = l.id WHERE o.control) c;
    EXIT WHEN level_ids IS NULL;
    control_ids := control_ids || level_ids;
    control_shows := control_shows || level_shows;
    WITH overlay AS (
      SELECT DISTINCT ON (u.id) u.id, u.shows FROM unnest(control_ids, control_shows) WITH ORDINALITY AS u (id, shows, n) ORDER BY u.id, u.n DESC
    ), settled AS (
      SELECT DISTINCT ON (u.id) u.id, u.shows FROM unnest(all_ids, all_shows) WITH ORDINALITY AS u (id, shows, n) ORDER BY u.id, u.n DESC
    ), answer AS (
      SELECT DISTINCT ON (v.operation_id) v.operation_id AS id, NOT coalesce(y.shows, c.visible) OR v.shows AS shows
      FROM verdict w
      JOIN verdict v ON v.operation_id = w.operation_id
      JOIN operation c ON c.id = v.control_id
      LEFT JOIN overlay y ON y.id = c.id
      WHERE w.control_id = ANY (level_ids) AND NOT w.operation_id = ANY (p_operations)
      ORDER BY v.operation_id, coalesce(y.shows, c.visible) DESC, c.position DESC
    )
    SELECT array_agg(a.id), array_agg(a.shows) INTO level_ids, level_shows
    FROM answer a JOIN operation o ON o.id = a.id LEFT JOIN settled s ON s.id = a.id
    WHERE a.shows <> coalesce(s.shows, o.visible);
  END LOOP;
  RETURN QUERY
    SELECT f.id, f.shows FROM (
      SELECT DISTINCT ON (u.id) u.id, u.shows FROM unnest(all_ids, all_shows) WITH ORDINALITY AS u (id, shows, n) ORDER BY u.id, u.n DESC) f
    JOIN operation o ON o.id = f.id WHERE o.visible <> f.shows;
END $$;

-- As before, but of what flipped only those are looked at that have said something about a record.
CREATE OR REPLACE FUNCTION record_flips(p_flipped bigint[], p_flipped_shows boolean[], p_operations bigint[], p_records bigint[], p_shows boolean[])
RETURNS TABLE (operation_id bigint, record_id bigint, visible boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  WITH said AS MATERIALIZED (
    SELECT u.o AS operation_id, u.r AS record_id, u.s AS shows FROM unnest(p_operations, p_records, p_shows) AS u (o, r, s)
  ), flipped AS MATERIALIZED (
    SELECT u.id, u.shows FROM unnest(p_flipped, p_flipped_shows) AS u (id, shows)
    WHERE u.id IN (SELECT v.control_id FROM record_verdict v)
  ), target AS (
    SELECT v.operation_id, v.record_id FROM record_verdict v WHERE v.control_id IN (SELECT id FROM flipped)
    EXCEPT
    SELECT s.operation_id, s.record_id FROM said s
  ), answer AS (
    SELECT s.operation_id, s.record_id, s.shows FROM said s
    UNION ALL
    SELECT t.operation_id, t.record_id, coalesce(
      (SELECT v.shows
       FROM record_verdict v JOIN operation c ON c.id = v.control_id LEFT JOIN flipped f ON f.id = c.id
       WHERE v.operation_id = t.operation_id AND v.record_id = t.record_id AND coalesce(f.shows, c.visible)
       ORDER BY c.position DESC LIMIT 1), true)
    FROM target t
  )
  SELECT a.operation_id, a.record_id, a.shows FROM answer a
  WHERE a.shows = EXISTS (SELECT FROM withheld w WHERE w.operation_id = a.operation_id AND w.record_id = a.record_id)
$$;

RESET ROLE;
