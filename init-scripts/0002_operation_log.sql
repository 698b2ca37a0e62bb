-- The operation log: who wrote what, when, and whether it is seen. See docs/reference/state-machine.md.

SET ROLE recant_owner;
SET search_path = recant, public;

CREATE TABLE embedding_space (
  id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model      text NOT NULL,
  digest     text NOT NULL,
  dimensions integer NOT NULL CHECK (dimensions BETWEEN 1 AND 4000),
  trusted    boolean NOT NULL DEFAULT true,
  UNIQUE (model, digest, trusted)
);
COMMENT ON TABLE embedding_space IS 'One model''s vectors. Vectors brought from outside get a space of their own (trusted = false).';

CREATE TABLE collection (
  id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name       text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
  space_id   integer NOT NULL REFERENCES embedding_space,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TYPE operation_life AS ENUM ('open', 'published', 'aborted');

CREATE TABLE operation (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  position       bigint UNIQUE CHECK (position > 0),
  life           operation_life NOT NULL DEFAULT 'open',
  visible        boolean NOT NULL DEFAULT false,
  control        boolean NOT NULL DEFAULT false,
  last_wins      boolean NOT NULL DEFAULT false,
  collection_id  integer REFERENCES collection,
  kind           text NOT NULL CHECK (kind ~ '^[a-z][a-z_]*$'),
  agent          text NOT NULL CHECK (length(agent) BETWEEN 1 AND 200),
  session        text CHECK (length(session) BETWEEN 1 AND 200),
  run_id         text CHECK (length(run_id) BETWEEN 1 AND 250),
  lineage_run_id uuid NOT NULL UNIQUE,
  open_key       text UNIQUE,
  base_position  bigint NOT NULL,
  writer         name NOT NULL DEFAULT session_user,
  opened_at      timestamptz NOT NULL,
  closed_at      timestamptz,
  message        text NOT NULL DEFAULT '',
  reason         text,
  parameters     jsonb NOT NULL DEFAULT '{}',
  context        jsonb NOT NULL DEFAULT '{}',
  counts         jsonb NOT NULL DEFAULT '{}',
  digest         text,
  chain          bytea,
  CHECK ((life = 'published') = (position IS NOT NULL)),
  CHECK (life <> 'published' OR chain IS NOT NULL),
  CHECK (life = 'published' OR NOT visible)
) WITH (fillfactor = 80);
COMMENT ON COLUMN operation.position IS 'Order of publishing: 1, 2, 3 … without gaps; null until published; never changes.';
COMMENT ON COLUMN operation.visible IS 'Cached answer of the last effective verdict; visibility_history is its history. Not indexed on purpose: an update stays in place.';
COMMENT ON COLUMN operation.base_position IS 'The last position when it was opened: only what moved since can conflict with it.';
COMMENT ON COLUMN operation.open_key IS 'Opening again with the same key gives the same operation: a retried task doesn''t open a second one.';
COMMENT ON COLUMN operation.digest IS 'Two 64-bit sums of its versions'' content hashes, as hex.';
COMMENT ON COLUMN operation.chain IS 'sha256 over the previous position''s chain and this entry.';
CREATE INDEX operation_run ON operation (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX operation_agent ON operation (agent, position);
CREATE INDEX operation_session ON operation (session) WHERE session IS NOT NULL;
CREATE INDEX operation_open ON operation (id) WHERE life = 'open';

CREATE TABLE lease (
  operation_id bigint PRIMARY KEY REFERENCES operation,
  until        timestamptz NOT NULL
);
COMMENT ON TABLE lease IS 'How long an open operation is left alone by upkeep. Apart from operation, whose row writers hold a share lock on.';

CREATE TABLE verdict (
  control_id   bigint NOT NULL REFERENCES operation,
  operation_id bigint NOT NULL REFERENCES operation,
  shows        boolean NOT NULL,
  PRIMARY KEY (control_id, operation_id),
  CHECK (operation_id < control_id)
);
COMMENT ON TABLE verdict IS 'What a control operation says of earlier operations; in effect while the control operation itself is seen.';
CREATE INDEX verdict_operation ON verdict (operation_id, control_id);

CREATE TABLE visibility_history (
  operation_id  bigint NOT NULL REFERENCES operation,
  from_position bigint NOT NULL,
  visible       boolean NOT NULL,
  PRIMARY KEY (operation_id, from_position)
);
COMMENT ON TABLE visibility_history IS 'As of position P an operation is seen when its last row with from_position <= P says so.';
CREATE INDEX visibility_history_position ON visibility_history (from_position, operation_id);

CREATE TYPE batch_state AS ENUM ('open', 'done', 'superseded');

CREATE TABLE batch (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  operation_id bigint NOT NULL REFERENCES operation,
  key          text NOT NULL,
  attempt      integer NOT NULL,
  state        batch_state NOT NULL DEFAULT 'open',
  started_at   timestamptz NOT NULL,
  counts       jsonb NOT NULL DEFAULT '{}',
  UNIQUE (operation_id, key, attempt)
);
COMMENT ON TABLE batch IS 'One worker''s share of an operation. A later attempt supersedes the earlier one and discards its rows.';

CREATE TABLE operation_dataset (
  operation_id bigint NOT NULL REFERENCES operation,
  direction    text NOT NULL CHECK (direction IN ('input', 'output')),
  namespace    text NOT NULL,
  name         text NOT NULL,
  PRIMARY KEY (operation_id, direction, namespace, name)
);
COMMENT ON TABLE operation_dataset IS 'The OpenLineage datasets that an operation reads and writes.';

CREATE TABLE lineage_event (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  operation_id bigint NOT NULL REFERENCES operation,
  event_type   text NOT NULL CHECK (event_type IN ('START', 'COMPLETE', 'ABORT', 'FAIL')),
  event_time   timestamptz NOT NULL,
  UNIQUE (operation_id, event_type)
);
COMMENT ON TABLE lineage_event IS 'The outbox: written in the same transaction as the change it tells of, rendered from the log when it is delivered.';

CREATE TABLE lineage_destination (
  name          text PRIMARY KEY,
  registered_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE lineage_delivery (
  destination     text NOT NULL REFERENCES lineage_destination ON DELETE CASCADE,
  event_id        bigint NOT NULL REFERENCES lineage_event,
  state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
  attempts        integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  delivered_at    timestamptz,
  error           text,
  PRIMARY KEY (destination, event_id)
);
COMMENT ON TABLE lineage_delivery IS 'pending -> delivered | dead; at least once, in order of event_id per operation.';
CREATE INDEX lineage_delivery_pending ON lineage_delivery (destination, event_id) WHERE state = 'pending';

CREATE TYPE plan_state AS ENUM ('open', 'applied', 'expired');

CREATE TABLE rollback_plan (
  id           uuid PRIMARY KEY,
  state        plan_state NOT NULL DEFAULT 'open',
  kind         text NOT NULL CHECK (kind IN ('rollback', 'redo', 'quarantine', 'release', 'restore')),
  selector     jsonb NOT NULL,
  policy       text NOT NULL,
  position     bigint NOT NULL,
  withdraw     bigint[] NOT NULL,
  consequences text NOT NULL,
  report       jsonb NOT NULL,
  agent        text NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  approved_by  text,
  approved_at  timestamptz,
  applied_as   bigint REFERENCES operation
);
COMMENT ON COLUMN rollback_plan.position IS 'The position at which the answer was worked out.';
COMMENT ON COLUMN rollback_plan.consequences IS 'md5 over every record whose head would change, with the head it would have.';

RESET ROLE;
