-- Views in DuckDB's SQL over the tables of a Parquet export; days are UTC's. Each says in its first comment which table it
-- needs.

-- name: growth
-- needs: operations
-- By day: what was written, what of it was taken back since, and what had come together by then of what still stands.
SELECT day, operations, documents, chunks, withdrawn_chunks,
       sum(chunks - withdrawn_chunks) OVER (ORDER BY day ROWS UNBOUNDED PRECEDING)::BIGINT AS standing_chunks
FROM (
  SELECT (published_at AT TIME ZONE 'UTC')::DATE AS day, count(*) AS operations, coalesce(sum(documents), 0)::BIGINT AS documents,
         coalesce(sum(chunks), 0)::BIGINT AS chunks, coalesce(sum(chunks) FILTER (state <> 'published'), 0)::BIGINT AS withdrawn_chunks
  FROM operations GROUP BY day)
ORDER BY day

-- name: operations_by_agent
-- needs: operations
-- Who wrote how much, and how much of it was taken back or set aside.
SELECT agent, count(*) AS operations, count(*) FILTER (state = 'reverted') AS reverted, count(*) FILTER (state = 'quarantined') AS quarantined,
       coalesce(sum(documents), 0)::BIGINT AS documents, coalesce(sum(chunks), 0)::BIGINT AS chunks, coalesce(sum(rejected), 0)::BIGINT AS rejected,
       max(published_at) AS last_at
FROM operations GROUP BY agent ORDER BY operations DESC, agent

-- name: operations_by_kind
-- needs: operations
-- What happened, by kind.
SELECT kind, count(*) AS operations, count(*) FILTER (state <> 'published') AS withdrawn, min(published_at) AS first_at, max(published_at) AS last_at
FROM operations GROUP BY kind ORDER BY operations DESC, kind

-- name: rejects_by_day
-- needs: operations
-- Of the documents that ingests were given and had not seen so before, those that they left out.
SELECT (published_at AT TIME ZONE 'UTC')::DATE AS day, coalesce(sum(documents), 0)::BIGINT AS written, coalesce(sum(rejected), 0)::BIGINT AS rejected,
       coalesce(round(sum(rejected) / nullif(sum(coalesce(documents, 0) + coalesce(rejected, 0)), 0), 4), 0) AS share
FROM operations WHERE kind = 'ingest' GROUP BY day ORDER BY day

-- name: rollbacks
-- needs: operations
-- What was taken back, set aside, brought back or destroyed, by whom, and whether that still holds.
SELECT position, kind, agent, message, state, published_at
FROM operations WHERE kind IN ('rollback', 'redo', 'quarantine', 'release', 'restore', 'erase') ORDER BY position

-- name: rejects_by_code
-- needs: rejections
-- Why documents were left out.
SELECT code, count(*) AS rejections, count(DISTINCT source) AS sources, max(published_at) AS last_at
FROM rejections GROUP BY code ORDER BY rejections DESC, code

-- name: checks_by_day
-- needs: checks
-- What the quality gate found: by day and expectation, the share of what it looked at that failed.
SELECT (published_at AT TIME ZONE 'UTC')::DATE AS day, expectation, severity, sum(checked)::BIGINT AS checked, sum(unexpected)::BIGINT AS unexpected,
       coalesce(round(sum(unexpected) / nullif(sum(checked), 0), 4), 0) AS share
FROM checks GROUP BY day, expectation, severity ORDER BY day, expectation

-- name: feedback_by_day
-- needs: feedback
-- What readers said, of what is still seen.
SELECT (given_at AT TIME ZONE 'UTC')::DATE AS day, count(*) FILTER (verdict = 'helpful') AS helpful,
       count(*) FILTER (verdict = 'outdated') AS outdated, count(*) FILTER (verdict = 'incorrect') AS incorrect,
       count(*) FILTER (verdict = 'confusing') AS confusing, count(*) FILTER (verdict = 'duplicate') AS duplicate
FROM feedback WHERE counts GROUP BY day ORDER BY day

-- name: feedback_by_document
-- needs: feedback
-- The documents that readers spoke of most, the least helpful first.
SELECT collection, source, count(*) AS verdicts, count(*) FILTER (verdict = 'helpful') AS helpful,
       count(*) FILTER (verdict <> 'helpful') AS negative, count(DISTINCT given_by) AS readers
FROM feedback WHERE counts GROUP BY collection, source ORDER BY negative DESC, helpful, source

-- name: access_by_day
-- needs: searches
-- Searches inside sessions, and what they showed.
SELECT (searched_at AT TIME ZONE 'UTC')::DATE AS day, count(*) AS searches, count(DISTINCT session) AS sessions,
       count(DISTINCT agent) AS agents, sum(hits)::BIGINT AS passages
FROM searches GROUP BY day ORDER BY day

-- name: quality_by_score
-- needs: scores
-- How many chunks have which quality, in steps of ten, and what moved it on average; neutral ones, of 50, are left out.
SELECT least(floor(score / 10) * 10, 90)::INTEGER AS score_from, count(*) AS chunks, round(avg(feedback), 1) AS feedback,
       round(avg(access), 1) AS access, round(avg(freshness), 1) AS freshness, count(*) FILTER (pinned) AS pinned
FROM scores GROUP BY score_from ORDER BY score_from

-- name: documents_by_format
-- needs: documents
-- What is seen, by format.
SELECT collection, format, count(*) AS documents, sum(chunk_count)::BIGINT AS chunks, sum(token_count)::BIGINT AS tokens
FROM documents GROUP BY collection, format ORDER BY documents DESC, collection, format
