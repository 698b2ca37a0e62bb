-- name: find_database
-- One row when the database exists.
SELECT 1 FROM pg_database WHERE datname = %(name)s

-- name: find_role
-- One row when the role exists.
SELECT 1 FROM pg_roles WHERE rolname = %(name)s

-- name: create_knowledge_database
-- What `recant migrate` fills.
CREATE DATABASE recant

-- name: create_application_role
-- The login of the library and of Airflow's tasks; what it may do it has from recant_worker.
CREATE ROLE recant_app LOGIN

-- name: admit_application_role
-- Again at every start: harmless when it is so already.
GRANT recant_worker TO recant_app

-- name: close_knowledge_database
-- By default every login, Airflow's too, may connect to every database.
REVOKE CONNECT, TEMPORARY ON DATABASE recant FROM PUBLIC

-- name: open_knowledge_database
-- Whoever may read may come in; all of our roles but the owner are recant_reader too.
GRANT CONNECT, TEMPORARY ON DATABASE recant TO recant_reader

-- name: create_metadata_role
-- The login of Airflow itself.
CREATE ROLE airflow LOGIN

-- name: create_metadata_database
-- Airflow makes its own tables.
CREATE DATABASE airflow OWNER airflow

-- name: close_metadata_database
-- Nobody but its owner connects: Airflow's connections and variables are there.
REVOKE CONNECT, TEMPORARY ON DATABASE airflow FROM PUBLIC

-- name: create_marquez_role
-- The login of a Marquez that runs here; its pool is smaller.
CREATE ROLE marquez LOGIN CONNECTION LIMIT 20

-- name: create_marquez_database
-- Owned by its role: the grants that Marquez ships with fail on PostgreSQL 15 and later.
CREATE DATABASE marquez OWNER marquez

-- name: close_marquez_database
-- Nobody but its owner connects.
REVOKE CONNECT, TEMPORARY ON DATABASE marquez FROM PUBLIC

-- name: set_role_verifier
-- ALTER ROLE takes no parameters, so the role and its verifier come through settings of the session.
DO $$
BEGIN
  EXECUTE format('ALTER ROLE %I PASSWORD %L', current_setting('recant.role'), current_setting('recant.verifier'));
END
$$

-- name: read_metadata_version
-- Kept as the database's comment: it goes when the database goes.
SELECT shobj_description(oid, 'pg_database') AS version FROM pg_database WHERE datname = 'airflow'

-- name: record_metadata_version
-- COMMENT takes no parameters either.
DO $$
BEGIN
  EXECUTE format('COMMENT ON DATABASE airflow IS %L', current_setting('recant.version'));
END
$$
