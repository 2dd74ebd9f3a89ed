-- name: session_lock
SELECT s.tenant_id, s.session_id, s.owner, s.agent, s.version, s.message_count, s.turn_count,
    s.calls, s.input_tokens, s.cached_tokens, s.cache_write_tokens, s.output_tokens,
    s.reasoning_tokens, s.cost_nanousd, s.unpriced_calls, s.digest, s.updated_at_us
FROM sessions AS s
JOIN unnest(:tenant_id::text[], :session_id::text[]) AS r(tenant_id, session_id)
    ON s.tenant_id = r.tenant_id AND s.session_id = r.session_id
ORDER BY s.tenant_id, s.session_id
FOR NO KEY UPDATE OF s;

-- name: session_lock_free
SELECT s.tenant_id, s.session_id, s.owner, s.agent, s.version, s.message_count, s.turn_count,
    s.calls, s.input_tokens, s.cached_tokens, s.cache_write_tokens, s.output_tokens,
    s.reasoning_tokens, s.cost_nanousd, s.unpriced_calls, s.digest, s.updated_at_us
FROM sessions AS s
JOIN unnest(:tenant_id::text[], :session_id::text[]) AS r(tenant_id, session_id)
    ON s.tenant_id = r.tenant_id AND s.session_id = r.session_id
ORDER BY s.tenant_id, s.session_id
FOR NO KEY UPDATE OF s SKIP LOCKED;

-- name: session_advance
UPDATE sessions AS s SET version = r.version, message_count = r.message_count,
    turn_count = r.turn_count, calls = r.calls, input_tokens = r.input_tokens,
    cached_tokens = r.cached_tokens, cache_write_tokens = r.cache_write_tokens,
    output_tokens = r.output_tokens, reasoning_tokens = r.reasoning_tokens,
    cost_nanousd = r.cost_nanousd, unpriced_calls = r.unpriced_calls, digest = r.digest,
    updated_at_us = r.updated_at_us
FROM unnest(
    :version::bigint[], :message_count::bigint[], :turn_count::bigint[], :calls::bigint[],
    :input_tokens::bigint[], :cached_tokens::bigint[], :cache_write_tokens::bigint[],
    :output_tokens::bigint[], :reasoning_tokens::bigint[], :cost_nanousd::bigint[],
    :unpriced_calls::bigint[], :digest::bytea[], :updated_at_us::bigint[],
    :tenant_id::text[], :session_id::text[]
) AS r(
    version, message_count, turn_count, calls, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, unpriced_calls,
    digest, updated_at_us, tenant_id, session_id
)
WHERE s.tenant_id = r.tenant_id AND s.session_id = r.session_id;

-- name: cost_data_find
SELECT d.tenant_id, d.session_id, d.cost_data FROM session_details AS d
JOIN unnest(:tenant_id::text[], :session_id::text[]) AS r(tenant_id, session_id)
    ON d.tenant_id = r.tenant_id AND d.session_id = r.session_id;

-- name: cost_data_put
UPDATE session_details AS d SET cost_data = r.cost_data
FROM unnest(:cost_data::text[], :tenant_id::text[], :session_id::text[]) AS r(
    cost_data, tenant_id, session_id
)
WHERE d.tenant_id = r.tenant_id AND d.session_id = r.session_id;
