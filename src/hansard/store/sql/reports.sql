-- name: report_by_hours
-- Sums of a tenant, by up to two things; each as two halves, since a sum may need more than 64
-- bits.
SELECT
    CASE :first WHEN 'hour' THEN CAST(hour_us AS TEXT)
        WHEN 'day' THEN CAST(hour_us - (hour_us % 86400000000 + 86400000000) % 86400000000 AS TEXT)
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'agent' THEN agent
        WHEN 'owner' THEN owner WHEN 'sku' THEN provider || '/' || model ELSE '' END,
    CASE :second WHEN 'hour' THEN CAST(hour_us AS TEXT)
        WHEN 'day' THEN CAST(hour_us - (hour_us % 86400000000 + 86400000000) % 86400000000 AS TEXT)
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'agent' THEN agent
        WHEN 'owner' THEN owner WHEN 'sku' THEN provider || '/' || model ELSE '' END,
    CAST(sum(calls >> 32) AS bigint), CAST(sum(calls & 4294967295) AS bigint),
    CAST(sum(input_tokens >> 32) AS bigint), CAST(sum(input_tokens & 4294967295) AS bigint),
    CAST(sum(cached_tokens >> 32) AS bigint), CAST(sum(cached_tokens & 4294967295) AS bigint),
    CAST(sum(cache_write_tokens >> 32) AS bigint), CAST(sum(cache_write_tokens & 4294967295) AS bigint),
    CAST(sum(output_tokens >> 32) AS bigint), CAST(sum(output_tokens & 4294967295) AS bigint),
    CAST(sum(reasoning_tokens >> 32) AS bigint), CAST(sum(reasoning_tokens & 4294967295) AS bigint),
    CAST(sum(cost_nanousd >> 32) AS bigint), CAST(sum(cost_nanousd & 4294967295) AS bigint),
    CAST(sum(unpriced_calls >> 32) AS bigint), CAST(sum(unpriced_calls & 4294967295) AS bigint)
FROM hourly_usage
WHERE tenant_id = :tenant_id AND hour_us >= :since_us AND hour_us < :until_us
AND lane >= 0
AND provider = :provider -- if provider
AND model = :model -- if model
AND agent = :agent -- if agent
AND owner = :owner -- if owner
GROUP BY 1, 2
ORDER BY 1, 2
LIMIT :limit;

-- name: report_of_tenant
-- The same where nobody asks for owners or agents: from the sums of the whole tenant.
SELECT
    CASE :first WHEN 'hour' THEN CAST(hour_us AS TEXT)
        WHEN 'day' THEN CAST(hour_us - (hour_us % 86400000000 + 86400000000) % 86400000000 AS TEXT)
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'sku' THEN provider || '/' || model ELSE '' END,
    CASE :second WHEN 'hour' THEN CAST(hour_us AS TEXT)
        WHEN 'day' THEN CAST(hour_us - (hour_us % 86400000000 + 86400000000) % 86400000000 AS TEXT)
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'sku' THEN provider || '/' || model ELSE '' END,
    CAST(sum(calls >> 32) AS bigint), CAST(sum(calls & 4294967295) AS bigint),
    CAST(sum(input_tokens >> 32) AS bigint), CAST(sum(input_tokens & 4294967295) AS bigint),
    CAST(sum(cached_tokens >> 32) AS bigint), CAST(sum(cached_tokens & 4294967295) AS bigint),
    CAST(sum(cache_write_tokens >> 32) AS bigint), CAST(sum(cache_write_tokens & 4294967295) AS bigint),
    CAST(sum(output_tokens >> 32) AS bigint), CAST(sum(output_tokens & 4294967295) AS bigint),
    CAST(sum(reasoning_tokens >> 32) AS bigint), CAST(sum(reasoning_tokens & 4294967295) AS bigint),
    CAST(sum(cost_nanousd >> 32) AS bigint), CAST(sum(cost_nanousd & 4294967295) AS bigint),
    CAST(sum(unpriced_calls >> 32) AS bigint), CAST(sum(unpriced_calls & 4294967295) AS bigint)
FROM whole_usage
WHERE tenant_id = :tenant_id AND hour_us >= :since_us AND hour_us < :until_us
AND provider = :provider -- if provider
AND model = :model -- if model
GROUP BY 1, 2
ORDER BY 1, 2
LIMIT :limit;

-- name: report_by_sessions
-- The same where sessions are told apart.
SELECT
    CASE :first WHEN 'hour' THEN CAST(hour_us AS TEXT)
        WHEN 'day' THEN CAST(hour_us - (hour_us % 86400000000 + 86400000000) % 86400000000 AS TEXT)
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'agent' THEN agent
        WHEN 'owner' THEN owner WHEN 'sku' THEN provider || '/' || model WHEN 'session' THEN session_id ELSE '' END,
    CASE :second WHEN 'hour' THEN CAST(hour_us AS TEXT)
        WHEN 'day' THEN CAST(hour_us - (hour_us % 86400000000 + 86400000000) % 86400000000 AS TEXT)
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'agent' THEN agent
        WHEN 'owner' THEN owner WHEN 'sku' THEN provider || '/' || model WHEN 'session' THEN session_id ELSE '' END,
    CAST(sum(calls >> 32) AS bigint), CAST(sum(calls & 4294967295) AS bigint),
    CAST(sum(input_tokens >> 32) AS bigint), CAST(sum(input_tokens & 4294967295) AS bigint),
    CAST(sum(cached_tokens >> 32) AS bigint), CAST(sum(cached_tokens & 4294967295) AS bigint),
    CAST(sum(cache_write_tokens >> 32) AS bigint), CAST(sum(cache_write_tokens & 4294967295) AS bigint),
    CAST(sum(output_tokens >> 32) AS bigint), CAST(sum(output_tokens & 4294967295) AS bigint),
    CAST(sum(reasoning_tokens >> 32) AS bigint), CAST(sum(reasoning_tokens & 4294967295) AS bigint),
    CAST(sum(cost_nanousd >> 32) AS bigint), CAST(sum(cost_nanousd & 4294967295) AS bigint),
    CAST(sum(unpriced_calls >> 32) AS bigint), CAST(sum(unpriced_calls & 4294967295) AS bigint)
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
