-- Feedback on answers; it names a trace and a session, which need not be there.

CREATE TABLE feedback (
    tenant_id TEXT COLLATE "C" NOT NULL,
    feedback_id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C",
    trace_id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C",
    rating BIGINT NOT NULL,
    comment TEXT,
    correction TEXT,
    model_id TEXT,
    latency_ms DOUBLE PRECISION,
    turn_index BIGINT,
    agent_type TEXT COLLATE "C",
    created_at_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, feedback_id)
);

CREATE INDEX feedback_created ON feedback (tenant_id, created_at_us, feedback_id);

CREATE INDEX feedback_owner ON feedback (tenant_id, owner, created_at_us, feedback_id);

CREATE INDEX feedback_session ON feedback (tenant_id, session_id, created_at_us, feedback_id);

CREATE INDEX feedback_trace ON feedback (tenant_id, trace_id, created_at_us, feedback_id);
