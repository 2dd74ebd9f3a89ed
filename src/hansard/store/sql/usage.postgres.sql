-- name: usage_find
SELECT u.tenant_id, u.session_id, u.event_id, u.provider, u.model, u.input_tokens,
    u.cached_tokens, u.cache_write_tokens, u.output_tokens, u.reasoning_tokens, u.cost_nanousd,
    u.receipt
FROM usage_entries AS u
JOIN unnest(
    :tenant_id::text[], :session_id::text[], :event_id::text[]
) AS r(
    tenant_id, session_id, event_id
)
    ON u.tenant_id = r.tenant_id AND u.session_id = r.session_id AND u.event_id = r.event_id;

-- name: usage_insert
INSERT INTO usage_entries (
    tenant_id, session_id, event_id, turn_id, provider, model, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, recorded_at_us, receipt
)
SELECT tenant_id, session_id, event_id, turn_id, provider, model, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, recorded_at_us, receipt
FROM unnest(
    :tenant_id::text[], :session_id::text[], :event_id::text[], :turn_id::text[],
    :provider::text[], :model::text[], :input_tokens::bigint[], :cached_tokens::bigint[],
    :cache_write_tokens::bigint[], :output_tokens::bigint[], :reasoning_tokens::bigint[],
    :cost_nanousd::bigint[], :recorded_at_us::bigint[], :receipt::text[]
) AS r(
    tenant_id, session_id, event_id, turn_id, provider, model, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, recorded_at_us, receipt
);

-- name: model_usage_add
INSERT INTO model_usage AS m (
    tenant_id, session_id, provider, model, calls, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd
)
SELECT tenant_id, session_id, provider, model, calls, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd
FROM unnest(
    :tenant_id::text[], :session_id::text[], :provider::text[], :model::text[],
    :calls::bigint[], :input_tokens::bigint[], :cached_tokens::bigint[],
    :cache_write_tokens::bigint[], :output_tokens::bigint[], :reasoning_tokens::bigint[],
    :cost_nanousd::bigint[]
) AS r(
    tenant_id, session_id, provider, model, calls, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd
)
ON CONFLICT (tenant_id, session_id, provider, model) DO UPDATE SET
    calls = m.calls + excluded.calls,
    input_tokens = m.input_tokens + excluded.input_tokens,
    cached_tokens = m.cached_tokens + excluded.cached_tokens,
    cache_write_tokens = m.cache_write_tokens + excluded.cache_write_tokens,
    output_tokens = m.output_tokens + excluded.output_tokens,
    reasoning_tokens = m.reasoning_tokens + excluded.reasoning_tokens,
    cost_nanousd = m.cost_nanousd + excluded.cost_nanousd;
