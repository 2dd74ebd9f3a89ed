-- name: thread_insert
-- A new thread; its journal is there.
INSERT INTO threads (
    tenant_id, thread_id, owner, agent, archived, session_id, parent_id, seq, turn_count,
    context, carried, settings, fence, lease_until_us, updated_at_us
) VALUES (
    :tenant_id, :thread_id, :owner, :agent, :archived, :session_id, :parent_id, 0, :turn_count,
    :context, :carried, :settings, 0, 0, :updated_at_us
);

-- name: thread_get
-- A thread, with what its journal says of it.
SELECT t.thread_id, t.owner, t.agent, d.title, d.model, d.system_prompt, t.archived, t.session_id,
    t.parent_id, t.seq, t.turn_count, t.turn_id, t.latest_turn_id, t.latest_status, t.context,
    t.carried, t.settings, t.goal, t.holder, t.holder_url, t.fence, t.lease_until_us,
    s.message_count, s.calls, s.input_tokens, s.cached_tokens, s.cache_write_tokens,
    s.output_tokens, s.reasoning_tokens, s.cost_nanousd, s.unpriced_calls, d.created_at_us, t.updated_at_us
FROM threads AS t
JOIN sessions AS s ON s.tenant_id = t.tenant_id AND s.session_id = t.thread_id
JOIN session_details AS d ON d.tenant_id = t.tenant_id AND d.session_id = t.thread_id
WHERE t.tenant_id = :tenant_id AND t.thread_id = :thread_id;

-- name: thread_list
-- A page of threads, the latest changed first.
SELECT t.thread_id, t.owner, t.agent, d.title, d.model, NULL, t.archived, t.session_id,
    t.parent_id, t.seq, t.turn_count, t.turn_id, t.latest_turn_id, t.latest_status, t.context,
    t.carried, t.settings, t.goal, t.holder, t.holder_url, t.fence, t.lease_until_us,
    s.message_count, s.calls, s.input_tokens, s.cached_tokens, s.cache_write_tokens,
    s.output_tokens, s.reasoning_tokens, s.cost_nanousd, s.unpriced_calls, d.created_at_us, t.updated_at_us
FROM threads AS t
JOIN sessions AS s ON s.tenant_id = t.tenant_id AND s.session_id = t.thread_id
JOIN session_details AS d ON d.tenant_id = t.tenant_id AND d.session_id = t.thread_id
WHERE t.tenant_id = :tenant_id AND s.tenant_id = :tenant_id AND d.tenant_id = :tenant_id
AND t.owner = :owner -- if owner
AND t.archived = :archived -- if archived
AND (lower(d.title) LIKE :search ESCAPE '\' OR lower(t.agent) LIKE :search ESCAPE '\' OR lower(t.thread_id) LIKE :search ESCAPE '\') -- if search
AND (t.updated_at_us, t.thread_id) < (:before_us, :before_id) -- if before
ORDER BY t.updated_at_us DESC, t.thread_id DESC
LIMIT :limit;

-- name: thread_lock
-- Heads of threads, locked in one order until the end of the transaction.
SELECT tenant_id, thread_id, owner, seq, turn_count, turn_id, latest_turn_id, latest_status, fence,
    updated_at_us FROM threads
WHERE tenant_id = :tenant_id AND thread_id = :thread_id;

-- name: thread_lock_free
-- The same, but for those that another transaction has locked.
SELECT tenant_id, thread_id, owner, seq, turn_count, turn_id, latest_turn_id, latest_status, fence,
    updated_at_us FROM threads
WHERE tenant_id = :tenant_id AND thread_id = :thread_id;

-- name: thread_advance
-- Move heads on that were locked.
UPDATE threads SET seq = :seq, turn_count = :turn_count, turn_id = :turn_id,
    latest_turn_id = :latest_turn_id, latest_status = :latest_status,
    updated_at_us = :updated_at_us
WHERE tenant_id = :tenant_id AND thread_id = :thread_id;

-- name: thread_lease
-- Give a thread to a server, under a fence of its own.
UPDATE threads SET fence = fence + 1,
    holder = :holder, holder_url = :holder_url, lease_until_us = :lease_until_us
WHERE tenant_id = :tenant_id AND thread_id = :thread_id
    AND (holder IS NULL OR holder = :holder OR lease_until_us < :now_us)
RETURNING fence;

-- name: thread_renew
-- Renew the leases of a server that have not ended.
UPDATE threads SET lease_until_us = :lease_until_us
WHERE tenant_id = :tenant_id AND thread_id = :thread_id AND holder = :holder AND fence = :fence
RETURNING tenant_id, thread_id;

-- name: thread_release
-- Let go of a thread.
UPDATE threads SET holder = NULL, holder_url = NULL, lease_until_us = 0
WHERE tenant_id = :tenant_id AND thread_id = :thread_id AND holder = :holder AND fence = :fence;

-- name: thread_find_lost
-- Threads with a turn under way that nobody holds any more.
SELECT tenant_id, thread_id, owner FROM threads
WHERE turn_id IS NOT NULL AND lease_until_us < :now_us
ORDER BY lease_until_us
LIMIT :limit;

-- name: thread_change
-- Change what a thread says of itself; a session that is gone it was not saved as.
UPDATE threads SET archived = :archived, context = :context, settings = :settings, goal = :goal,
    session_id = (
        SELECT s.session_id FROM sessions AS s
        WHERE s.tenant_id = :tenant_id AND s.session_id = :session_id
    )
WHERE tenant_id = :tenant_id AND thread_id = :thread_id;

-- name: thread_unlink
-- No thread is saved as a session that goes.
UPDATE threads SET session_id = NULL WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: thread_context_put
-- What stands for the beginning of histories.
UPDATE threads SET context = :context WHERE tenant_id = :tenant_id AND thread_id = :thread_id;

-- name: thread_turn_insert
-- A turn that begins.
INSERT INTO thread_turns (
    tenant_id, thread_id, number, turn_id, kind, status, prompt, settings, steer_count,
    started_seq, message_index, started_at_us
) VALUES (
    :tenant_id, :thread_id, :number, :turn_id, :kind, 'in_progress', :prompt, :settings, 0,
    :started_seq, :message_index, :started_at_us
);

-- name: thread_turn_end
-- Turns that end.
UPDATE thread_turns SET status = :status, error = :error, usage = :usage,
    steer_count = :steer_count, ended_at_us = :ended_at_us
WHERE tenant_id = :tenant_id AND thread_id = :thread_id AND turn_id = :turn_id;

-- name: thread_turn_list
-- Turns of a thread before a number, the latest first.
SELECT number, turn_id, kind, status, prompt, settings, error, usage, steer_count, started_seq,
    message_index, started_at_us, ended_at_us FROM thread_turns
WHERE tenant_id = :tenant_id AND thread_id = :thread_id AND number < :before
ORDER BY number DESC
LIMIT :limit;

-- name: thread_turn_get
-- One turn of a thread.
SELECT number, turn_id, kind, status, prompt, settings, error, usage, steer_count, started_seq,
    message_index, started_at_us, ended_at_us FROM thread_turns
WHERE tenant_id = :tenant_id AND thread_id = :thread_id AND turn_id = :turn_id;

-- name: thread_turn_copy
-- Turns of a thread for one that is forked from it, as far as its messages go; their events stay
-- where they are.
INSERT INTO thread_turns (
    tenant_id, thread_id, number, turn_id, kind, status, prompt, settings, error, usage,
    steer_count, started_seq, message_index, started_at_us, ended_at_us
)
SELECT t.tenant_id, s.session_id, t.number, t.turn_id, t.kind, t.status, t.prompt, t.settings,
    t.error, t.usage, t.steer_count, 0, t.message_index, t.started_at_us, t.ended_at_us
FROM thread_turns AS t
JOIN sessions AS s ON s.tenant_id = t.tenant_id AND s.session_id = :fork_id
WHERE t.tenant_id = :tenant_id AND t.thread_id = :thread_id
    AND t.message_index < s.message_count AND t.status <> 'in_progress';

-- name: thread_cut
-- What users said that began a turn, the latest first.
SELECT m.seq, m.body FROM messages AS m
LEFT JOIN messages AS b ON b.tenant_id = m.tenant_id AND b.session_id = m.session_id
    AND b.seq = m.seq - 1
WHERE m.tenant_id = :tenant_id AND m.session_id = :session_id AND m.role = 'user'
    AND (m.turn_id IS NULL OR b.turn_id IS NULL OR b.turn_id <> m.turn_id)
ORDER BY m.seq DESC
LIMIT :limit;

-- name: thread_event_insert
-- Add to logs.
INSERT INTO thread_events (
    tenant_id, thread_id, seq, kind, turn_id, item_id, payload, created_at_us
) VALUES (
    :tenant_id, :thread_id, :seq, :kind, :turn_id, :item_id, :payload, :created_at_us
);

-- name: thread_event_list
-- A thread's events after a number.
SELECT seq, kind, turn_id, item_id, payload, created_at_us FROM thread_events
WHERE tenant_id = :tenant_id AND thread_id = :thread_id AND seq > :after
ORDER BY seq
LIMIT :limit;
