-- The parts of a filter's predicate. {braces} are filled with columns, operators and other parts of ours, never with a
-- caller's text; %(parameters)s get a name of their own for each comparison.
--
-- An attribute that is an array contains (`@>`) a value that is one of its elements, and one that isn't contains what it
-- equals. A jsonpath compares the value or any element of a list; with another type that is unknown, and no match. Versions
-- in which something equals, where chunks have a say, are found by two indexes (in_document_or_chunk).


-- name: column_equal
{x} = ANY (%(values)s::{type}[])


-- name: column_ordered
{x} {operator} %(low)s::{type}


-- name: column_between
{x} BETWEEN %(low)s::{type} AND %(high)s::{type}


-- name: column_contains
strpos({x}, %(low)s::text) > 0


-- name: column_prefix
{x} ^@ %(low)s::text


-- name: column_exists
{x} IS NOT NULL


-- name: texts_equal
{x} && %(values)s::text[]


-- name: texts_any
EXISTS (SELECT FROM unnest({x}) AS e (text) WHERE {inner})


-- name: texts_exists
cardinality({x}) > 0


-- name: json_equal
{x} @> ANY (%(values)s::text[]::jsonb[])


-- name: json_shaped
{attributes} @> ANY (%(shapes)s::text[]::jsonb[])


-- name: json_path
jsonb_path_exists({x}, '{path}', %(vars)s::text::jsonb, true)


-- name: json_time
CASE jsonb_typeof({x})
        WHEN 'string' THEN {single}
        WHEN 'array' THEN EXISTS (SELECT FROM jsonb_array_elements({x}) AS e (value) WHERE jsonb_typeof(e.value) = 'string' AND {element})
        ELSE false END


-- name: json_contains
CASE jsonb_typeof({x})
        WHEN 'string' THEN strpos({x} #>> '{{}}', %(low)s::text) > 0
        WHEN 'array' THEN {x} @> ANY (%(values)s::text[]::jsonb[])
        ELSE false END


-- name: json_exists
{x} <> 'null'::jsonb


-- name: path_number
$[*] ? (@.type() == "number" && ({condition}) || @.type() == "string" && @ like_regex "^-?[0-9]{{1,40}}(\\.[0-9]{{1,40}})?$" && ({spelled}))


-- name: path_text
$[*] ? (@.type() == "string" && ({condition}))


-- name: of_record_row
(SELECT {condition} FROM record r WHERE r.id = v.record_id)


-- name: of_record_candidate
v.record_id IN (SELECT r.id FROM record r WHERE r.collection_id = %(collection_id)s AND r.kind = 'document' AND {condition})


-- name: of_operation_row
(SELECT {condition} FROM operation o WHERE o.id = v.operation_id)


-- name: of_operation_candidate
v.operation_id IN (SELECT o.id FROM operation o WHERE {condition})


-- name: in_document_or_chunk
v.version_id IN (
        SELECT x.version_id FROM document_version x WHERE x.attributes @> ANY (%(shapes)s::text[]::jsonb[])
        UNION ALL
        SELECT x.version_id FROM chunk x WHERE {facets} <> '{{}}' AND {facets} @> ANY (%(shapes)s::text[]::jsonb[]))


-- name: in_chunk_types
-- Of the partial index, which the second condition names.
v.version_id IN (SELECT x.version_id FROM chunk x WHERE x.chunk_type = ANY (%(values)s::text[]) AND x.chunk_type <> 'text')


-- name: in_chunk_headers
v.version_id IN (SELECT x.version_id FROM chunk x WHERE x.parent_headers && %(values)s::text[])


-- name: chunk_keys
-- Those of these keys that any chunk has an attribute of.
SELECT k.key FROM unnest(%(keys)s::text[]) AS k (key) WHERE EXISTS (SELECT FROM chunk_attribute a WHERE a.key = k.key)
