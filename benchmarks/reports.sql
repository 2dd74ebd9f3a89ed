-- Entries of deleted sessions, in the order of their key, and the sums of them.
INSERT INTO usage_entries (
    tenant_id, session_id, event_id, kind, owner, agent, provider, model, model_asked,
    service_tier, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
    reasoning_tokens, cost_nanousd, price_version, confidence, recorded_at_us
)
SELECT 'default', 'session-' || (10000000 + i / {calls}) || '~deleted', 'call-' || (100 + i % {calls}),
    'call', 'owner-' || (i / {calls} % {owners}), 'local/agent', 'provider',
    'model-' || (i % {models}), '', '', 1200 + i % 1000, 800, 0, 180 + i % 100, 0, {cost}, 'table',
    'provider_usage', {begin} + i / {calls} * {step} + i % {calls} * {pause}
FROM ({numbers}) AS numbers;

INSERT INTO session_usage (
    tenant_id, session_id, hour_us, provider, model, owner, agent, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
    unpriced_calls
)
SELECT tenant_id, session_id, recorded_at_us - recorded_at_us % 3600000000, provider, model,
    owner, agent, 1, count(*), sum(input_tokens), sum(cached_tokens), sum(cache_write_tokens),
    sum(output_tokens), sum(reasoning_tokens), sum(cost_nanousd), 0
FROM usage_entries
GROUP BY 1, 2, 3, 4, 5, 6, 7;

INSERT INTO hourly_usage (
    tenant_id, hour_us, provider, model, owner, agent, key_id, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
    unpriced_calls
)
SELECT tenant_id, hour_us, provider, model, owner, agent, '', 1, sum(calls), sum(input_tokens),
    sum(cached_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
    sum(cost_nanousd), 0
FROM session_usage
GROUP BY 1, 2, 3, 4, 5, 6;

INSERT INTO hourly_usage (
    tenant_id, hour_us, provider, model, owner, agent, key_id, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
    unpriced_calls
)
SELECT tenant_id, hour_us, provider, model, '', '', '', ~lane, sum(calls), sum(input_tokens),
    sum(cached_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
    sum(cost_nanousd), sum(unpriced_calls)
FROM hourly_usage
GROUP BY 1, 2, 3, 4, lane;
