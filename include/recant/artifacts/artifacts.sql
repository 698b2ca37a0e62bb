-- Artifacts and their states.

-- name: record_artifact
SELECT record_artifact(%(batch_id)s, %(kind)s, %(path)s, %(format)s, %(collection)s, %(first_position)s, %(position)s,
                       %(read_position)s, %(scope)s, %(sha256)s, %(size_bytes)s, %(files)s) AS artifact_id

-- name: find_artifacts
-- The state of a file takes a look at the log: those that don't stand are left out before it is asked.
SELECT a.* FROM artifact b JOIN artifact_state a ON a.id = b.id
WHERE (%(states)s::text[] IS NULL OR %(states)s && ARRAY['removed', 'replaced'] OR (b.removed_at IS NULL AND NOT b.replaced))
  AND (%(artifact_id)s::bigint IS NULL OR a.id = %(artifact_id)s)
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
