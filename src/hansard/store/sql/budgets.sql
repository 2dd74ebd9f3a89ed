-- name: budget_find
-- All budgets of a tenant.
SELECT tenant_id, budget_id, scope, subject, period, time_zone, unit, limit_amount, mode,
    warn_percents, counts_from_us, created_at_us, updated_at_us
FROM budgets
WHERE tenant_id = :tenant_id
ORDER BY budget_id;

-- name: budget_get
-- One budget.
SELECT tenant_id, budget_id, scope, subject, period, time_zone, unit, limit_amount, mode,
    warn_percents, counts_from_us, created_at_us, updated_at_us
FROM budgets
WHERE tenant_id = :tenant_id AND budget_id = :budget_id;

-- name: budget_insert
-- A new budget.
INSERT INTO budgets (
    tenant_id, budget_id, scope, subject, period, time_zone, unit, limit_amount, mode,
    warn_percents, counts_from_us, created_at_us, updated_at_us
) VALUES (
    :tenant_id, :budget_id, :scope, :subject, :period, :time_zone, :unit, :limit_amount, :mode,
    :warn_percents, :counts_from_us, :created_at_us, :updated_at_us
);

-- name: budget_update
-- Another limit for the same spending.
UPDATE budgets SET limit_amount = :limit_amount, mode = :mode, warn_percents = :warn_percents,
    updated_at_us = :updated_at_us
WHERE tenant_id = :tenant_id AND budget_id = :budget_id;

-- name: budget_delete
-- A budget with its windows.
DELETE FROM budgets WHERE tenant_id = :tenant_id AND budget_id = :budget_id
RETURNING budget_id;

-- name: budget_close
-- Nobody may add usage or take holds until the end: they share a lock on this table.
SELECT 1;

-- name: budget_share
-- The other side of it: budgets stay as they are until the end.
SELECT 1 FROM budgets LIMIT 0;

-- name: window_insert
-- Windows in which nothing has happened yet, unless they are there.
INSERT INTO budget_windows (
    tenant_id, budget_id, subject, start_us, held, spent, warned_percent
) VALUES (:tenant_id, :budget_id, :subject, :start_us, :held, :spent, 0)
ON CONFLICT (tenant_id, budget_id, subject, start_us) DO NOTHING;

-- name: window_lock
-- Windows of budgets; each row stays locked until the end. All or, if one is absent, none.
SELECT tenant_id, budget_id, subject, start_us, held, spent, warned_percent
FROM budget_windows
WHERE tenant_id = :tenant_id AND budget_id = :budget_id AND subject = :subject
    AND start_us = :start_us;

-- name: window_update
-- What was held and spent, as absolute values: the row is locked.
UPDATE budget_windows SET held = :held, spent = :spent, warned_percent = :warned_percent
WHERE tenant_id = :tenant_id AND budget_id = :budget_id AND subject = :subject
    AND start_us = :start_us;

-- name: window_list
-- The windows of a budget that begin at a moment, by subject, or those after one.
SELECT tenant_id, budget_id, subject, start_us, held, spent, warned_percent
FROM budget_windows
WHERE tenant_id = :tenant_id AND budget_id = :budget_id AND start_us = :start_us
AND subject = :subject -- if subject
AND subject > :after -- if after
ORDER BY subject
LIMIT :limit;

-- name: window_list_all
-- All windows of a budget, or those after one of them.
SELECT tenant_id, budget_id, subject, start_us, held, spent, warned_percent
FROM budget_windows
WHERE tenant_id = :tenant_id AND budget_id = :budget_id
AND (subject, start_us) > (:subject, :start_us) -- if after
ORDER BY subject, start_us
LIMIT :limit;

-- name: window_count
-- How many windows a tenant's budgets have.
SELECT count(*) FROM budget_windows WHERE tenant_id = :tenant_id;

-- name: window_unwarn
-- Under another limit no threshold of the present window has been told yet.
UPDATE budget_windows SET warned_percent = 0
WHERE tenant_id = :tenant_id AND budget_id = :budget_id AND start_us = :start_us;

-- name: window_move
-- The windows of a draft become those of the budget that it was of.
UPDATE budget_windows SET budget_id = :made_id
WHERE tenant_id = :tenant_id AND budget_id = :budget_id;

-- name: window_raise
-- Add what was spent before a budget to what it counted since, as far as a column has room.
INSERT INTO budget_windows AS w (
    tenant_id, budget_id, subject, start_us, held, spent, warned_percent
) VALUES (:tenant_id, :budget_id, :subject, :start_us, 0, :spent, 0)
ON CONFLICT (tenant_id, budget_id, subject, start_us)
DO UPDATE SET spent = CASE
    WHEN excluded.spent > 0 AND w.spent > 9223372036854775807 - excluded.spent
    THEN 9223372036854775807 ELSE w.spent + excluded.spent END;

-- name: alert_insert
-- Thresholds that were crossed, to be told at once.
INSERT INTO budget_alerts (
    tenant_id, budget_id, subject, start_us, percent, used, limit_amount, created_at_us,
    attempts, due_at_us
) VALUES (
    :tenant_id, :budget_id, :subject, :start_us, :percent, :used, :limit_amount,
    :created_at_us, 0, 0
) ON CONFLICT (tenant_id, budget_id, subject, start_us, percent, limit_amount) DO NOTHING;

-- name: hold_find
-- Holds by their calls; each row stays locked until the end.
SELECT tenant_id, call_id, debits, state, counted, created_at_us, owner, agent, key_id
FROM holds
WHERE tenant_id = :tenant_id AND call_id = :call_id;

-- name: hold_insert
-- New holds.
INSERT INTO holds (
    tenant_id, call_id, session_id, turn_id, owner, agent, key_id, provider, model_asked,
    amount_nanousd, amount_tokens, debits, state, overrun, created_at_us, expires_at_us
) VALUES (
    :tenant_id, :call_id, :session_id, :turn_id, :owner, :agent, :key_id, :provider,
    :model_asked, :amount_nanousd, :amount_tokens, :debits, 'open', 0, :created_at_us,
    :expires_at_us
);

-- name: hold_bar
-- Holds that were let go of before they were taken, and now never are: the id is used up.
INSERT INTO holds (
    tenant_id, call_id, session_id, provider, model_asked, amount_tokens, debits, state, overrun,
    created_at_us, expires_at_us, ended_at_us
) VALUES (
    :tenant_id, :call_id, '', '', '', 0, '[]', 'released', 0, :created_at_us, :expires_at_us,
    :ended_at_us
) ON CONFLICT (tenant_id, call_id) DO NOTHING;

-- name: hold_end
-- How holds ended, or what is still held of their calls; no debits: those that there are.
UPDATE holds SET state = :state, counted = :counted, overrun = overrun OR :overrun,
    debits = coalesce(:debits, debits), ended_at_us = :ended_at_us
WHERE tenant_id = :tenant_id AND call_id = :call_id;

-- name: hold_doubt
-- Holds of calls that ended, of which nobody knows what they used.
UPDATE holds SET state = 'unknown'
WHERE tenant_id = :tenant_id AND call_id = :call_id AND state = 'open';

-- name: hold_expire
-- Holds of which nobody will hear any more.
UPDATE holds SET state = 'unknown'
WHERE state IN ('open', 'unknown') AND state = 'open' AND expires_at_us < :now_us
RETURNING tenant_id, call_id;

-- name: hold_list
-- Holds of a tenant in one state, by call; an index has those that are pending.
SELECT call_id, session_id, turn_id, owner, agent, key_id, provider, model_asked,
    amount_nanousd, amount_tokens, debits, state, overrun, created_at_us, expires_at_us,
    ended_at_us, counted
FROM holds
WHERE tenant_id = :tenant_id AND state = :state AND call_id > :after
AND state IN ('open', 'unknown') -- if pending
AND owner = :owner -- if owner
ORDER BY call_id
LIMIT :limit;

-- name: hold_list_pending
-- What is held, for checking the windows.
SELECT call_id, debits FROM holds
WHERE tenant_id = :tenant_id AND state IN ('open', 'unknown');

-- name: hold_count
-- Open and unknown holds, and the time of the oldest, by state.
SELECT state, count(*), min(created_at_us) FROM holds
WHERE state IN ('open', 'unknown')
GROUP BY state;

-- name: hold_owner_of_session
-- On whose account calls of a session go.
SELECT tenant_id, session_id, owner, agent FROM sessions
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: hold_get
-- One hold; it stays locked until the end.
SELECT call_id, session_id, turn_id, owner, agent, key_id, provider, model_asked,
    amount_nanousd, amount_tokens, debits, state, overrun, created_at_us, expires_at_us,
    ended_at_us, counted
FROM holds
WHERE tenant_id = :tenant_id AND call_id = :call_id;

-- name: spent_by_hours
-- What was spent in full hours, by whom a budget is about; no imports. In two halves, as reports.
SELECT
    CASE :scope WHEN 'owner' THEN owner WHEN 'agent' THEN agent WHEN 'key' THEN key_id
        ELSE '' END,
    CAST(:start_us AS bigint),
    CAST(sum(cost_nanousd >> 32) AS bigint),
    CAST(sum(cost_nanousd & 4294967295) AS bigint),
    CAST(sum((input_tokens >> 32) + (output_tokens >> 32)) AS bigint),
    CAST(sum((input_tokens & 4294967295) + (output_tokens & 4294967295)) AS bigint)
FROM hourly_usage
WHERE tenant_id = :tenant_id AND lane > 0 AND hour_us >= :from_us AND hour_us < :until_us
GROUP BY 1;

-- name: spent_by_sessions
-- The same by session.
SELECT session_id, CAST(:start_us AS bigint),
    CAST(sum(cost_nanousd >> 32) AS bigint),
    CAST(sum(cost_nanousd & 4294967295) AS bigint),
    CAST(sum((input_tokens >> 32) + (output_tokens >> 32)) AS bigint),
    CAST(sum((input_tokens & 4294967295) + (output_tokens & 4294967295)) AS bigint)
FROM session_usage
WHERE tenant_id = :tenant_id AND lane > 0 AND hour_us >= :from_us AND hour_us < :until_us
GROUP BY 1;

-- name: spent_by_quarters
-- The same from entries, by the quarter of an hour; of all, or of those outside of full hours,
-- which are found by the sessions of these hours.
SELECT
    CASE :scope WHEN 'owner' THEN coalesce(owner, '') WHEN 'agent' THEN coalesce(agent, '')
        WHEN 'key' THEN coalesce(key_id, '') WHEN 'session' THEN session_id ELSE '' END,
    recorded_at_us - (recorded_at_us % 900000000 + 900000000) % 900000000,
    CAST(sum(coalesce(cost_nanousd, 0) >> 32) AS bigint),
    CAST(sum(coalesce(cost_nanousd, 0) & 4294967295) AS bigint),
    CAST(sum((input_tokens >> 32) + (output_tokens >> 32)) AS bigint),
    CAST(sum((input_tokens & 4294967295) + (output_tokens & 4294967295)) AS bigint)
FROM usage_entries
WHERE tenant_id = :tenant_id AND kind = 'call' AND recorded_at_us >= :start_us
AND (recorded_at_us < :from_us OR recorded_at_us >= :until_us) -- if cut
AND session_id IN ( -- if cut
    SELECT session_id FROM session_usage WHERE tenant_id = :tenant_id AND lane > 0 -- if cut
        AND (hour_us >= :first_hour_us AND hour_us < :from_us OR hour_us >= :until_us) -- if cut
) -- if cut
GROUP BY 1, 2;
