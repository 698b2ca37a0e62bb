-- What an operation was made from is told in its events; and what a destination has had is counted as it takes it.

SET ROLE recant_owner;
SET search_path = recant, public;

-- An operation that was made from very many others says so in events before its last one.
ALTER TABLE lineage_event ADD COLUMN part integer NOT NULL DEFAULT 1 CHECK (part > 0);
ALTER TABLE lineage_event DROP CONSTRAINT lineage_event_operation_id_event_type_key, DROP CONSTRAINT lineage_event_event_type_check;
ALTER TABLE lineage_event
  ADD CONSTRAINT lineage_event_part UNIQUE (operation_id, event_type, part),
  ADD CONSTRAINT lineage_event_type CHECK (event_type IN ('START', 'RUNNING', 'COMPLETE', 'ABORT', 'FAIL') AND (part = 1 OR event_type = 'RUNNING'));
COMMENT ON COLUMN lineage_event.part IS 'Of RUNNING events: the first, the second thousand of what the operation was made from.';

-- What an operation was made from, an operation and class a row, with how many of its records; then those whose work its session
-- was shown since the write before it (class `read`: possible). Steady once the operation is published, but for reads, which
-- upkeep forgets when nobody can come to ask.
CREATE FUNCTION lineage_built_on(p_operation bigint) RETURNS TABLE (input_operation_id bigint, class text, records bigint, place bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  SELECT x.input, x.class, x.records, row_number() OVER (ORDER BY x.class = 'read', x.input, x.class)
  FROM (
    SELECT d.input_operation_id AS input, d.class, count(DISTINCT d.input_version_id) AS records
    FROM dependency d WHERE d.operation_id = p_operation GROUP BY 1, 2
    UNION ALL
    SELECT r.operation_id, 'read', count(DISTINCT r.record_id)
    FROM session_search s JOIN session_read r ON r.search_id = s.id
    WHERE s.operation_id = p_operation AND r.operation_id <> p_operation GROUP BY 1
  ) x
$$;

-- As in 0018, with a RUNNING event for each full thousand that comes before the last. Most operations have none: they are told
-- apart without counting.
CREATE OR REPLACE FUNCTION emit_lineage(p_operation bigint, p_type text, p_time timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  parts integer := 0;
  event bigint;
BEGIN
  IF p_type = 'COMPLETE' AND (EXISTS (SELECT FROM dependency WHERE operation_id = p_operation OFFSET 1000) OR EXISTS (
       SELECT FROM session_search s JOIN session_read r ON r.search_id = s.id WHERE s.operation_id = p_operation)) THEN
    SELECT (greatest(count(*), 1) - 1) / 1000 INTO parts FROM lineage_built_on(p_operation);
  END IF;
  FOR part IN 1 .. parts + 1 LOOP
    INSERT INTO lineage_event (operation_id, event_type, event_time, part)
    VALUES (p_operation, CASE WHEN part <= parts THEN 'RUNNING' ELSE p_type END, p_time, CASE WHEN part <= parts THEN part ELSE 1 END)
    RETURNING id INTO event;
    INSERT INTO lineage_delivery (destination, event_id) SELECT name, event FROM lineage_destination WHERE attached;
  END LOOP;
  PERFORM pg_notify('recant_lineage', event::text);
END $$;

-- How much each destination has had: counted where it is put down, so that nobody reads what was delivered to say how much that
-- is. Apart from lineage_destination, which every write reads.
CREATE TABLE lineage_tally (
  destination       text PRIMARY KEY REFERENCES lineage_destination ON DELETE CASCADE,
  delivered         bigint NOT NULL,
  last_delivered_at timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE lineage_tally IS 'How many of lineage_delivery''s rows are delivered, by destination; and when the last one was.';
INSERT INTO lineage_tally
SELECT destination, count(*), max(delivered_at) FROM lineage_delivery WHERE state = 'delivered' GROUP BY destination;

CREATE FUNCTION lineage_count_deliveries() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
BEGIN
  INSERT INTO lineage_tally AS t (destination, delivered, last_delivered_at)
  SELECT x.destination, sum(x.more), max(x.at)
  FROM (SELECT destination, 1 AS more, delivered_at AS at FROM after_it WHERE state = 'delivered'
        UNION ALL
        SELECT destination, -1, NULL FROM before_it WHERE state = 'delivered') x
  GROUP BY x.destination ORDER BY x.destination
  ON CONFLICT (destination) DO UPDATE
  SET delivered = t.delivered + excluded.delivered, last_delivered_at = greatest(t.last_delivered_at, excluded.last_delivered_at);
  RETURN NULL;
END $$;
CREATE TRIGGER lineage_count_deliveries AFTER UPDATE ON lineage_delivery
  REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it FOR EACH STATEMENT EXECUTE FUNCTION lineage_count_deliveries();

REVOKE ALL ON FUNCTION lineage_built_on(bigint), lineage_count_deliveries() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lineage_built_on(bigint) TO recant_reader;
GRANT SELECT ON lineage_tally TO recant_coordinator;

RESET ROLE;
