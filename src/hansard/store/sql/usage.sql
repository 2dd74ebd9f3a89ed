-- name: usage_find
-- Usage entries that were recorded before, by their ids.
SELECT tenant_id, session_id, event_id, provider, model, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, model_asked, service_tier,
    parts, confidence, raw, price_version, recorded_at_us, receipt
FROM usage_entries
WHERE tenant_id = :tenant_id AND session_id = :session_id AND event_id = :event_id;

-- name: usage_insert
-- New usage entries.
INSERT INTO usage_entries (
    tenant_id, session_id, event_id, turn_id, kind, reverses, owner, agent, key_id, provider,
    model, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    cost_nanousd, model_asked, service_tier, parts, confidence, raw, price_version,
    recorded_at_us, receipt
) VALUES (
    :tenant_id, :session_id, :event_id, :turn_id, :kind, :reverses, :owner, :agent, :key_id,
    :provider, :model, :input_tokens, :cached_tokens, :cache_write_tokens, :output_tokens,
    :reasoning_tokens, :cost_nanousd, :model_asked, :service_tier, :parts, :confidence, :raw,
    :price_version, :recorded_at_us, :receipt
);

-- name: usage_list
-- A session's usage entries after one of them, by id.
SELECT event_id, provider, model, input_tokens, cached_tokens, cache_write_tokens,
    output_tokens, reasoning_tokens, cost_nanousd, model_asked, service_tier, parts, confidence,
    raw, price_version, turn_id, recorded_at_us, reverses, key_id
FROM usage_entries
WHERE tenant_id = :tenant_id AND session_id = :session_id AND event_id > :after
ORDER BY event_id
LIMIT :limit;

-- name: usage_get
-- One entry that is no import, and takes none back.
SELECT owner, agent, session_id, event_id, provider, model, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, model_asked, service_tier,
    parts, confidence, raw, price_version, turn_id, recorded_at_us, reverses, key_id
FROM usage_entries
WHERE tenant_id = :tenant_id AND session_id = :session_id AND event_id = :event_id
    AND kind = 'call' AND reverses IS NULL;

-- name: usage_get_anywhere
-- The same, of a session that may have been deleted since, or of none.
SELECT owner, agent, session_id, event_id, provider, model, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, model_asked, service_tier,
    parts, confidence, raw, price_version, turn_id, recorded_at_us, reverses, key_id
FROM usage_entries
WHERE tenant_id = :tenant_id AND event_id = :event_id AND kind = 'call' AND reverses IS NULL
    AND (
        session_id IN ('', :session_id)
        OR (session_id > :session_id || '~' AND session_id < :session_id || '~~')
    );

-- name: usage_find_unfounded
-- A session's entries that take back what is not there, or not as it is.
SELECT r.event_id FROM usage_entries AS r
LEFT JOIN usage_entries AS o ON o.tenant_id = r.tenant_id AND o.session_id = r.session_id
    AND o.event_id = r.reverses AND o.reverses IS NULL
    AND o.recorded_at_us = r.recorded_at_us AND o.provider = r.provider AND o.model = r.model
    AND o.input_tokens = -r.input_tokens AND o.cached_tokens = -r.cached_tokens
    AND o.cache_write_tokens = -r.cache_write_tokens AND o.output_tokens = -r.output_tokens
    AND o.reasoning_tokens = -r.reasoning_tokens
    AND coalesce(o.cost_nanousd, -1) = coalesce(-r.cost_nanousd, -1)
WHERE r.tenant_id = :tenant_id AND r.session_id = :session_id AND r.reverses IS NOT NULL
    AND o.event_id IS NULL
LIMIT 1;

-- name: usage_bury
-- Entries of a session that is deleted: they stay, under a name that no session can have.
UPDATE usage_entries SET session_id = :tombstone
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_usage_bury
-- Their sums too.
UPDATE session_usage SET session_id = :tombstone
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_usage_add
-- Add to sums by session and hour.
INSERT INTO session_usage AS m (
    tenant_id, session_id, hour_us, provider, model, owner, agent, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
    unpriced_calls
) VALUES (
    :tenant_id, :session_id, :hour_us, :provider, :model, :owner, :agent, :lane, :calls,
    :input_tokens, :cached_tokens, :cache_write_tokens, :output_tokens, :reasoning_tokens,
    :cost_nanousd, :unpriced_calls
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
-- Add to a tenant's sums by hour.
INSERT INTO hourly_usage AS m (
    tenant_id, hour_us, provider, model, owner, agent, key_id, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
    unpriced_calls
) VALUES (
    :tenant_id, :hour_us, :provider, :model, :owner, :agent, :key_id, :lane, :calls,
    :input_tokens, :cached_tokens, :cache_write_tokens, :output_tokens, :reasoning_tokens,
    :cost_nanousd, :unpriced_calls
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

-- name: model_usage_list
-- A session's sums by model.
SELECT provider, model, CAST(sum(calls) AS bigint), CAST(sum(input_tokens) AS bigint),
    CAST(sum(cached_tokens) AS bigint), CAST(sum(cache_write_tokens) AS bigint),
    CAST(sum(output_tokens) AS bigint), CAST(sum(reasoning_tokens) AS bigint),
    CAST(sum(cost_nanousd) AS bigint), CAST(sum(unpriced_calls) AS bigint)
FROM session_usage
WHERE tenant_id = :tenant_id AND session_id = :session_id
GROUP BY provider, model
ORDER BY provider, model;
