-- The sums of the whole tenant by a name of their own, found by an index that has nothing else:
-- the planner takes the primary key, and so all owners' sums, unless it is told.
CREATE INDEX hourly_usage_whole ON hourly_usage (tenant_id, hour_us) WHERE lane < 0;

CREATE VIEW whole_usage AS
SELECT tenant_id, hour_us, provider, model, owner, agent, key_id, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, unpriced_calls
FROM hourly_usage INDEXED BY hourly_usage_whole
WHERE lane < 0;
