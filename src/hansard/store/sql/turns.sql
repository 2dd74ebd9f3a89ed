-- name: turn_find
-- Turns that were recorded before, by their ids.
SELECT tenant_id, session_id, turn_id, content_hash, receipt FROM turns
WHERE tenant_id = :tenant_id AND session_id = :session_id AND turn_id = :turn_id;

-- name: turn_insert
-- New turns.
INSERT INTO turns (
    tenant_id, session_id, turn_id, status, content_hash, first_seq, last_seq, receipt,
    created_at_us
) VALUES (
    :tenant_id, :session_id, :turn_id, :status, :content_hash, :first_seq, :last_seq,
    :receipt, :created_at_us
);

-- name: turn_list
-- A session's turns in the order of their recording, which its events hold.
SELECT t.turn_id, t.status, t.first_seq, t.last_seq, t.receipt, t.created_at_us, e.number,
    t.content_hash
FROM events AS e
JOIN turns AS t ON t.tenant_id = e.tenant_id AND t.session_id = e.session_id
    AND t.turn_id = e.turn_id
WHERE e.tenant_id = :tenant_id AND e.session_id = :session_id AND e.number > :after
    AND e.kind = 'turn.recorded'
ORDER BY e.number
LIMIT :limit;

-- name: turn_cut
-- Turns no longer claim messages that were cut.
UPDATE turns SET
    last_seq = CASE WHEN first_seq < :first THEN :first - 1 END,
    first_seq = CASE WHEN first_seq < :first THEN first_seq END
WHERE tenant_id = :tenant_id AND session_id = :session_id AND last_seq >= :first;
