-- Feedback, and what it is about.

-- name: chunk_of
SELECT c.index AS chunk_index, v.version_id, v.record_id, v.operation_id, r.key AS source, k.name AS collection, o.life::text AS life
FROM chunk c JOIN version v ON v.version_id = c.version_id JOIN record r ON r.id = v.record_id
JOIN collection k ON k.id = r.collection_id JOIN operation o ON o.id = v.operation_id
WHERE c.id = %(chunk_id)s

-- name: add_feedback
WITH named AS (
  INSERT INTO record (collection_id, kind, key)
  SELECT r.collection_id, 'feedback', %(key)s FROM record r WHERE r.id = %(target_record_id)s
  RETURNING id
)
INSERT INTO version (record_id, operation_id, batch_id, content_hash)
SELECT n.id, %(operation_id)s, %(batch_id)s, %(content_hash)s FROM named n
RETURNING version_id

-- name: add_feedback_content
INSERT INTO feedback (version_id, target_version_id, chunk_index, target_record_id, target_operation_id, verdict, comment, given_by)
VALUES (%(version_id)s, %(target_version_id)s, %(chunk_index)s, %(target_record_id)s, %(target_operation_id)s, %(verdict)s,
        %(comment)s, %(given_by)s)
