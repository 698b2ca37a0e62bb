-- Artifacts and their states.

-- name: record_artifact
SELECT record_artifact(%(batch_id)s, %(kind)s, %(path)s, %(format)s, %(collection)s, %(first_position)s, %(position)s,
                       %(read_position)s, %(scope)s, %(sha256)s, %(size_bytes)s, %(files)s) AS artifact_id

-- name: find_artifacts
SELECT a.* FROM artifact_state a
WHERE (%(artifact_id)s::bigint IS NULL OR a.id = %(artifact_id)s)
  AND (%(kind)s::text IS NULL OR a.kind = %(kind)s)
  AND (%(path)s::text IS NULL OR a.path = %(path)s)
  AND (%(collection)s::text IS NULL OR a.collection = %(collection)s)
  AND (%(states)s::text[] IS NULL OR a.state = ANY (%(states)s))
ORDER BY a.id DESC

-- name: reasons
SELECT reason, operation_id, record_id, control_id FROM artifact_reasons(%(artifact_id)s)
ORDER BY operation_id, record_id NULLS FIRST, reason LIMIT %(limit)s

-- name: holding
SELECT * FROM artifacts_holding(%(operations)s::bigint[])

-- name: remove_artifact
SELECT remove_artifact(%(artifact_id)s, %(by)s) AS removed
