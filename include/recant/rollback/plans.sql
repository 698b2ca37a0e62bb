-- Stored plans: making, showing, approving, closing. States are derived (plan_life in init-scripts/0010_plans.sql).

-- name: store_plan
SELECT created_at, expires_at FROM store_plan(
  %(plan_id)s, %(kind)s, %(selector)s, %(policy)s, %(position)s, %(withdraw)s, %(consequences)s, %(report)s, %(agent)s, %(hours)s)

-- name: load_plan
SELECT p.id::text AS plan_id, plan_life(p) AS state, p.kind, p.selector, p.policy, p.position, p.withdraw, p.consequences, p.report, p.agent,
       p.created_at, p.expires_at, p.approved_by, p.approved_at, p.applied_as, p.applied_at, p.verified_at, p.aborted_by, p.aborted_at,
       p.abort_reason, p.certificate
FROM rollback_plan p WHERE p.id = %(plan_id)s

-- name: find_plans
-- Newest first, without their reports, which may be long.
SELECT p.id::text AS plan_id, p.state, p.kind, p.selector, p.policy, p.position, cardinality(p.withdraw) AS withdraws,
       p.withdraws_records, p.agent, p.created_at, p.expires_at, p.approved_by, p.approved_at, p.applied_as, p.applied_at, p.verified_at, p.aborted_by, p.aborted_at, p.abort_reason
FROM (SELECT plan_life(r) AS state, r.id, r.kind, r.selector, r.policy, r.position, r.withdraw, r.agent,
             jsonb_array_length(coalesce(r.report -> 'withdraw_records', '[]')) AS withdraws_records, r.created_at, r.expires_at,
             r.approved_by, r.approved_at, r.applied_as, r.applied_at, r.verified_at, r.aborted_by, r.aborted_at, r.abort_reason
      FROM rollback_plan r) p
WHERE %(state)s::text IS NULL OR p.state = %(state)s
ORDER BY p.created_at DESC, p.id DESC
LIMIT %(limit)s

-- name: hold_plan
SELECT hold_plan(%(plan_id)s) AS state

-- name: approve_plan
SELECT approve_plan(%(plan_id)s, %(by)s)

-- name: extend_plan
SELECT extend_plan(%(plan_id)s, %(hours)s) AS expires_at

-- name: abort_plan
SELECT abort_plan(%(plan_id)s, %(by)s, %(reason)s) AS aborted

-- name: close_plan
SELECT close_plan(%(plan_id)s, 'applied', %(applied_as)s)

-- name: keep_certificate
SELECT keep_certificate(%(operation_id)s, %(certificate)s) AS kept
