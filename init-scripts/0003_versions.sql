-- Records and their versions. Rows are immutable: a write adds versions under its operation.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE record (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  collection_id integer NOT NULL REFERENCES collection,
  kind          text NOT NULL CHECK (kind ~ '^[a-z][a-z_]*$'),
  key           text NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 2000),
  UNIQUE (collection_id, kind, key)
);
COMMENT ON TABLE record IS 'Something that has versions: a document (key: its source), a watermark (key: its origin), later knowledge items, feedback, graph nodes.';

CREATE TABLE version (
  version_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  record_id         bigint NOT NULL REFERENCES record,
  operation_id      bigint NOT NULL,
  batch_id          bigint NOT NULL,
  over_operation_id bigint,
  tombstone         boolean NOT NULL DEFAULT false,
  content_hash      bytea NOT NULL CHECK (octet_length(content_hash) = 32),
  UNIQUE (operation_id, record_id)
);
COMMENT ON TABLE version IS 'What an operation says about a record. Within a record version_id rises with position (publishing sees to it). operation_id and batch_id are checked by the fence, which costs less than foreign keys.';
COMMENT ON COLUMN version.over_operation_id IS 'The operation whose version the writer saw as the head; null when there was none.';
CREATE UNIQUE INDEX version_head ON version (record_id, version_id) INCLUDE (operation_id);

CREATE TABLE embedding (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  space_id  integer NOT NULL REFERENCES embedding_space,
  text_hash bytea NOT NULL CHECK (octet_length(text_hash) = 32),
  vector    halfvec NOT NULL,
  UNIQUE (space_id, text_hash)
);
COMMENT ON TABLE embedding IS 'Content-addressed vectors of unit length: neither a rollback nor a re-ingest of known text computes one.';
ALTER TABLE embedding ALTER COLUMN vector SET STORAGE PLAIN;

CREATE TABLE document_version (
  version_id       bigint PRIMARY KEY REFERENCES version ON UPDATE CASCADE,
  origin_record_id bigint NOT NULL REFERENCES record,
  title            text,
  format           text NOT NULL,
  source_hash      bytea NOT NULL,
  fingerprint      bytea NOT NULL,
  chunk_count      integer NOT NULL CHECK (chunk_count >= 0),
  token_count      bigint NOT NULL CHECK (token_count >= 0),
  attributes       jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON COLUMN document_version.origin_record_id IS 'The watermark record of the folder, glob, URL or file it was found under: what is no longer found there is retired.';
COMMENT ON COLUMN document_version.fingerprint IS 'sha256 of the content, its attributes and the chunker''s settings: equal means unchanged.';
CREATE INDEX document_version_origin ON document_version (origin_record_id, version_id);

CREATE TABLE chunk (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  version_id     bigint NOT NULL REFERENCES version ON UPDATE CASCADE,
  embedding_id   bigint NOT NULL REFERENCES embedding,
  index          integer NOT NULL CHECK (index >= 0),
  token_count    integer NOT NULL CHECK (token_count >= 0),
  chunk_type     text NOT NULL,
  parent_headers text[] NOT NULL DEFAULT '{}',
  text           text NOT NULL,
  attributes     jsonb NOT NULL DEFAULT '{}',
  UNIQUE (version_id, index)
);
COMMENT ON TABLE chunk IS 'A part of a document version: seen exactly when that version is its document''s head.';
CREATE INDEX chunk_embedding ON chunk (embedding_id, id) INCLUDE (version_id);

CREATE TABLE watermark (
  version_id     bigint PRIMARY KEY REFERENCES version ON UPDATE CASCADE,
  document_count bigint NOT NULL,
  listing_hash   bytea NOT NULL,
  state          jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE watermark IS 'What the last ingest of an origin found. Being versions, watermarks go back with a rollback.';

CREATE TABLE dependency (
  operation_id       bigint NOT NULL,
  batch_id           bigint NOT NULL,
  input_operation_id bigint NOT NULL,
  input_version_id   bigint NOT NULL REFERENCES version ON UPDATE CASCADE,
  class              text NOT NULL CHECK (class IN ('derived', 'referenced', 'affirmed', 'decided', 'cited')),
  version_id         bigint REFERENCES version ON UPDATE CASCADE,
  CHECK (operation_id <> input_operation_id)
);
COMMENT ON TABLE dependency IS 'What an operation was made from. All of these classes are definite.';
CREATE INDEX dependency_input ON dependency (input_operation_id, operation_id, class);
CREATE INDEX dependency_operation ON dependency (operation_id, input_operation_id);
CREATE INDEX dependency_input_version ON dependency (input_version_id);
CREATE INDEX dependency_version ON dependency (version_id) WHERE version_id IS NOT NULL;

CREATE TABLE rejection (
  operation_id bigint NOT NULL,
  batch_id     bigint NOT NULL,
  source       text NOT NULL,
  code         text NOT NULL,
  reason       text NOT NULL
);
COMMENT ON TABLE rejection IS 'Documents that an operation left out, and why.';
CREATE INDEX rejection_operation ON rejection (operation_id);

CREATE TABLE quality_check (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  operation_id bigint NOT NULL,
  batch_id     bigint NOT NULL,
  suite        text NOT NULL,
  success      boolean NOT NULL,
  result       jsonb NOT NULL
);
COMMENT ON TABLE quality_check IS 'What the gate said of a batch, without row values.';
CREATE INDEX quality_check_operation ON quality_check (operation_id);

CREATE TABLE chunk_quality (
  chunk_id      bigint PRIMARY KEY REFERENCES chunk,
  score         real NOT NULL CHECK (score BETWEEN 0 AND 100),
  true_position bigint NOT NULL
);
COMMENT ON TABLE chunk_quality IS 'A projection of feedback: rebuildable, true at true_position. No row: neutral.';

RESET ROLE;
