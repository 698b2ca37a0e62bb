-- Append-only by grant. Functions are executable by nobody until granted.

SET ROLE recant_owner;
SET search_path = recant, public;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA recant FROM PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA recant TO recant_reader;
GRANT EXECUTE ON FUNCTION log_position(), digest_hex(numeric, numeric), half(bytea, integer), flips(bigint[], boolean[]),
  write_conflicts(bigint[], bigint), operation_digest(bigint), verdict_digest(bigint), chain_link(bytea, operation) TO recant_reader;

GRANT SELECT, INSERT ON record, version, document_version, chunk, watermark, dependency, rejection, quality_check TO recant_writer;
GRANT SELECT ON embedding, embedding_space, collection, operation, batch TO recant_writer;
GRANT EXECUTE ON FUNCTION open_operation(text, text, text, text, uuid, text, text, jsonb, jsonb, jsonb, boolean, double precision, text),
  ensure_collection(text, text, text, integer, boolean), begin_batch(bigint, text, double precision), finish_batch(bigint, jsonb), discard_versions(bigint, bigint[]),
  extend_lease(bigint, double precision), publish_operations(bigint[]), abort_operation(bigint, text, text), abort_expired(),
  build_vector_index(integer) TO recant_writer;

GRANT SELECT, INSERT ON embedding TO recant_embedder;

GRANT EXECUTE ON FUNCTION lock_log(),
  apply_verdicts(text, text, text, text, uuid, text, jsonb, jsonb, jsonb, jsonb, bigint[], boolean[]),
  store_plan(uuid, text, jsonb, text, bigint, bigint[], text, jsonb, text), approve_plan(uuid, text),
  close_plan(uuid, plan_state, bigint), register_lineage_destination(text) TO recant_coordinator;
GRANT SELECT, UPDATE ON lineage_delivery TO recant_coordinator;
GRANT SELECT ON lineage_destination, lineage_event TO recant_coordinator;

GRANT DELETE ON embedding, chunk, document_version, watermark, dependency, rejection, quality_check, version TO recant_reclaimer;

RESET ROLE;
