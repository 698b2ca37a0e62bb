-- What one step leaves for another.

-- name: listed_origins
-- Origins listed to their end, without those where a batch couldn't tell what is gone.
SELECT origin FROM batch b, jsonb_array_elements_text(b.counts -> 'origins') AS origin
WHERE b.operation_id = %(operation_id)s AND b.key = 'listing' AND b.state = 'done'
EXCEPT
SELECT origin FROM batch b, jsonb_array_elements_text(b.counts -> 'unsettled') AS origin
WHERE b.operation_id = %(operation_id)s AND b.state = 'done'
ORDER BY origin
