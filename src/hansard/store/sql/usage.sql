-- name: usage_find
-- Usage entries that were recorded before, by their ids.
SELECT tenant_id, session_id, event_id, provider, model, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, receipt
FROM usage_entries
WHERE tenant_id = :tenant_id AND session_id = :session_id AND event_id = :event_id;

-- name: usage_insert
-- New usage entries.
INSERT INTO usage_entries (
    tenant_id, session_id, event_id, turn_id, provider, model, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, recorded_at_us, receipt
) VALUES (
    :tenant_id, :session_id, :event_id, :turn_id, :provider, :model, :input_tokens,
    :cached_tokens, :cache_write_tokens, :output_tokens, :reasoning_tokens, :cost_nanousd,
    :recorded_at_us, :receipt
);

-- name: usage_list
-- A session's usage entries after one of them, by id.
SELECT event_id, provider, model, input_tokens, cached_tokens, cache_write_tokens,
    output_tokens, reasoning_tokens, cost_nanousd, turn_id, recorded_at_us
FROM usage_entries
WHERE tenant_id = :tenant_id AND session_id = :session_id AND event_id > :after
ORDER BY event_id
LIMIT :limit;

-- name: model_usage_add
-- Add to a session's sums by model.
INSERT INTO model_usage AS m (
    tenant_id, session_id, provider, model, calls, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd
) VALUES (
    :tenant_id, :session_id, :provider, :model, :calls, :input_tokens, :cached_tokens,
    :cache_write_tokens, :output_tokens, :reasoning_tokens, :cost_nanousd
)
ON CONFLICT (tenant_id, session_id, provider, model) DO UPDATE SET
    calls = m.calls + excluded.calls,
    input_tokens = m.input_tokens + excluded.input_tokens,
    cached_tokens = m.cached_tokens + excluded.cached_tokens,
    cache_write_tokens = m.cache_write_tokens + excluded.cache_write_tokens,
    output_tokens = m.output_tokens + excluded.output_tokens,
    reasoning_tokens = m.reasoning_tokens + excluded.reasoning_tokens,
    cost_nanousd = m.cost_nanousd + excluded.cost_nanousd;

-- name: model_usage_list
-- A session's sums by model.
SELECT provider, model, calls, input_tokens, cached_tokens, cache_write_tokens,
    output_tokens, reasoning_tokens, cost_nanousd
FROM model_usage
WHERE tenant_id = :tenant_id AND session_id = :session_id
ORDER BY provider, model;
