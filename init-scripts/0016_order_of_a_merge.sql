-- What is published together is published in the order of opening: an operation can't be made from a later one.

SET ROLE recant_owner;
SET search_path = recant, public;

-- As in 0007; and of operations that are published at once, the earlier one's input must not be the later one.
CREATE OR REPLACE FUNCTION raise_withdrawn_inputs(p_operations bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  c record;
BEGIN
  SELECT d.operation_id, d.input_operation_id, d.class, i.life INTO c
  FROM (SELECT DISTINCT operation_id, input_operation_id, class FROM dependency WHERE operation_id = ANY (p_operations)) d
  JOIN operation i ON i.id = d.input_operation_id
  WHERE NOT (i.id = ANY (p_operations) AND i.id < d.operation_id) AND (NOT i.visible OR i.narrowed AND EXISTS (
    SELECT FROM dependency x
    JOIN version v ON v.version_id = x.input_version_id
    JOIN withheld w ON w.operation_id = v.operation_id AND w.record_id = v.record_id
    WHERE x.operation_id = d.operation_id AND x.input_operation_id = d.input_operation_id AND x.class = d.class))
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'operation % was made from operation % (%), which is %', c.operation_id, c.input_operation_id, c.class,
      CASE WHEN c.life = 'open' THEN 'not published before it' ELSE 'no longer seen' END
      USING ERRCODE = 'RC005',
        HINT = CASE WHEN c.life = 'open' THEN 'Publish that one first.' ELSE 'Run it again without that input, or redo what withdrew it.' END,
        DETAIL = jsonb_build_object('operation_id', c.operation_id, 'input', c.input_operation_id, 'class', c.class)::text;
  END IF;
END $$;

RESET ROLE;
