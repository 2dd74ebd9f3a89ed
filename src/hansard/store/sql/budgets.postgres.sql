-- name: budget_find
SELECT b.tenant_id, b.budget_id, b.scope, b.subject, b.period, b.time_zone, b.unit,
    b.limit_amount, b.mode, b.warn_percents, b.counts_from_us, b.created_at_us, b.updated_at_us
FROM budgets AS b
JOIN unnest(:tenant_id::text[]) AS r(tenant_id) ON b.tenant_id = r.tenant_id
ORDER BY b.tenant_id, b.budget_id;

-- name: budget_close
LOCK TABLE budgets IN EXCLUSIVE MODE;

-- name: budget_share
SELECT 1 FROM budgets WHERE FALSE FOR KEY SHARE;

-- name: window_insert
INSERT INTO budget_windows (
    tenant_id, budget_id, subject, start_us, held, spent, warned_percent
)
SELECT tenant_id, budget_id, subject, start_us, held, spent, 0
FROM unnest(
    :tenant_id::text[], :budget_id::text[], :subject::text[], :start_us::bigint[],
    :held::bigint[], :spent::bigint[]
) AS r(
    tenant_id, budget_id, subject, start_us, held, spent
)
ON CONFLICT (tenant_id, budget_id, subject, start_us) DO NOTHING;

-- name: window_lock
SELECT w.tenant_id, w.budget_id, w.subject, w.start_us, w.held, w.spent, w.warned_percent
FROM budget_windows AS w
JOIN unnest(
    :tenant_id::text[], :budget_id::text[], :subject::text[], :start_us::bigint[]
) AS r(
    tenant_id, budget_id, subject, start_us
)
    ON w.tenant_id = r.tenant_id AND w.budget_id = r.budget_id AND w.subject = r.subject
    AND w.start_us = r.start_us
WHERE cardinality(:tenant_id::text[]) = (
    SELECT count(*) FROM budget_windows AS e
    JOIN unnest(
        :tenant_id::text[], :budget_id::text[], :subject::text[], :start_us::bigint[]
    ) AS a(
        tenant_id, budget_id, subject, start_us
    )
        ON e.tenant_id = a.tenant_id AND e.budget_id = a.budget_id AND e.subject = a.subject
        AND e.start_us = a.start_us
)
ORDER BY w.tenant_id, w.budget_id, w.subject, w.start_us
FOR NO KEY UPDATE OF w;

-- name: window_update
UPDATE budget_windows AS w SET held = r.held, spent = r.spent, warned_percent = r.warned_percent
FROM unnest(
    :held::bigint[], :spent::bigint[], :warned_percent::integer[], :tenant_id::text[],
    :budget_id::text[], :subject::text[], :start_us::bigint[]
) AS r(
    held, spent, warned_percent, tenant_id, budget_id, subject, start_us
)
WHERE w.tenant_id = r.tenant_id AND w.budget_id = r.budget_id AND w.subject = r.subject
    AND w.start_us = r.start_us;

-- name: window_raise
INSERT INTO budget_windows AS w (
    tenant_id, budget_id, subject, start_us, held, spent, warned_percent
)
SELECT tenant_id, budget_id, subject, start_us, 0, spent, 0
FROM unnest(
    :tenant_id::text[], :budget_id::text[], :subject::text[], :start_us::bigint[],
    :spent::bigint[]
) AS r(
    tenant_id, budget_id, subject, start_us, spent
)
ON CONFLICT (tenant_id, budget_id, subject, start_us)
DO UPDATE SET spent = CASE
    WHEN excluded.spent > 0 AND w.spent > 9223372036854775807 - excluded.spent
    THEN 9223372036854775807 ELSE w.spent + excluded.spent END;

-- name: alert_insert
INSERT INTO budget_alerts (
    tenant_id, budget_id, subject, start_us, percent, used, limit_amount, created_at_us,
    attempts, due_at_us
)
SELECT tenant_id, budget_id, subject, start_us, percent, used, limit_amount, created_at_us, 0, 0
FROM unnest(
    :tenant_id::text[], :budget_id::text[], :subject::text[], :start_us::bigint[],
    :percent::integer[], :used::bigint[], :limit_amount::bigint[], :created_at_us::bigint[]
) AS r(
    tenant_id, budget_id, subject, start_us, percent, used, limit_amount, created_at_us
)
ON CONFLICT (tenant_id, budget_id, subject, start_us, percent, limit_amount) DO NOTHING;

-- name: hold_find
SELECT h.tenant_id, h.call_id, h.debits, h.state, h.counted, h.created_at_us, h.owner, h.agent,
    h.key_id
FROM holds AS h
JOIN unnest(:tenant_id::text[], :call_id::text[]) AS r(tenant_id, call_id)
    ON h.tenant_id = r.tenant_id AND h.call_id = r.call_id
ORDER BY h.tenant_id, h.call_id
FOR NO KEY UPDATE OF h;

-- name: hold_insert
INSERT INTO holds (
    tenant_id, call_id, session_id, turn_id, owner, agent, key_id, provider, model_asked,
    amount_nanousd, amount_tokens, debits, state, overrun, created_at_us, expires_at_us
)
SELECT tenant_id, call_id, session_id, turn_id, owner, agent, key_id, provider, model_asked,
    amount_nanousd, amount_tokens, debits, 'open', FALSE, created_at_us, expires_at_us
FROM unnest(
    :tenant_id::text[], :call_id::text[], :session_id::text[], :turn_id::text[],
    :owner::text[], :agent::text[], :key_id::text[], :provider::text[], :model_asked::text[],
    :amount_nanousd::bigint[], :amount_tokens::bigint[], :debits::text[],
    :created_at_us::bigint[], :expires_at_us::bigint[]
) AS r(
    tenant_id, call_id, session_id, turn_id, owner, agent, key_id, provider, model_asked,
    amount_nanousd, amount_tokens, debits, created_at_us, expires_at_us
);

-- name: hold_bar
INSERT INTO holds (
    tenant_id, call_id, session_id, provider, model_asked, amount_tokens, debits, state, overrun,
    created_at_us, expires_at_us, ended_at_us
)
SELECT tenant_id, call_id, '', '', '', 0, '[]', 'released', FALSE, created_at_us, expires_at_us,
    ended_at_us
FROM unnest(
    :tenant_id::text[], :call_id::text[], :created_at_us::bigint[], :expires_at_us::bigint[],
    :ended_at_us::bigint[]
) AS r(
    tenant_id, call_id, created_at_us, expires_at_us, ended_at_us
)
ON CONFLICT (tenant_id, call_id) DO NOTHING;

-- name: hold_end
UPDATE holds AS h SET state = r.state, counted = r.counted, overrun = h.overrun OR r.overrun,
    debits = coalesce(r.debits, h.debits), ended_at_us = r.ended_at_us
FROM unnest(
    :state::text[], :counted::boolean[], :overrun::boolean[], :debits::text[],
    :ended_at_us::bigint[], :tenant_id::text[], :call_id::text[]
) AS r(
    state, counted, overrun, debits, ended_at_us, tenant_id, call_id
)
WHERE h.tenant_id = r.tenant_id AND h.call_id = r.call_id;

-- name: hold_doubt
UPDATE holds AS h SET state = 'unknown'
FROM unnest(:tenant_id::text[], :call_id::text[]) AS r(tenant_id, call_id)
WHERE h.tenant_id = r.tenant_id AND h.call_id = r.call_id AND h.state = 'open';

-- name: hold_expire
UPDATE holds AS h SET state = 'unknown'
FROM (
    SELECT tenant_id, call_id FROM holds
    WHERE state = 'open' AND expires_at_us < :now_us
    FOR NO KEY UPDATE SKIP LOCKED
) AS r
WHERE h.tenant_id = r.tenant_id AND h.call_id = r.call_id
RETURNING h.tenant_id, h.call_id;

-- name: hold_owner_of_session
SELECT s.tenant_id, s.session_id, s.owner, s.agent FROM sessions AS s
JOIN unnest(:tenant_id::text[], :session_id::text[]) AS r(tenant_id, session_id)
    ON s.tenant_id = r.tenant_id AND s.session_id = r.session_id;

-- name: hold_get
SELECT call_id, session_id, turn_id, owner, agent, key_id, provider, model_asked,
    amount_nanousd, amount_tokens, debits, state, overrun, created_at_us, expires_at_us,
    ended_at_us, counted
FROM holds
WHERE tenant_id = :tenant_id AND call_id = :call_id
FOR NO KEY UPDATE;
