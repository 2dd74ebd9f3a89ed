-- The sums of the whole tenant by a name of their own.
CREATE VIEW whole_usage AS
SELECT tenant_id, hour_us, provider, model, owner, agent, key_id, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, unpriced_calls
FROM hourly_usage
WHERE lane < 0;
