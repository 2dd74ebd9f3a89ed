-- name: message_insert
INSERT INTO messages (
    tenant_id, session_id, seq, message_id, turn_id, role, body, digest, created_at_us
)
SELECT tenant_id, session_id, seq, message_id, turn_id, role, body, digest,
    created_at_us
FROM unnest(
    :tenant_id::text[], :session_id::text[], :seq::bigint[], :message_id::text[],
    :turn_id::text[], :role::text[], :body::text[], :digest::bytea[],
    :created_at_us::bigint[]
) AS r(
    tenant_id, session_id, seq, message_id, turn_id, role, body, digest, created_at_us
);

-- name: message_copy
INSERT INTO messages (
    tenant_id, session_id, seq, message_id, turn_id, role, body, digest, created_at_us
)
SELECT tenant_id, :to_session_id::text, seq, message_id, turn_id, role, body, digest,
    created_at_us
FROM messages
WHERE tenant_id = :tenant_id AND session_id = :session_id
    AND seq >= :first AND seq < :count;
