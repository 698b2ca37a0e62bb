-- What a backup notes of the log, and what a restore needs beside the schema.

-- name: export_snapshot
SELECT pg_export_snapshot() AS snapshot

-- name: describe_log
-- Where the log stands in this snapshot: its last position with the hash that chains all entries before it.
SELECT coalesce(max(o.position), 0) AS position,
  (SELECT encode(x.chain, 'hex') FROM recant.operation x WHERE x.position IS NOT NULL ORDER BY x.position DESC LIMIT 1) AS chain,
  ARRAY(SELECT m.name FROM recant.schema_migration m ORDER BY m.name) AS migrations,
  current_setting('server_version') AS postgres_version
FROM recant.operation o

-- name: find_roles
-- Our group roles, and which of them each is a member of.
SELECT r.rolname AS name, ARRAY(
  SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
  WHERE m.member = r.oid AND g.rolname LIKE 'recant\_%%' ORDER BY g.rolname) AS member_of
FROM pg_roles r WHERE r.rolname LIKE 'recant\_%%' AND NOT r.rolcanlogin ORDER BY r.rolname

-- name: create_role
-- Roles belong to the server, not to the database. Whoever restores has to be able to act as the owner.
DO $$
DECLARE
  role text := current_setting('recant.role');
  granted text;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
    EXECUTE format('CREATE ROLE %I NOLOGIN', role);
  END IF;
  FOR granted IN SELECT unnest(current_setting('recant.member_of')::text[]) LOOP
    EXECUTE format('GRANT %I TO %I', granted, role);
  END LOOP;
  IF NOT pg_has_role(current_user, role, 'SET') THEN
    EXECUTE format('GRANT %I TO CURRENT_USER WITH INHERIT TRUE, SET TRUE', role);
  END IF;
END $$

-- name: create_extension
CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public

-- name: has_schema
SELECT to_regclass('recant.operation') IS NOT NULL AS there

-- name: has_operations
SELECT EXISTS (SELECT FROM recant.operation) OR EXISTS (SELECT FROM recant.collection) AS any

-- name: drop_empty_schema
DROP SCHEMA recant CASCADE

-- name: record_backup
SELECT record_backup(%(name)s, %(kind)s, %(place)s, %(position)s, %(taken_at)s, %(seconds)s, %(size_bytes)s)
