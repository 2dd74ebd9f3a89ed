-- The record: sessions with their messages, turns, usage and events.
-- tenant_id and session_id lead every key; times and ids come from the caller.

CREATE TABLE installation (
    name TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What every append moves forward, apart from what describes the session: a row that is
-- written all the time is short and stands in few indexes.
CREATE TABLE sessions (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    owner TEXT,
    version INTEGER NOT NULL,
    message_count INTEGER NOT NULL,
    turn_count INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    digest BLOB NOT NULL,
    updated_at_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, session_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_updated ON sessions (tenant_id, updated_at_us, session_id);

-- What describes a session; owner stands here too, since lists are filtered by it.
CREATE TABLE session_details (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    owner TEXT,
    agent TEXT,
    title TEXT,
    model TEXT,
    system_prompt TEXT,
    metadata TEXT NOT NULL,
    cost_data TEXT NOT NULL,
    archived INTEGER NOT NULL,
    parent_session_id TEXT,
    forked_at_seq INTEGER,
    created_at_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX session_details_created ON session_details (tenant_id, created_at_us, session_id);

CREATE INDEX session_details_owner
ON session_details (tenant_id, owner, created_at_us, session_id);

CREATE INDEX session_details_agent
ON session_details (tenant_id, agent, created_at_us, session_id);

-- body is the message object as given: TEXT, since JSON types reorder keys and numbers.
CREATE TABLE messages (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    turn_id TEXT,
    role TEXT,
    body TEXT NOT NULL,
    digest BLOB NOT NULL,
    created_at_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, session_id, seq),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
) STRICT;

-- receipt is what the caller was told, and is told again.
CREATE TABLE turns (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    status TEXT NOT NULL,
    content_hash BLOB NOT NULL,
    first_seq INTEGER,
    last_seq INTEGER,
    receipt TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, session_id, turn_id),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- receipt is what the caller was told of a call outside any turn, and is told again.
CREATE TABLE usage_entries (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    turn_id TEXT,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    recorded_at_us INTEGER NOT NULL,
    receipt TEXT,
    PRIMARY KEY (tenant_id, session_id, event_id),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Sums of usage_entries, kept in the transaction that adds an entry.
CREATE TABLE model_usage (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, session_id, provider, model),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- number is the session's version after the change.
CREATE TABLE events (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    turn_id TEXT,
    first_seq INTEGER,
    last_seq INTEGER,
    message_count INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, session_id, number),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
