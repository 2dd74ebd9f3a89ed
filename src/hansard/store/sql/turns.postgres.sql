-- name: turn_find
SELECT t.tenant_id, t.session_id, t.turn_id, t.content_hash, t.receipt
FROM turns AS t
JOIN unnest(
    :tenant_id::text[], :session_id::text[], :turn_id::text[]
) AS r(
    tenant_id, session_id, turn_id
)
    ON t.tenant_id = r.tenant_id AND t.session_id = r.session_id AND t.turn_id = r.turn_id;

-- name: turn_insert
INSERT INTO turns (
    tenant_id, session_id, turn_id, status, content_hash, first_seq, last_seq, receipt,
    created_at_us
)
SELECT tenant_id, session_id, turn_id, status, content_hash, first_seq,
    last_seq, receipt, created_at_us
FROM unnest(
    :tenant_id::text[], :session_id::text[], :turn_id::text[], :status::text[],
    :content_hash::bytea[], :first_seq::bigint[], :last_seq::bigint[], :receipt::text[],
    :created_at_us::bigint[]
) AS r(
    tenant_id, session_id, turn_id, status, content_hash, first_seq, last_seq, receipt,
    created_at_us
);

-- name: turn_cut
UPDATE turns SET
    last_seq = CASE WHEN first_seq < :first THEN :first::bigint - 1 END,
    first_seq = CASE WHEN first_seq < :first THEN first_seq END
WHERE tenant_id = :tenant_id AND session_id = :session_id AND last_seq >= :first;
