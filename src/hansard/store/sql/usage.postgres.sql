-- name: usage_find
SELECT u.tenant_id, u.session_id, u.event_id, u.provider, u.model, u.input_tokens,
    u.cached_tokens, u.cache_write_tokens, u.output_tokens, u.reasoning_tokens, u.cost_nanousd,
    u.model_asked, u.service_tier, u.parts, u.confidence, u.raw, u.price_version,
    u.recorded_at_us, u.receipt
FROM usage_entries AS u
JOIN unnest(
    :tenant_id::text[], :session_id::text[], :event_id::text[]
) AS r(
    tenant_id, session_id, event_id
)
    ON u.tenant_id = r.tenant_id AND u.session_id = r.session_id AND u.event_id = r.event_id;

-- name: usage_insert
INSERT INTO usage_entries (
    tenant_id, session_id, event_id, turn_id, kind, reverses, owner, agent, key_id, provider,
    model, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    cost_nanousd, model_asked, service_tier, parts, confidence, raw, price_version,
    recorded_at_us, receipt
)
SELECT tenant_id, session_id, event_id, turn_id, kind, reverses, owner, agent, key_id, provider,
    model, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    cost_nanousd, model_asked, service_tier, parts, confidence, raw, price_version,
    recorded_at_us, receipt
FROM unnest(
    :tenant_id::text[], :session_id::text[], :event_id::text[], :turn_id::text[], :kind::text[],
    :reverses::text[], :owner::text[], :agent::text[], :key_id::text[], :provider::text[],
    :model::text[], :input_tokens::bigint[], :cached_tokens::bigint[],
    :cache_write_tokens::bigint[], :output_tokens::bigint[], :reasoning_tokens::bigint[],
    :cost_nanousd::bigint[], :model_asked::text[], :service_tier::text[], :parts::text[],
    :confidence::text[], :raw::text[], :price_version::text[], :recorded_at_us::bigint[],
    :receipt::text[]
) AS r(
    tenant_id, session_id, event_id, turn_id, kind, reverses, owner, agent, key_id, provider,
    model, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    cost_nanousd, model_asked, service_tier, parts, confidence, raw, price_version,
    recorded_at_us, receipt
);

-- name: session_usage_add
INSERT INTO session_usage AS m (
    tenant_id, session_id, hour_us, provider, model, owner, agent, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
    unpriced_calls
)
SELECT tenant_id, session_id, hour_us, provider, model, owner, agent, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
    unpriced_calls
FROM unnest(
    :tenant_id::text[], :session_id::text[], :hour_us::bigint[], :provider::text[],
    :model::text[], :owner::text[], :agent::text[], :lane::integer[], :calls::bigint[],
    :input_tokens::bigint[], :cached_tokens::bigint[], :cache_write_tokens::bigint[],
    :output_tokens::bigint[], :reasoning_tokens::bigint[], :cost_nanousd::bigint[],
    :unpriced_calls::bigint[]
) AS r(
    tenant_id, session_id, hour_us, provider, model, owner, agent, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
    unpriced_calls
)
ON CONFLICT (tenant_id, session_id, hour_us, provider, model, owner, agent, lane)
DO UPDATE SET
    calls = m.calls + excluded.calls,
    input_tokens = m.input_tokens + excluded.input_tokens,
    cached_tokens = m.cached_tokens + excluded.cached_tokens,
    cache_write_tokens = m.cache_write_tokens + excluded.cache_write_tokens,
    output_tokens = m.output_tokens + excluded.output_tokens,
    reasoning_tokens = m.reasoning_tokens + excluded.reasoning_tokens,
    cost_nanousd = m.cost_nanousd + excluded.cost_nanousd,
    unpriced_calls = m.unpriced_calls + excluded.unpriced_calls;

-- name: hourly_usage_add
INSERT INTO hourly_usage AS m (
    tenant_id, hour_us, provider, model, owner, agent, key_id, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
    unpriced_calls
)
SELECT tenant_id, hour_us, provider, model, owner, agent, key_id, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
    unpriced_calls
FROM unnest(
    :tenant_id::text[], :hour_us::bigint[], :provider::text[], :model::text[], :owner::text[],
    :agent::text[], :key_id::text[], :lane::integer[], :calls::bigint[], :input_tokens::bigint[],
    :cached_tokens::bigint[], :cache_write_tokens::bigint[], :output_tokens::bigint[],
    :reasoning_tokens::bigint[], :cost_nanousd::bigint[], :unpriced_calls::bigint[]
) AS r(
    tenant_id, hour_us, provider, model, owner, agent, key_id, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
    unpriced_calls
)
ON CONFLICT (tenant_id, hour_us, provider, model, owner, agent, key_id, lane)
DO UPDATE SET
    calls = m.calls + excluded.calls,
    input_tokens = m.input_tokens + excluded.input_tokens,
    cached_tokens = m.cached_tokens + excluded.cached_tokens,
    cache_write_tokens = m.cache_write_tokens + excluded.cache_write_tokens,
    output_tokens = m.output_tokens + excluded.output_tokens,
    reasoning_tokens = m.reasoning_tokens + excluded.reasoning_tokens,
    cost_nanousd = m.cost_nanousd + excluded.cost_nanousd,
    unpriced_calls = m.unpriced_calls + excluded.unpriced_calls;
