-- name: message_insert
INSERT INTO messages (
    tenant_id, session_id, seq, message_id, turn_id, role, body, digest, created_at_us
)
SELECT tenant_id, session_id, seq, message_id, turn_id, role, body, decode(digest, 'hex'),
    created_at_us
FROM json_to_recordset(:rows) AS r(
    tenant_id text, session_id text, seq bigint, message_id text, turn_id text, role text,
    body text, digest text, created_at_us bigint
);

-- name: message_copy
INSERT INTO messages (
    tenant_id, session_id, seq, message_id, turn_id, role, body, digest, created_at_us
)
SELECT tenant_id, :to_session_id::text, seq, message_id, turn_id, role, body, digest,
    created_at_us
FROM messages
WHERE tenant_id = :tenant_id AND session_id = :session_id AND seq < :count;
