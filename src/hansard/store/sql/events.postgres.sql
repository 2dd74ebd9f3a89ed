-- name: event_insert
INSERT INTO events (
    tenant_id, session_id, number, kind, turn_id, first_seq, last_seq, message_count,
    created_at_us
)
SELECT tenant_id, session_id, number, kind, turn_id, first_seq, last_seq, message_count,
    created_at_us
FROM unnest(
    :tenant_id::text[], :session_id::text[], :number::bigint[], :kind::text[],
    :turn_id::text[], :first_seq::bigint[], :last_seq::bigint[], :message_count::bigint[],
    :created_at_us::bigint[]
) AS r(
    tenant_id, session_id, number, kind, turn_id, first_seq, last_seq, message_count,
    created_at_us
);
