-- Who may do what. Group roles without login; `recant up` and the image's first boot make the logins.
--
--   recant_owner        owns every object; migrations run as it
--   recant_reader       SELECT on everything
--   recant_writer       SELECT and INSERT on the version tables: append-only by grant
--   recant_embedder     INSERT on embeddings: only the trusted embedder writes the shared space
--   recant_coordinator  EXECUTE on the functions that publish, abort and carry verdicts
--   recant_reclaimer    the only role that may delete
--   recant_worker       what DAGs and the command line run as: reader, writer, embedder, coordinator

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['recant_owner', 'recant_reader', 'recant_writer', 'recant_embedder',
                              'recant_coordinator', 'recant_reclaimer', 'recant_worker'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', name);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- another database of this server was migrated at the same moment
      END;
    END IF;
    IF NOT pg_has_role(current_user, name, 'SET') THEN  -- who may create roles isn't thereby a member of them
      EXECUTE format('GRANT %I TO CURRENT_USER WITH INHERIT TRUE, SET TRUE', name);
    END IF;
  END LOOP;
END $$;

DO $$
BEGIN
  IF NOT pg_has_role('recant_worker', 'recant_writer', 'USAGE')
     OR NOT pg_has_role('recant_worker', 'recant_coordinator', 'USAGE')
     OR NOT pg_has_role('recant_worker', 'recant_embedder', 'USAGE')
     OR NOT pg_has_role('recant_worker', 'recant_reader', 'USAGE') THEN
    GRANT recant_reader, recant_writer, recant_embedder, recant_coordinator TO recant_worker;
  END IF;
  IF NOT pg_has_role('recant_reclaimer', 'recant_reader', 'USAGE') THEN
    GRANT recant_reader TO recant_reclaimer;
  END IF;
END $$;

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

CREATE SCHEMA IF NOT EXISTS recant AUTHORIZATION recant_owner;
GRANT USAGE ON SCHEMA recant TO recant_reader, recant_writer, recant_embedder, recant_coordinator, recant_reclaimer;

SET ROLE recant_owner;

CREATE TABLE recant.schema_migration (
  name       text PRIMARY KEY,
  sha256     text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE recant.schema_migration IS 'The SQL files this schema was made by, with their checksums.';

RESET ROLE;
