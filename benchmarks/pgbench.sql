-- The rows of a turn in one statement, prepared: what PostgreSQL itself can do. Digest, hash,
-- receipt and messages are constants of the right size, which pgbench.py puts in. Each client
-- has its own row of the tenant's sums by hour, as each connection of Hansard's has.
\set session :client_id % {sessions}
WITH moved AS (
    UPDATE sessions SET version = version + 1, message_count = message_count + 2,
        turn_count = turn_count + 1, calls = calls + 1, input_tokens = input_tokens + 1200,
        cached_tokens = cached_tokens + 800, output_tokens = output_tokens + 180,
        cost_nanousd = cost_nanousd + {cost}, digest = {digest},
        updated_at_us = updated_at_us + 1000
    WHERE tenant_id = 'default'
        AND session_id = 'session-' || lpad(:session::text, 4, '0')
    RETURNING tenant_id, session_id, version, message_count AS count, updated_at_us AS at_us
), said AS (
    INSERT INTO messages (
        tenant_id, session_id, seq, message_id, turn_id, role, body, digest, created_at_us
    )
    SELECT tenant_id, session_id, count + step, 'msg_' || lpad((count + step)::text, 26, '0'),
        'turn-' || version, role, body, {digest}, at_us
    FROM moved, (VALUES (-2, 'user', {user}), (-1, 'assistant', {assistant}))
        AS m(step, role, body)
), turned AS (
    INSERT INTO turns (
        tenant_id, session_id, turn_id, status, content_hash, first_seq, last_seq, receipt,
        created_at_us
    )
    SELECT tenant_id, session_id, 'turn-' || version, 'completed', {digest}, count - 2,
        count - 1, {receipt}, at_us
    FROM moved
), used AS (
    INSERT INTO usage_entries (
        tenant_id, session_id, event_id, turn_id, provider, model, input_tokens,
        cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
        price_version, recorded_at_us
    )
    SELECT tenant_id, session_id, 'turn-' || version || '.0', 'turn-' || version, 'openai',
        'gpt-4o', 1200, 800, 0, 180, 0, {cost}, {price_version}, at_us
    FROM moved
), summed AS (
    INSERT INTO session_usage AS m (
        tenant_id, session_id, hour_us, provider, model, owner, agent, lane, calls,
        input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
        cost_nanousd, unpriced_calls
    )
    SELECT tenant_id, session_id, at_us - at_us % 3600000000, 'openai', 'gpt-4o', '', '', 1,
        1, 1200, 800, 0, 180, 0, {cost}, 0
    FROM moved
    ON CONFLICT (tenant_id, session_id, hour_us, provider, model, owner, agent, lane)
    DO UPDATE SET
        calls = m.calls + excluded.calls,
        input_tokens = m.input_tokens + excluded.input_tokens,
        cached_tokens = m.cached_tokens + excluded.cached_tokens,
        cache_write_tokens = m.cache_write_tokens + excluded.cache_write_tokens,
        output_tokens = m.output_tokens + excluded.output_tokens,
        reasoning_tokens = m.reasoning_tokens + excluded.reasoning_tokens,
        cost_nanousd = m.cost_nanousd + excluded.cost_nanousd,
        unpriced_calls = m.unpriced_calls + excluded.unpriced_calls
), summed_by_hour AS (
    INSERT INTO hourly_usage AS m (
        tenant_id, hour_us, provider, model, owner, agent, key_id, lane, calls, input_tokens,
        cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
        unpriced_calls
    )
    SELECT tenant_id, at_us - at_us % 3600000000, 'openai', 'gpt-4o', '', '', '',
        lane, 1, 1200, 800, 0, 180, 0, {cost}, 0
    FROM moved, (VALUES (1 + :client_id), (-2 - :client_id)) AS lanes(lane)
    ON CONFLICT (tenant_id, hour_us, provider, model, owner, agent, key_id, lane)
    DO UPDATE SET
        calls = m.calls + excluded.calls,
        input_tokens = m.input_tokens + excluded.input_tokens,
        cached_tokens = m.cached_tokens + excluded.cached_tokens,
        cache_write_tokens = m.cache_write_tokens + excluded.cache_write_tokens,
        output_tokens = m.output_tokens + excluded.output_tokens,
        reasoning_tokens = m.reasoning_tokens + excluded.reasoning_tokens,
        cost_nanousd = m.cost_nanousd + excluded.cost_nanousd,
        unpriced_calls = m.unpriced_calls + excluded.unpriced_calls
)
INSERT INTO events (
    tenant_id, session_id, number, kind, turn_id, first_seq, last_seq, message_count,
    created_at_us
)
SELECT tenant_id, session_id, version, 'turn.recorded', 'turn-' || version, count - 2,
    count - 1, count, at_us
FROM moved;
