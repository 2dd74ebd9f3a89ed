-- name: event_insert
-- What changed, numbered by the version that the change made.
INSERT INTO events (
    tenant_id, session_id, number, kind, turn_id, first_seq, last_seq, message_count,
    created_at_us
) VALUES (
    :tenant_id, :session_id, :number, :kind, :turn_id, :first_seq, :last_seq,
    :message_count, :created_at_us
);

-- name: event_list
-- A session's events after a number.
SELECT number, kind, turn_id, first_seq, last_seq, message_count, created_at_us FROM events
WHERE tenant_id = :tenant_id AND session_id = :session_id AND number > :after
ORDER BY number
LIMIT :limit;
