-- Feedback on answers; it names a trace and a session, which need not be there.

CREATE TABLE feedback (
    tenant_id TEXT NOT NULL,
    feedback_id TEXT NOT NULL,
    owner TEXT,
    trace_id TEXT NOT NULL,
    session_id TEXT,
    rating INTEGER NOT NULL,
    comment TEXT,
    correction TEXT,
    model_id TEXT,
    latency_ms REAL,
    turn_index INTEGER,
    agent_type TEXT,
    created_at_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, feedback_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX feedback_created ON feedback (tenant_id, created_at_us, feedback_id);

CREATE INDEX feedback_owner ON feedback (tenant_id, owner, created_at_us, feedback_id);

CREATE INDEX feedback_session ON feedback (tenant_id, session_id, created_at_us, feedback_id);

CREATE INDEX feedback_trace ON feedback (tenant_id, trace_id, created_at_us, feedback_id);
