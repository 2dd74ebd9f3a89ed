-- name: retention_turn
-- One removal at a time, whoever wants it; where there is one writer, that is so anyway.
SELECT :key;

-- name: retention_find
-- Rules that a tenant may go by: its own, and those of every tenant.
SELECT tenant_id, kind, keep_days FROM retention
WHERE tenant_id IN (:tenant_id, '')
ORDER BY tenant_id, kind;

-- name: retention_put
-- Make or change a rule.
INSERT INTO retention (tenant_id, kind, keep_days, updated_at_us)
VALUES (:tenant_id, :kind, :keep_days, :updated_at_us)
ON CONFLICT (tenant_id, kind) DO UPDATE
SET keep_days = excluded.keep_days, updated_at_us = excluded.updated_at_us;

-- name: retention_delete
-- Remove a rule.
DELETE FROM retention WHERE tenant_id = :tenant_id AND kind = :kind
RETURNING kind;

-- name: retention_next_tenant
-- The first tenant after another that has anything with a rule.
SELECT min(tenant_id) FROM (
    SELECT min(tenant_id) AS tenant_id FROM sessions WHERE tenant_id > :tenant_id
    UNION ALL
    SELECT min(tenant_id) FROM traces WHERE tenant_id > :tenant_id
    UNION ALL
    SELECT min(tenant_id) FROM feedback WHERE tenant_id > :tenant_id
    UNION ALL
    SELECT min(tenant_id) FROM holds WHERE tenant_id > :tenant_id
    UNION ALL
    SELECT min(tenant_id) FROM budget_alerts WHERE tenant_id > :tenant_id
) AS firsts;

-- name: session_list_untouched
-- Sessions that nobody touched since and that are under no legal hold, oldest first; none of a
-- thread whose turn runs.
SELECT session_id, message_count, calls FROM sessions AS s
WHERE tenant_id = :tenant_id AND updated_at_us < :before_us
AND owner = :owner -- if owner
AND NOT EXISTS (SELECT 1 FROM legal_holds WHERE tenant_id = :tenant_id)
AND NOT EXISTS (
    SELECT 1 FROM session_details AS d
    WHERE d.tenant_id = :tenant_id AND d.session_id = s.session_id AND d.legal_hold
)
AND NOT EXISTS (
    SELECT 1 FROM threads AS t
    WHERE t.tenant_id = :tenant_id AND t.thread_id = s.session_id AND t.turn_id IS NOT NULL
)
ORDER BY updated_at_us, session_id
LIMIT :limit;

-- name: session_count_untouched
-- How many they are, with how many messages.
SELECT count(*), CAST(coalesce(sum(message_count), 0) AS BIGINT) FROM sessions AS s
WHERE tenant_id = :tenant_id AND updated_at_us < :before_us
AND owner = :owner -- if owner
AND NOT EXISTS (SELECT 1 FROM legal_holds WHERE tenant_id = :tenant_id)
AND NOT EXISTS (
    SELECT 1 FROM session_details AS d
    WHERE d.tenant_id = :tenant_id AND d.session_id = s.session_id AND d.legal_hold
)
AND NOT EXISTS (
    SELECT 1 FROM threads AS t
    WHERE t.tenant_id = :tenant_id AND t.thread_id = s.session_id AND t.turn_id IS NOT NULL
);

-- name: trace_count_old
-- Traces last saved before a moment, of no session under legal hold.
SELECT count(*) FROM traces AS t
WHERE tenant_id = :tenant_id AND saved_at_us < :before_us
AND NOT EXISTS (
    SELECT 1 FROM session_details AS d
    WHERE d.tenant_id = :tenant_id AND d.session_id = t.session_id AND d.legal_hold
);

-- name: feedback_count_old
-- Feedback from before a moment, on no session under legal hold.
SELECT count(*) FROM feedback AS f
WHERE tenant_id = :tenant_id AND created_at_us < :before_us
AND NOT EXISTS (
    SELECT 1 FROM session_details AS d
    WHERE d.tenant_id = :tenant_id AND d.session_id = f.session_id AND d.legal_hold
);

-- name: hold_purge
-- Remove holds that ended before a moment, oldest first.
DELETE FROM holds
WHERE tenant_id = :tenant_id AND call_id IN (
    SELECT call_id FROM holds
    WHERE tenant_id = :tenant_id AND ended_at_us < :before_us
    ORDER BY ended_at_us
    LIMIT :limit
)
RETURNING call_id;

-- name: hold_count_old
-- Holds that ended before a moment.
SELECT count(*) FROM holds WHERE tenant_id = :tenant_id AND ended_at_us < :before_us;

-- name: alert_purge
-- Remove alerts from before a moment of which nobody is to be told any more, oldest first.
DELETE FROM budget_alerts
WHERE tenant_id = :tenant_id
    AND (budget_id, subject, start_us, percent, limit_amount) IN (
        SELECT budget_id, subject, start_us, percent, limit_amount FROM budget_alerts
        WHERE tenant_id = :tenant_id AND created_at_us < :before_us AND due_at_us IS NULL
        ORDER BY created_at_us
        LIMIT :limit
    )
RETURNING budget_id;

-- name: alert_count_old
-- Alerts from before a moment of which nobody is to be told any more.
SELECT count(*) FROM budget_alerts
WHERE tenant_id = :tenant_id AND created_at_us < :before_us AND due_at_us IS NULL;
