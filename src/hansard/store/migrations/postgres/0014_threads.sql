-- Threads: sessions that are alive. A thread's messages, turns and usage are those of its
-- journal, the session of the same id.

-- seq is the number of the last event, turn_id the turn that is under way. holder is the server
-- that may write until lease_until_us, under the number fence, and holder_url where it answers.
-- context is JSON: what stands for the beginning of the history; carried too: what the session had
-- used that it goes on with. So are settings, how the agent is to work, and goal.
CREATE TABLE threads (
    tenant_id TEXT COLLATE "C" NOT NULL,
    thread_id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C",
    agent TEXT NOT NULL,
    archived BOOLEAN NOT NULL,
    session_id TEXT COLLATE "C",
    parent_id TEXT COLLATE "C",
    seq BIGINT NOT NULL,
    turn_count BIGINT NOT NULL,
    turn_id TEXT COLLATE "C",
    latest_turn_id TEXT COLLATE "C",
    latest_status TEXT,
    context TEXT,
    carried TEXT,
    settings TEXT NOT NULL,
    goal TEXT,
    holder TEXT,
    holder_url TEXT,
    fence BIGINT NOT NULL,
    lease_until_us BIGINT NOT NULL,
    updated_at_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, thread_id),
    FOREIGN KEY (tenant_id, thread_id) REFERENCES sessions ON DELETE CASCADE
);

CREATE INDEX threads_updated ON threads (tenant_id, updated_at_us, thread_id);

CREATE INDEX threads_saved ON threads (tenant_id, session_id) WHERE session_id IS NOT NULL;

CREATE INDEX threads_running ON threads (tenant_id, lease_until_us) WHERE turn_id IS NOT NULL;

-- settings, as they are in force, error and usage are JSON; started_seq is the number of the turn's
-- first event, message_index where its messages begin in the journal.
CREATE TABLE thread_turns (
    tenant_id TEXT COLLATE "C" NOT NULL,
    thread_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    turn_id TEXT COLLATE "C" NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    prompt TEXT NOT NULL,
    settings TEXT NOT NULL,
    error TEXT,
    usage TEXT,
    steer_count BIGINT NOT NULL,
    started_seq BIGINT NOT NULL,
    message_index BIGINT NOT NULL,
    started_at_us BIGINT NOT NULL,
    ended_at_us BIGINT,
    PRIMARY KEY (tenant_id, thread_id, number),
    FOREIGN KEY (tenant_id, thread_id) REFERENCES threads ON DELETE CASCADE
);

CREATE UNIQUE INDEX thread_turns_id ON thread_turns (tenant_id, thread_id, turn_id);

CREATE TABLE thread_events (
    tenant_id TEXT COLLATE "C" NOT NULL,
    thread_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    turn_id TEXT COLLATE "C",
    item_id TEXT COLLATE "C",
    payload TEXT NOT NULL,
    created_at_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, thread_id, seq),
    FOREIGN KEY (tenant_id, thread_id) REFERENCES threads ON DELETE CASCADE
);
