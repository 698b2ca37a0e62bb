-- Evidence, and the plans that were made of it.

-- name: undecided_failures
-- Of these failing versions and expectations, what no person has decided about.
SELECT u.version_id, u.expectation FROM unnest(%(versions)s::bigint[], %(expectations)s::text[]) AS u (version_id, expectation)
WHERE NOT EXISTS (SELECT FROM decided_evidence d WHERE d.version_id = u.version_id AND d.expectation = u.expectation)

-- name: feedback_since
-- Feedback published after a position that counts: it is seen, and so is what it is about. By document and giver.
SELECT f.target_operation_id AS operation_id, f.target_record_id AS record_id, f.target_version_id, r.key AS source, f.verdict, f.given_by,
       array_agg(f.version_id ORDER BY f.version_id) AS versions
FROM operation o
JOIN collection c ON c.id = o.collection_id AND c.name = %(collection)s
JOIN seen_version said ON said.operation_id = o.id AND NOT said.tombstone AND said.payload = 'kept'
JOIN feedback f ON f.version_id = said.version_id
JOIN record r ON r.id = f.target_record_id
JOIN LATERAL (
  SELECT v.version_id, v.payload FROM seen_version v WHERE v.record_id = f.target_record_id ORDER BY v.version_id DESC LIMIT 1
) head ON head.version_id = f.target_version_id AND head.payload = 'kept'
WHERE o.position > %(after)s AND o.kind = 'feedback'
  AND NOT EXISTS (SELECT FROM decided_evidence d WHERE d.version_id = f.version_id)
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 1, 4, 5, 6

-- name: count_documents
-- How many documents each of these operations wrote.
SELECT v.operation_id, count(*) AS documents FROM version v JOIN record r ON r.id = v.record_id AND r.kind = 'document'
WHERE v.operation_id = ANY (%(operations)s::bigint[]) AND NOT v.tombstone GROUP BY v.operation_id

-- name: lock_proposals
SELECT lock_proposals()

-- name: live_proposals
-- Those about an operation that can still be decided.
SELECT * FROM (
  SELECT p.plan_id::text, plan_life(r) AS state, r.selector, p.quarantined_as FROM proposal p JOIN rollback_plan r ON r.id = p.plan_id
  WHERE p.operation_id = %(operation_id)s ORDER BY r.created_at DESC
) live WHERE state IN ('open', 'approved')

-- name: waiting_proposals
SELECT p.plan_id::text, p.operation_id, r.agent, p.evidence
FROM proposal p JOIN rollback_plan r ON r.id = p.plan_id
JOIN operation o ON o.id = p.operation_id JOIN collection c ON c.id = o.collection_id
WHERE plan_life(r) = 'open' AND c.name = %(collection)s ORDER BY r.created_at, p.plan_id

-- name: unanswered_quarantines
-- What is hidden because of a proposal that has expired since, undecided: nobody would find it, so it is asked again.
SELECT p.plan_id::text, p.operation_id, p.evidence, r.selector, p.quarantined_as, e.versions, e.expectations
FROM proposal p JOIN rollback_plan r ON r.id = p.plan_id JOIN operation q ON q.id = p.quarantined_as
JOIN operation o ON o.id = p.operation_id JOIN collection c ON c.id = o.collection_id
JOIN LATERAL (SELECT array_agg(x.version_id) AS versions, array_agg(x.expectation) AS expectations
              FROM proposal_evidence x WHERE x.plan_id = p.plan_id) e ON true
WHERE plan_life(r) = 'expired' AND q.visible AND c.name = %(collection)s
  AND NOT EXISTS (SELECT FROM proposal n WHERE n.replaces = p.plan_id)
ORDER BY p.operation_id

-- name: abort_plan
SELECT abort_plan(%(plan_id)s, %(by)s, %(reason)s) AS aborted

-- name: store_proposal
SELECT store_proposal(%(plan_id)s, %(operation_id)s, %(evidence)s, %(replaces)s, %(quarantined_as)s, %(versions)s::bigint[], %(expectations)s::text[])

-- name: proposal_of
SELECT p.plan_id::text, p.operation_id, p.evidence, p.replaces::text, p.quarantined_as, r.selector, r.policy, plan_life(r) AS state
FROM proposal p JOIN rollback_plan r ON r.id = p.plan_id WHERE p.plan_id = %(plan_id)s

-- name: written_of
-- Which of these operations wrote which of these documents.
SELECT operation_id, record_id FROM version WHERE operation_id = ANY (%(operations)s::bigint[]) AND record_id = ANY (%(records)s::bigint[])
