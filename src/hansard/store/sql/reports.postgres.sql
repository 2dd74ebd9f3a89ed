-- name: report_by_hours
SELECT
    CASE :first WHEN 'hour' THEN CAST(hour_us AS TEXT)
        WHEN 'day' THEN CAST(hour_us - (hour_us % 86400000000 + 86400000000) % 86400000000 AS TEXT)
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'agent' THEN agent
        WHEN 'owner' THEN owner WHEN 'sku' THEN provider || '/' || model ELSE '' END,
    CASE :second WHEN 'hour' THEN CAST(hour_us AS TEXT)
        WHEN 'day' THEN CAST(hour_us - (hour_us % 86400000000 + 86400000000) % 86400000000 AS TEXT)
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'agent' THEN agent
        WHEN 'owner' THEN owner WHEN 'sku' THEN provider || '/' || model ELSE '' END,
    sum(calls)::bigint, sum(input_tokens)::bigint, sum(cached_tokens)::bigint,
    sum(cache_write_tokens)::bigint, sum(output_tokens)::bigint,
    sum(reasoning_tokens)::bigint, sum(cost_nanousd)::bigint, sum(unpriced_calls)::bigint
FROM hourly_usage
WHERE tenant_id = :tenant_id AND hour_us >= :since_us AND hour_us < :until_us
AND provider = :provider -- if provider
AND model = :model -- if model
AND agent = :agent -- if agent
AND owner = :owner -- if owner
GROUP BY 1, 2
ORDER BY 1, 2
LIMIT :limit;

-- name: report_by_sessions
SELECT
    CASE :first WHEN 'hour' THEN CAST(hour_us AS TEXT)
        WHEN 'day' THEN CAST(hour_us - (hour_us % 86400000000 + 86400000000) % 86400000000 AS TEXT)
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'agent' THEN agent
        WHEN 'owner' THEN owner WHEN 'sku' THEN provider || '/' || model WHEN 'session' THEN session_id ELSE '' END,
    CASE :second WHEN 'hour' THEN CAST(hour_us AS TEXT)
        WHEN 'day' THEN CAST(hour_us - (hour_us % 86400000000 + 86400000000) % 86400000000 AS TEXT)
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'agent' THEN agent
        WHEN 'owner' THEN owner WHEN 'sku' THEN provider || '/' || model WHEN 'session' THEN session_id ELSE '' END,
    sum(calls)::bigint, sum(input_tokens)::bigint, sum(cached_tokens)::bigint,
    sum(cache_write_tokens)::bigint, sum(output_tokens)::bigint,
    sum(reasoning_tokens)::bigint, sum(cost_nanousd)::bigint, sum(unpriced_calls)::bigint
FROM session_usage
WHERE tenant_id = :tenant_id AND hour_us >= :since_us AND hour_us < :until_us
AND provider = :provider -- if provider
AND model = :model -- if model
AND agent = :agent -- if agent
AND owner = :owner -- if owner
AND session_id = :session_id -- if session_id
GROUP BY 1, 2
ORDER BY 1, 2
LIMIT :limit;
