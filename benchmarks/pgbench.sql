-- The rows of a turn in one statement, prepared: what PostgreSQL itself can do. Digest, hash,
-- receipt and messages are constants of the right size, which pgbench.py puts in.
\set session :client_id % {sessions}
WITH moved AS (
    UPDATE sessions SET version = version + 1, message_count = message_count + 2,
        turn_count = turn_count + 1, calls = calls + 1, input_tokens = input_tokens + 1200,
        cached_tokens = cached_tokens + 800, output_tokens = output_tokens + 180,
        digest = {digest}, updated_at_us = updated_at_us + 1000
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
        recorded_at_us
    )
    SELECT tenant_id, session_id, 'turn-' || version || '.0', 'turn-' || version, 'openai',
        'gpt-4o', 1200, 800, 0, 180, 0, 0, at_us
    FROM moved
), summed AS (
    INSERT INTO model_usage AS m (
        tenant_id, session_id, provider, model, calls, input_tokens, cached_tokens,
        cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd
    )
    SELECT tenant_id, session_id, 'openai', 'gpt-4o', 1, 1200, 800, 0, 180, 0, 0 FROM moved
    ON CONFLICT (tenant_id, session_id, provider, model) DO UPDATE SET
        calls = m.calls + excluded.calls,
        input_tokens = m.input_tokens + excluded.input_tokens,
        cached_tokens = m.cached_tokens + excluded.cached_tokens,
        cache_write_tokens = m.cache_write_tokens + excluded.cache_write_tokens,
        output_tokens = m.output_tokens + excluded.output_tokens,
        reasoning_tokens = m.reasoning_tokens + excluded.reasoning_tokens,
        cost_nanousd = m.cost_nanousd + excluded.cost_nanousd
)
INSERT INTO events (
    tenant_id, session_id, number, kind, turn_id, first_seq, last_seq, message_count,
    created_at_us
)
SELECT tenant_id, session_id, version, 'turn.recorded', 'turn-' || version, count - 2,
    count - 1, count, at_us
FROM moved;
