-- name: report
-- Sums of a tenant, by up to two things, from the smallest sums that tell them apart; each as two
-- halves, since a sum may need more than 64 bits.
SELECT
    CASE :first WHEN 'hour' THEN CAST(hour_us AS TEXT)
        WHEN 'day' THEN CAST(hour_us - (hour_us % 86400000000 + 86400000000) % 86400000000 AS TEXT)
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'agent' THEN agent
        WHEN 'owner' THEN owner WHEN 'sku' THEN provider || '/' || model
        WHEN 'session' THEN session_id -- if sessions
        ELSE '' END,
    CASE :second WHEN 'hour' THEN CAST(hour_us AS TEXT)
        WHEN 'day' THEN CAST(hour_us - (hour_us % 86400000000 + 86400000000) % 86400000000 AS TEXT)
        WHEN 'model' THEN model WHEN 'provider' THEN provider WHEN 'agent' THEN agent
        WHEN 'owner' THEN owner WHEN 'sku' THEN provider || '/' || model
        WHEN 'session' THEN session_id -- if sessions
        ELSE '' END,
    CAST(sum(calls >> 32) AS bigint), CAST(sum(calls & 4294967295) AS bigint),
    CAST(sum(input_tokens >> 32) AS bigint), CAST(sum(input_tokens & 4294967295) AS bigint),
    CAST(sum(cached_tokens >> 32) AS bigint), CAST(sum(cached_tokens & 4294967295) AS bigint),
    CAST(sum(cache_write_tokens >> 32) AS bigint), CAST(sum(cache_write_tokens & 4294967295) AS bigint),
    CAST(sum(output_tokens >> 32) AS bigint), CAST(sum(output_tokens & 4294967295) AS bigint),
    CAST(sum(reasoning_tokens >> 32) AS bigint), CAST(sum(reasoning_tokens & 4294967295) AS bigint),
    CAST(sum(cost_nanousd >> 32) AS bigint), CAST(sum(cost_nanousd & 4294967295) AS bigint),
    CAST(sum(unpriced_calls >> 32) AS bigint), CAST(sum(unpriced_calls & 4294967295) AS bigint)
FROM whole_usage -- if tenant
FROM hourly_usage -- if callers
FROM session_usage -- if sessions
WHERE tenant_id = :tenant_id AND hour_us >= :since_us AND hour_us < :until_us
AND lane >= 0 -- if callers
AND provider = :provider -- if provider
AND model = :model -- if model
AND agent = :agent -- if agent
AND owner = :owner -- if owner
AND session_id = :session_id -- if session_id
GROUP BY 1, 2
ORDER BY 1, 2
LIMIT :limit;
