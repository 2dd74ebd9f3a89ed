-- The record: sessions with their messages, turns, usage and events.
-- tenant_id and session_id lead every key; times and ids come from the caller.

CREATE TABLE installation (
    name TEXT PRIMARY KEY NOT NULL,
    value BYTEA NOT NULL
);

-- What every append moves forward, apart from what describes the session: a row that is
-- written all the time is short and stands in few indexes.
CREATE TABLE sessions (
    tenant_id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C",
    version BIGINT NOT NULL,
    message_count BIGINT NOT NULL,
    turn_count BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_nanousd BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    updated_at_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, session_id)
);

CREATE INDEX sessions_updated ON sessions (tenant_id, updated_at_us, session_id);

-- What describes a session; owner stands here too, since lists are filtered by it.
CREATE TABLE session_details (
    tenant_id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C",
    agent TEXT COLLATE "C",
    title TEXT COLLATE "C",
    model TEXT,
    system_prompt TEXT,
    metadata TEXT NOT NULL,
    cost_data TEXT NOT NULL,
    archived BOOLEAN NOT NULL,
    parent_session_id TEXT COLLATE "C",
    forked_at_seq BIGINT,
    created_at_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
);

CREATE INDEX session_details_created ON session_details (tenant_id, created_at_us, session_id);

CREATE INDEX session_details_owner
ON session_details (tenant_id, owner, created_at_us, session_id);

CREATE INDEX session_details_agent
ON session_details (tenant_id, agent, created_at_us, session_id);

-- body is the message object as given: TEXT, since JSON types reorder keys and numbers.
CREATE TABLE messages (
    tenant_id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    message_id TEXT COLLATE "C" NOT NULL,
    turn_id TEXT COLLATE "C",
    role TEXT,
    body TEXT NOT NULL,
    digest BYTEA NOT NULL,
    created_at_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, session_id, seq),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
);

-- receipt is what the caller was told, and is told again.
CREATE TABLE turns (
    tenant_id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    turn_id TEXT COLLATE "C" NOT NULL,
    status TEXT NOT NULL,
    content_hash BYTEA NOT NULL,
    first_seq BIGINT,
    last_seq BIGINT,
    receipt TEXT NOT NULL,
    created_at_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, session_id, turn_id),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
);

-- receipt is what the caller was told of a call outside any turn, and is told again.
CREATE TABLE usage_entries (
    tenant_id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    turn_id TEXT COLLATE "C",
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_nanousd BIGINT NOT NULL,
    recorded_at_us BIGINT NOT NULL,
    receipt TEXT,
    PRIMARY KEY (tenant_id, session_id, event_id),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
);

-- Sums of usage_entries, kept in the transaction that adds an entry.
CREATE TABLE model_usage (
    tenant_id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    calls BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_nanousd BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, session_id, provider, model),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
);

-- number is the session's version after the change.
CREATE TABLE events (
    tenant_id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    turn_id TEXT COLLATE "C",
    first_seq BIGINT,
    last_seq BIGINT,
    message_count BIGINT NOT NULL,
    created_at_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, session_id, number),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
);
