-- Traces; body is what one is got as, summary what it is listed as, both JSON. started_at_us is
-- the client's time, saved_at_us is ours: how long a trace is kept does not hang on the former.

CREATE TABLE traces (
    tenant_id TEXT COLLATE "C" NOT NULL,
    trace_id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C",
    session_id TEXT COLLATE "C",
    model TEXT,
    status TEXT NOT NULL,
    started_at_us BIGINT NOT NULL,
    saved_at_us BIGINT NOT NULL,
    summary TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant_id, trace_id)
);

CREATE INDEX traces_started ON traces (tenant_id, started_at_us, trace_id);

CREATE INDEX traces_owner ON traces (tenant_id, owner, started_at_us, trace_id);

CREATE INDEX traces_session ON traces (tenant_id, session_id, started_at_us, trace_id);

CREATE INDEX traces_saved ON traces (tenant_id, saved_at_us, trace_id);
