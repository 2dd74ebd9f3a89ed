-- How long what is kept of a kind stays; what is under legal hold stays until that is lifted.

-- tenant_id '' is every tenant without a rule of its own. keep_days NULL is for ever.
CREATE TABLE retention (
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    keep_days INTEGER,
    updated_at_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, kind)
) STRICT, WITHOUT ROWID;

-- Tenants of which nothing is removed.
CREATE TABLE legal_holds (
    tenant_id TEXT PRIMARY KEY NOT NULL,
    since_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE session_details ADD COLUMN legal_hold INTEGER NOT NULL DEFAULT 0;

CREATE INDEX session_details_held ON session_details (tenant_id, session_id) WHERE legal_hold;

-- What is removed by its age is found by it; the other kinds have such an index already.
CREATE INDEX holds_ended ON holds (tenant_id, ended_at_us) WHERE ended_at_us IS NOT NULL;

CREATE INDEX budget_alerts_created ON budget_alerts (tenant_id, created_at_us);
