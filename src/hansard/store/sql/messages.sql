-- name: message_insert
-- New messages.
INSERT INTO messages (
    tenant_id, session_id, seq, message_id, turn_id, role, body, digest, created_at_us
) VALUES (
    :tenant_id, :session_id, :seq, :message_id, :turn_id, :role, :body, :digest,
    :created_at_us
);

-- name: message_list
-- Messages between two positions, both exclusive.
SELECT seq, message_id, turn_id, role, body, created_at_us, digest FROM messages
WHERE tenant_id = :tenant_id AND session_id = :session_id
AND seq > :after -- if after
AND seq < :before -- if before
ORDER BY seq -- if ascending
ORDER BY seq DESC -- if descending
LIMIT :limit;

-- name: message_texts
-- The message objects from a position on.
SELECT body FROM messages
WHERE tenant_id = :tenant_id AND session_id = :session_id AND seq >= :first
ORDER BY seq;

-- name: message_digest
-- Digest of the history up to a message.
SELECT digest FROM messages
WHERE tenant_id = :tenant_id AND session_id = :session_id AND seq = :seq;

-- name: message_copy
-- Messages of a session, for another one.
INSERT INTO messages (
    tenant_id, session_id, seq, message_id, turn_id, role, body, digest, created_at_us
)
SELECT tenant_id, :to_session_id, seq, message_id, turn_id, role, body, digest, created_at_us
FROM messages
WHERE tenant_id = :tenant_id AND session_id = :session_id
    AND seq >= :first AND seq < :count;

-- name: message_cut
-- All messages from a position on.
DELETE FROM messages
WHERE tenant_id = :tenant_id AND session_id = :session_id AND seq >= :first;
