-- name: ledger_drift
-- Totals of one kind that are not the sums of their entries, and by how much; in two halves, as
-- in reports.
SELECT subject, calls_high, calls_low, input_high, input_low, cached_high, cached_low,
    cache_write_high, cache_write_low, output_high, output_low, reasoning_high, reasoning_low,
    cost_high, cost_low, unpriced_high, unpriced_low
FROM (
    SELECT subject,
        CAST(sum(calls >> 32) AS bigint) AS calls_high,
        CAST(sum(calls & 4294967295) AS bigint) AS calls_low,
        CAST(sum(input_tokens >> 32) AS bigint) AS input_high,
        CAST(sum(input_tokens & 4294967295) AS bigint) AS input_low,
        CAST(sum(cached_tokens >> 32) AS bigint) AS cached_high,
        CAST(sum(cached_tokens & 4294967295) AS bigint) AS cached_low,
        CAST(sum(cache_write_tokens >> 32) AS bigint) AS cache_write_high,
        CAST(sum(cache_write_tokens & 4294967295) AS bigint) AS cache_write_low,
        CAST(sum(output_tokens >> 32) AS bigint) AS output_high,
        CAST(sum(output_tokens & 4294967295) AS bigint) AS output_low,
        CAST(sum(reasoning_tokens >> 32) AS bigint) AS reasoning_high,
        CAST(sum(reasoning_tokens & 4294967295) AS bigint) AS reasoning_low,
        CAST(sum(cost_nanousd >> 32) AS bigint) AS cost_high,
        CAST(sum(cost_nanousd & 4294967295) AS bigint) AS cost_low,
        CAST(sum(unpriced_calls >> 32) AS bigint) AS unpriced_high,
        CAST(sum(unpriced_calls & 4294967295) AS bigint) AS unpriced_low
    FROM (
        SELECT session_id AS subject,
            calls, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
            reasoning_tokens, cost_nanousd, unpriced_calls
        FROM sessions
        WHERE tenant_id = :tenant_id AND :kind = 'session'
        UNION ALL
        SELECT session_id || ' ' || hour_us || ' ' || provider || '/' || model,
            calls, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
            reasoning_tokens, cost_nanousd, unpriced_calls
        FROM session_usage
        WHERE tenant_id = :tenant_id AND :kind = 'session_hour'
        UNION ALL
        SELECT hour_us || ' ' || provider || '/' || model || ' ' || owner || ' ' || agent
            || ' ' || key_id,
            calls, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
            reasoning_tokens, cost_nanousd, unpriced_calls
        FROM hourly_usage
        WHERE tenant_id = :tenant_id AND lane >= 0 AND :kind = 'hour'
        UNION ALL
        SELECT hour_us || ' ' || provider || '/' || model,
            calls, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
            reasoning_tokens, cost_nanousd, unpriced_calls
        FROM whole_usage
        WHERE tenant_id = :tenant_id AND :kind = 'whole_hour'
        UNION ALL
        SELECT
            CASE :kind WHEN 'session' THEN session_id
                WHEN 'session_hour' THEN session_id || ' ' || hour_us || ' ' || called
                WHEN 'hour' THEN hour_us || ' ' || called || ' ' || caller
                WHEN 'whole_hour' THEN hour_us || ' ' || called END,
            -sign, -input_tokens, -cached_tokens, -cache_write_tokens, -output_tokens,
            -reasoning_tokens, -coalesce(cost_nanousd, 0),
            CASE WHEN cost_nanousd IS NULL THEN -sign ELSE 0 END
        FROM (
            SELECT session_id, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
                reasoning_tokens, cost_nanousd, provider || '/' || model AS called,
                coalesce(owner, '') || ' ' || coalesce(agent, '') || ' ' || coalesce(key_id, '')
                    AS caller,
                recorded_at_us - (recorded_at_us % 3600000000 + 3600000000) % 3600000000 AS hour_us,
                CASE WHEN reverses IS NULL THEN 1 ELSE -1 END AS sign
            FROM usage_entries
            WHERE tenant_id = :tenant_id
                AND (:kind <> 'session' OR session_id <> '' AND session_id NOT LIKE '%~%')
        ) AS entries
    ) AS both_sides
    GROUP BY subject
) AS sums
WHERE calls_high + (calls_low >> 32) <> 0 OR (calls_low & 4294967295) <> 0
    OR input_high + (input_low >> 32) <> 0 OR (input_low & 4294967295) <> 0
    OR cached_high + (cached_low >> 32) <> 0 OR (cached_low & 4294967295) <> 0
    OR cache_write_high + (cache_write_low >> 32) <> 0 OR (cache_write_low & 4294967295) <> 0
    OR output_high + (output_low >> 32) <> 0 OR (output_low & 4294967295) <> 0
    OR reasoning_high + (reasoning_low >> 32) <> 0 OR (reasoning_low & 4294967295) <> 0
    OR cost_high + (cost_low >> 32) <> 0 OR (cost_low & 4294967295) <> 0
    OR unpriced_high + (unpriced_low >> 32) <> 0 OR (unpriced_low & 4294967295) <> 0
ORDER BY subject
LIMIT :limit;

-- name: ledger_count
-- How many entries a tenant has.
SELECT count(*) FROM usage_entries WHERE tenant_id = :tenant_id;
