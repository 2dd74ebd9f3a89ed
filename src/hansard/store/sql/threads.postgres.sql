-- name: thread_lock
SELECT t.tenant_id, t.thread_id, t.owner, t.seq, t.turn_count, t.turn_id, t.latest_turn_id,
    t.latest_status, t.fence, t.updated_at_us
FROM threads AS t
JOIN unnest(:tenant_id::text[], :thread_id::text[]) AS r(tenant_id, thread_id)
    ON t.tenant_id = r.tenant_id AND t.thread_id = r.thread_id
ORDER BY t.tenant_id, t.thread_id
FOR NO KEY UPDATE OF t;

-- name: thread_lock_free
SELECT t.tenant_id, t.thread_id, t.owner, t.seq, t.turn_count, t.turn_id, t.latest_turn_id,
    t.latest_status, t.fence, t.updated_at_us
FROM threads AS t
JOIN unnest(:tenant_id::text[], :thread_id::text[]) AS r(tenant_id, thread_id)
    ON t.tenant_id = r.tenant_id AND t.thread_id = r.thread_id
ORDER BY t.tenant_id, t.thread_id
FOR NO KEY UPDATE OF t SKIP LOCKED;

-- name: thread_advance
UPDATE threads AS t SET seq = r.seq, turn_count = r.turn_count, turn_id = r.turn_id,
    latest_turn_id = r.latest_turn_id, latest_status = r.latest_status,
    updated_at_us = r.updated_at_us
FROM unnest(
    :seq::bigint[], :turn_count::bigint[], :turn_id::text[], :latest_turn_id::text[],
    :latest_status::text[], :updated_at_us::bigint[], :tenant_id::text[], :thread_id::text[]
) AS r(
    seq, turn_count, turn_id, latest_turn_id, latest_status, updated_at_us, tenant_id, thread_id
)
WHERE t.tenant_id = r.tenant_id AND t.thread_id = r.thread_id;

-- name: thread_context_put
UPDATE threads AS t SET context = r.context
FROM unnest(:context::text[], :tenant_id::text[], :thread_id::text[]) AS r(
    context, tenant_id, thread_id
)
WHERE t.tenant_id = r.tenant_id AND t.thread_id = r.thread_id;

-- name: thread_turn_end
UPDATE thread_turns AS t SET status = r.status, error = r.error, usage = r.usage,
    steer_count = r.steer_count, ended_at_us = r.ended_at_us
FROM unnest(
    :status::text[], :error::text[], :usage::text[], :steer_count::bigint[],
    :ended_at_us::bigint[], :tenant_id::text[], :thread_id::text[], :turn_id::text[]
) AS r(status, error, usage, steer_count, ended_at_us, tenant_id, thread_id, turn_id)
WHERE t.tenant_id = r.tenant_id AND t.thread_id = r.thread_id AND t.turn_id = r.turn_id;

-- name: thread_event_insert
INSERT INTO thread_events (
    tenant_id, thread_id, seq, kind, turn_id, item_id, payload, created_at_us
)
SELECT tenant_id, thread_id, seq, kind, turn_id, item_id, payload, created_at_us
FROM unnest(
    :tenant_id::text[], :thread_id::text[], :seq::bigint[], :kind::text[], :turn_id::text[],
    :item_id::text[], :payload::text[], :created_at_us::bigint[]
) AS r(tenant_id, thread_id, seq, kind, turn_id, item_id, payload, created_at_us);

-- name: thread_renew
UPDATE threads AS t SET lease_until_us = r.lease_until_us
FROM unnest(
    :lease_until_us::bigint[], :tenant_id::text[], :thread_id::text[], :holder::text[],
    :fence::bigint[]
) AS r(lease_until_us, tenant_id, thread_id, holder, fence)
WHERE t.tenant_id = r.tenant_id AND t.thread_id = r.thread_id AND t.holder = r.holder
    AND t.fence = r.fence
RETURNING t.tenant_id, t.thread_id;
