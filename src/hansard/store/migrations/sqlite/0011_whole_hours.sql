-- Sums of the whole tenant by hour and model stand beside those by owner, agent and key, in rows
-- of the same table that a turn writes anyway, and on the same page: their lane is ~lane of the
-- others, which is negative, and their owner, agent and key are ''. Only what is so much that it
-- could fill a sum of all has rows of its owner, agent and key there too.
INSERT INTO hourly_usage
SELECT tenant_id, hour_us, provider, model,
    CASE WHEN large THEN owner ELSE '' END, CASE WHEN large THEN agent ELSE '' END,
    CASE WHEN large THEN key_id ELSE '' END, ~lane, sum(calls), sum(input_tokens),
    sum(cached_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
    sum(cost_nanousd), sum(unpriced_calls)
FROM (
    SELECT tenant_id, hour_us, provider, model, owner, agent, key_id, lane, calls, input_tokens,
        cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
        unpriced_calls,
        max(abs(input_tokens), abs(output_tokens), abs(cost_nanousd)) > 10000000000 AS large
    FROM hourly_usage
) AS parts
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
