-- name: alert_list_due
-- Thresholds of all tenants that are to be told, the oldest first, with their budgets.
SELECT a.subject, a.start_us, a.percent, a.used, a.limit_amount, a.created_at_us, a.attempts,
    b.tenant_id, b.budget_id, b.scope, b.subject, b.period, b.time_zone, b.unit, b.limit_amount,
    b.mode, b.warn_percents, b.counts_from_us, b.created_at_us, b.updated_at_us
FROM budget_alerts AS a
JOIN budgets AS b ON a.tenant_id = b.tenant_id AND a.budget_id = b.budget_id
WHERE a.due_at_us <= :now_us
ORDER BY a.created_at_us
LIMIT :limit;

-- name: alert_claim
-- Tell one; only who saw the same number of attempts as is there may.
UPDATE budget_alerts SET attempts = attempts + 1, due_at_us = :until_us
WHERE tenant_id = :tenant_id AND budget_id = :budget_id AND subject = :subject
    AND start_us = :start_us AND percent = :percent AND limit_amount = :limit_amount
    AND attempts = :attempts
RETURNING attempts;

-- name: alert_put_off
-- Tell one later.
UPDATE budget_alerts SET due_at_us = :due_at_us
WHERE tenant_id = :tenant_id AND budget_id = :budget_id AND subject = :subject
    AND start_us = :start_us AND percent = :percent AND limit_amount = :limit_amount;

-- name: alert_finish
-- One was told, or given up: nobody tells it any more.
UPDATE budget_alerts SET due_at_us = NULL, delivered_at_us = :delivered_at_us
WHERE tenant_id = :tenant_id AND budget_id = :budget_id AND subject = :subject
    AND start_us = :start_us AND percent = :percent AND limit_amount = :limit_amount;
