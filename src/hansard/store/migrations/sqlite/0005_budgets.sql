-- Budgets, what is left of them in each window, and holds: what a call may cost at most, taken
-- before it is made.

-- subject is whom the scope means: '' for the tenant, '*' for each of its kind by itself.
-- limit_amount counts nano-dollars or tokens, as unit says. Entries from before counts_from_us
-- do not count.
CREATE TABLE budgets (
    tenant_id TEXT NOT NULL,
    budget_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    period TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    unit TEXT NOT NULL,
    limit_amount INTEGER NOT NULL,
    mode TEXT NOT NULL,
    warn_percents TEXT NOT NULL,
    counts_from_us INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL,
    updated_at_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, budget_id)
) STRICT, WITHOUT ROWID;

-- One row for each subject and window in which something happened; a window that is over is
-- simply used no more. warned_percent is the highest threshold that was told.
CREATE TABLE budget_windows (
    tenant_id TEXT NOT NULL,
    budget_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    held INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    warned_percent INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, budget_id, subject, start_us),
    FOREIGN KEY (tenant_id, budget_id) REFERENCES budgets ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- A threshold that was crossed, once per window and limit. It is to be told at due_at_us, and to
-- nobody any more where that is NULL; whoever claims it moves it into the future and counts.
CREATE TABLE budget_alerts (
    tenant_id TEXT NOT NULL,
    budget_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    percent INTEGER NOT NULL,
    used INTEGER NOT NULL,
    limit_amount INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due_at_us INTEGER,
    delivered_at_us INTEGER,
    PRIMARY KEY (tenant_id, budget_id, subject, start_us, percent, limit_amount),
    FOREIGN KEY (tenant_id, budget_id) REFERENCES budgets ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX budget_alerts_due ON budget_alerts (tenant_id, due_at_us)
WHERE due_at_us IS NOT NULL;

-- state is open, settled, released, unknown (nobody knows what the provider billed) or
-- written_off. amount_nanousd NULL is unpriced. debits lists, as JSON, what was taken of which
-- budget, made when: [[budget_id, subject, start_us, amount, made_at_us], ...].
CREATE TABLE holds (
    tenant_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    turn_id TEXT,
    owner TEXT,
    agent TEXT,
    key_id TEXT,
    provider TEXT NOT NULL,
    model_asked TEXT NOT NULL,
    amount_nanousd INTEGER,
    amount_tokens INTEGER NOT NULL,
    debits TEXT NOT NULL,
    state TEXT NOT NULL,
    overrun INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL,
    expires_at_us INTEGER NOT NULL,
    ended_at_us INTEGER,
    PRIMARY KEY (tenant_id, call_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX holds_pending ON holds (tenant_id, state, expires_at_us)
WHERE state IN ('open', 'unknown');
