-- name: ledger_drift_sessions
-- Sessions whose totals are not the sums of their entries, and by how much.
SELECT subject,
    sum(calls), sum(input_tokens), sum(cached_tokens), sum(cache_write_tokens),
    sum(output_tokens), sum(reasoning_tokens), sum(cost_nanousd), sum(unpriced_calls)
FROM (
    SELECT session_id AS subject,
        calls, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
        reasoning_tokens, cost_nanousd, unpriced_calls
    FROM sessions
    WHERE tenant_id = :tenant_id
    UNION ALL
    SELECT session_id,
        -(CASE WHEN reverses IS NULL THEN 1 ELSE -1 END), -(input_tokens),
        -(cached_tokens), -(cache_write_tokens), -(output_tokens), -(reasoning_tokens),
        -(coalesce(cost_nanousd, 0)), -(CASE WHEN cost_nanousd IS NOT NULL THEN 0 WHEN
        reverses IS NULL THEN 1 ELSE -1 END)
    FROM usage_entries
    WHERE tenant_id = :tenant_id AND session_id <> '' AND session_id NOT LIKE '%~%'
) AS both_sides
GROUP BY subject
HAVING sum(calls) <> 0 OR sum(input_tokens) <> 0 OR sum(cached_tokens) <> 0 OR
    sum(cache_write_tokens) <> 0 OR sum(output_tokens) <> 0 OR sum(reasoning_tokens) <> 0 OR
    sum(cost_nanousd) <> 0 OR sum(unpriced_calls) <> 0
ORDER BY subject
LIMIT :limit;

-- name: ledger_drift_session_hours
-- Sums by session and hour that are not those of the entries.
SELECT subject,
    sum(calls), sum(input_tokens), sum(cached_tokens), sum(cache_write_tokens),
    sum(output_tokens), sum(reasoning_tokens), sum(cost_nanousd), sum(unpriced_calls)
FROM (
    SELECT session_id || ' ' || hour_us || ' ' || provider || '/' || model AS subject,
        calls, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
        reasoning_tokens, cost_nanousd, unpriced_calls
    FROM session_usage
    WHERE tenant_id = :tenant_id
    UNION ALL
    SELECT session_id || ' ' || (recorded_at_us - ((recorded_at_us % 3600000000) + 3600000000) % 3600000000) || ' ' || provider || '/' || model,
        -(CASE WHEN reverses IS NULL THEN 1 ELSE -1 END), -(input_tokens),
        -(cached_tokens), -(cache_write_tokens), -(output_tokens), -(reasoning_tokens),
        -(coalesce(cost_nanousd, 0)), -(CASE WHEN cost_nanousd IS NOT NULL THEN 0 WHEN
        reverses IS NULL THEN 1 ELSE -1 END)
    FROM usage_entries
    WHERE tenant_id = :tenant_id
) AS both_sides
GROUP BY subject
HAVING sum(calls) <> 0 OR sum(input_tokens) <> 0 OR sum(cached_tokens) <> 0 OR
    sum(cache_write_tokens) <> 0 OR sum(output_tokens) <> 0 OR sum(reasoning_tokens) <> 0 OR
    sum(cost_nanousd) <> 0 OR sum(unpriced_calls) <> 0
ORDER BY subject
LIMIT :limit;

-- name: ledger_drift_hours
-- Sums of the tenant by hour that are not those of the entries.
SELECT subject,
    sum(calls), sum(input_tokens), sum(cached_tokens), sum(cache_write_tokens),
    sum(output_tokens), sum(reasoning_tokens), sum(cost_nanousd), sum(unpriced_calls)
FROM (
    SELECT hour_us || ' ' || provider || '/' || model || ' ' || owner || ' ' || agent || ' ' || key_id AS subject,
        calls, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
        reasoning_tokens, cost_nanousd, unpriced_calls
    FROM hourly_usage
    WHERE tenant_id = :tenant_id
    UNION ALL
    SELECT (recorded_at_us - ((recorded_at_us % 3600000000) + 3600000000) % 3600000000) || ' ' || provider || '/' || model || ' ' || coalesce(owner, '')
        || ' ' || coalesce(agent, '') || ' ' || coalesce(key_id, ''),
        -(CASE WHEN reverses IS NULL THEN 1 ELSE -1 END), -(input_tokens),
        -(cached_tokens), -(cache_write_tokens), -(output_tokens), -(reasoning_tokens),
        -(coalesce(cost_nanousd, 0)), -(CASE WHEN cost_nanousd IS NOT NULL THEN 0 WHEN
        reverses IS NULL THEN 1 ELSE -1 END)
    FROM usage_entries
    WHERE tenant_id = :tenant_id
) AS both_sides
GROUP BY subject
HAVING sum(calls) <> 0 OR sum(input_tokens) <> 0 OR sum(cached_tokens) <> 0 OR
    sum(cache_write_tokens) <> 0 OR sum(output_tokens) <> 0 OR sum(reasoning_tokens) <> 0 OR
    sum(cost_nanousd) <> 0 OR sum(unpriced_calls) <> 0
ORDER BY subject
LIMIT :limit;

-- name: ledger_count
-- How many entries a tenant has.
SELECT count(*) FROM usage_entries WHERE tenant_id = :tenant_id;
