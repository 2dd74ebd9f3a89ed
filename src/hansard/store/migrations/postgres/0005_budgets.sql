-- Budgets, what is left of them in each window, and holds: what a call may cost at most, taken
-- before it is made.

-- subject is whom the scope means: '' for the tenant, '*' for each of its kind by itself.
-- limit_amount counts nano-dollars or tokens, as unit says. Entries from before counts_from_us
-- do not count.
CREATE TABLE budgets (
    tenant_id TEXT COLLATE "C" NOT NULL,
    budget_id TEXT COLLATE "C" NOT NULL,
    scope TEXT NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    period TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    unit TEXT NOT NULL,
    limit_amount BIGINT NOT NULL,
    mode TEXT NOT NULL,
    warn_percents TEXT NOT NULL,
    counts_from_us BIGINT NOT NULL,
    created_at_us BIGINT NOT NULL,
    updated_at_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, budget_id)
);

-- One row for each subject and window in which something happened; a window that is over is
-- simply used no more. warned_percent is the highest threshold that was told.
CREATE TABLE budget_windows (
    tenant_id TEXT COLLATE "C" NOT NULL,
    budget_id TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    start_us BIGINT NOT NULL,
    held BIGINT NOT NULL,
    spent BIGINT NOT NULL,
    warned_percent INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, budget_id, subject, start_us),
    FOREIGN KEY (tenant_id, budget_id) REFERENCES budgets ON DELETE CASCADE
);

-- A threshold that was crossed, once per window and limit. It is to be told at due_at_us, and to
-- nobody any more where that is NULL; whoever claims it moves it into the future and counts.
CREATE TABLE budget_alerts (
    tenant_id TEXT COLLATE "C" NOT NULL,
    budget_id TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    start_us BIGINT NOT NULL,
    percent INTEGER NOT NULL,
    used BIGINT NOT NULL,
    limit_amount BIGINT NOT NULL,
    created_at_us BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    due_at_us BIGINT,
    delivered_at_us BIGINT,
    PRIMARY KEY (tenant_id, budget_id, subject, start_us, percent, limit_amount),
    FOREIGN KEY (tenant_id, budget_id) REFERENCES budgets ON DELETE CASCADE
);

CREATE INDEX budget_alerts_due ON budget_alerts (tenant_id, due_at_us)
WHERE due_at_us IS NOT NULL;

-- state is open, settled, released, unknown (nobody knows what the provider billed) or
-- written_off. amount_nanousd NULL is unpriced. debits lists, as JSON, what was taken of which
-- budget, made when: [[budget_id, subject, start_us, amount, made_at_us], ...].
CREATE TABLE holds (
    tenant_id TEXT COLLATE "C" NOT NULL,
    call_id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    turn_id TEXT,
    owner TEXT COLLATE "C",
    agent TEXT COLLATE "C",
    key_id TEXT COLLATE "C",
    provider TEXT NOT NULL,
    model_asked TEXT NOT NULL,
    amount_nanousd BIGINT,
    amount_tokens BIGINT NOT NULL,
    debits TEXT NOT NULL,
    state TEXT NOT NULL,
    overrun BOOLEAN NOT NULL,
    created_at_us BIGINT NOT NULL,
    expires_at_us BIGINT NOT NULL,
    ended_at_us BIGINT,
    PRIMARY KEY (tenant_id, call_id)
);

CREATE INDEX holds_pending ON holds (tenant_id, state, expires_at_us)
WHERE state IN ('open', 'unknown');
