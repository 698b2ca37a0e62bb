-- Delivery of lineage to each receiver by itself: which one it is, whether it is still wanted, and what it is still to be
-- given. Attaching a receiver, however long the history, never makes a write wait.

SET ROLE recant_owner;
SET search_path = recant, public;

ALTER TABLE lineage_destination
  ADD COLUMN kind       text,
  ADD COLUMN address    text,
  ADD COLUMN attached   boolean NOT NULL DEFAULT true,
  ADD COLUMN filled     boolean NOT NULL DEFAULT true,
  ADD COLUMN fill_until xid8;
UPDATE lineage_destination SET kind = name;
ALTER TABLE lineage_destination ALTER COLUMN kind SET NOT NULL;
COMMENT ON TABLE lineage_destination IS 'Who is owed events: the file, and every Marquez that there ever was.';
COMMENT ON COLUMN lineage_destination.address IS 'Which receiver of its kind it is, without user and password; null: the only one, or one attached before there were addresses.';
COMMENT ON COLUMN lineage_destination.attached IS 'No new events are put down for one that is not; attached again, it is given what it missed.';
COMMENT ON COLUMN lineage_destination.filled IS 'Whether every event of before it was attached is put down for it.';
COMMENT ON COLUMN lineage_destination.fill_until IS 'Transactions below it may not have seen that it is attached; it is filled when all of them have ended.';
CREATE UNIQUE INDEX lineage_destination_address ON lineage_destination (kind, address) WHERE address IS NOT NULL;
CREATE INDEX lineage_delivery_dead ON lineage_delivery (destination, event_id) WHERE state = 'dead';

-- Whether an operation was the first of its collection.
CREATE INDEX operation_collection ON operation (collection_id, position) WHERE position IS NOT NULL;

-- As in 0005, without a lock that attaching a destination could hold, and for attached ones only.
CREATE OR REPLACE FUNCTION emit_lineage(p_operation bigint, p_type text, p_time timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  event bigint;
BEGIN
  INSERT INTO lineage_event (operation_id, event_type, event_time) VALUES (p_operation, p_type, p_time) RETURNING id INTO event;
  INSERT INTO lineage_delivery (destination, event_id) SELECT name, event FROM lineage_destination WHERE attached;
  PERFORM pg_notify('recant_lineage', event::text);
END $$;

DROP FUNCTION register_lineage_destination(text);

-- Makes a receiver known, or wanted again; returns the name that it is known by. Another address is another receiver: the
-- second of a kind is called `marquez-2`. One that was attached before there were addresses is taken for the first that comes.
CREATE FUNCTION attach_lineage_destination(p_kind text, p_address text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  known lineage_destination;
  called text := p_kind;
  number integer := 1;
BEGIN
  PERFORM pg_advisory_xact_lock(7241169, 2);
  SELECT * INTO known FROM lineage_destination
  WHERE kind = p_kind AND (address IS NOT DISTINCT FROM p_address OR address IS NULL) ORDER BY address NULLS LAST LIMIT 1;
  IF FOUND THEN
    IF NOT known.attached OR known.address IS DISTINCT FROM p_address THEN
      UPDATE lineage_destination
      SET attached = true, address = p_address, filled = filled AND known.attached, fill_until = CASE WHEN known.attached THEN fill_until END
      WHERE name = known.name;
    END IF;
    RETURN known.name;
  END IF;
  WHILE EXISTS (SELECT FROM lineage_destination WHERE name = called) LOOP
    number := number + 1;
    called := p_kind || '-' || number;
  END LOOP;
  INSERT INTO lineage_destination (name, kind, address, filled) VALUES (called, p_kind, p_address, false);
  RETURN called;
END $$;

-- Nothing more is put down for those that aren't named. Returns whom that concerns.
CREATE FUNCTION detach_lineage_destinations(p_keep text[]) RETURNS SETOF text
LANGUAGE sql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
  UPDATE lineage_destination SET attached = false WHERE attached AND name <> ALL (p_keep) RETURNING name
$$;

-- Puts down for a destination what isn't yet, in a transaction after the one that attached it. True when nothing can be
-- missing any more: whoever wrote an event without having seen the destination had a transaction id by then, a lower one than
-- the first call's, and all of those have ended. Waits for nobody.
CREATE FUNCTION fill_lineage_destination(p_name text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = recant, public, pg_temp AS $$
DECLARE
  known lineage_destination;
  complete boolean;
BEGIN
  SELECT * INTO known FROM lineage_destination WHERE name = p_name FOR NO KEY UPDATE;
  IF known.filled IS NOT FALSE THEN
    RETURN true;
  END IF;
  known.fill_until := coalesce(known.fill_until, pg_current_xact_id());
  complete := pg_snapshot_xmin(pg_current_snapshot()) >= known.fill_until;
  INSERT INTO lineage_delivery (destination, event_id)
  SELECT p_name, e.id FROM lineage_event e
  WHERE NOT EXISTS (SELECT FROM lineage_delivery d WHERE d.destination = p_name AND d.event_id = e.id)
  ORDER BY e.id ON CONFLICT DO NOTHING;
  UPDATE lineage_destination SET filled = complete, fill_until = CASE WHEN NOT complete THEN known.fill_until END WHERE name = p_name;
  RETURN complete;
END $$;

REVOKE ALL ON FUNCTION attach_lineage_destination(text, text), detach_lineage_destinations(text[]), fill_lineage_destination(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION attach_lineage_destination(text, text), detach_lineage_destinations(text[]), fill_lineage_destination(text)
  TO recant_coordinator;

RESET ROLE;
