-- name: session_insert
-- A new session, unless the id is taken.
INSERT INTO sessions (
    tenant_id, session_id, owner, agent, version, message_count, turn_count, calls,
    input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    cost_nanousd, unpriced_calls, digest, updated_at_us
) VALUES (
    :tenant_id, :session_id, :owner, :agent, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, :digest,
    :updated_at_us
) ON CONFLICT (tenant_id, session_id) DO NOTHING
RETURNING session_id;

-- name: session_details_insert
-- What describes a new session.
INSERT INTO session_details (
    tenant_id, session_id, owner, agent, title, model, system_prompt, metadata, cost_data,
    archived, parent_session_id, forked_at_seq, created_at_us
) VALUES (
    :tenant_id, :session_id, :owner, :agent, :title, :model, :system_prompt, :metadata,
    :cost_data, :archived, :parent_session_id, :forked_at_seq, :created_at_us
);

-- name: session_get
-- A session with all that describes it.
SELECT s.session_id, s.owner, d.agent, d.title, d.model, d.system_prompt, d.metadata, d.cost_data,
    d.archived, d.parent_session_id, d.forked_at_seq, s.message_count, s.turn_count, s.version,
    s.calls, s.input_tokens, s.cached_tokens, s.cache_write_tokens, s.output_tokens,
    s.reasoning_tokens, s.cost_nanousd, s.unpriced_calls, s.digest, d.created_at_us,
    s.updated_at_us, d.legal_hold
FROM sessions AS s
JOIN session_details AS d ON d.tenant_id = s.tenant_id AND d.session_id = s.session_id
WHERE s.tenant_id = :tenant_id AND s.session_id = :session_id;

-- name: session_list
-- A page of sessions; the cursor is the sort position of the last row seen. The tenant is
-- named twice, so that either table can lead. Journals of threads are known by their ids.
SELECT s.session_id, s.owner, d.agent, d.title, d.model, NULL, d.metadata, '{}',
    d.archived, d.parent_session_id, d.forked_at_seq, s.message_count, s.turn_count, s.version,
    s.calls, s.input_tokens, s.cached_tokens, s.cache_write_tokens, s.output_tokens,
    s.reasoning_tokens, s.cost_nanousd, s.unpriced_calls, s.digest, d.created_at_us,
    s.updated_at_us, d.legal_hold
FROM sessions AS s
JOIN session_details AS d ON d.tenant_id = s.tenant_id AND d.session_id = s.session_id
WHERE s.tenant_id = :tenant_id AND d.tenant_id = :tenant_id
AND NOT (substr(s.session_id, 1, 4) = 'thr_' AND length(s.session_id) = 30
    AND substr(s.session_id, 5) = upper(substr(s.session_id, 5)))
AND d.owner = :owner -- if owner
AND d.agent = :agent -- if agent
AND d.archived = :archived -- if archived
AND d.created_at_us >= :created_after_us -- if created_after_us
AND d.created_at_us < :created_before_us -- if created_before_us
AND s.updated_at_us >= :updated_after_us -- if updated_after_us
AND (lower(d.title) LIKE :search ESCAPE '\' OR lower(d.agent) LIKE :search ESCAPE '\' OR lower(s.session_id) LIKE :search ESCAPE '\') -- if search
AND (d.created_at_us, d.session_id) > (:after, :after_id) -- if after_created_at
AND (d.created_at_us, d.session_id) < (:after, :after_id) -- if before_created_at
AND (s.updated_at_us, s.session_id) > (:after, :after_id) -- if after_updated_at
AND (s.updated_at_us, s.session_id) < (:after, :after_id) -- if before_updated_at
AND (coalesce(d.title, ''), d.session_id) > (:after, :after_id) -- if after_title
AND (coalesce(d.title, ''), d.session_id) < (:after, :after_id) -- if before_title
AND (s.message_count, s.session_id) > (:after, :after_id) -- if after_message_count
AND (s.message_count, s.session_id) < (:after, :after_id) -- if before_message_count
ORDER BY d.created_at_us, d.session_id -- if sort_created_at
ORDER BY d.created_at_us DESC, d.session_id DESC -- if sort_created_at_descending
ORDER BY s.updated_at_us, s.session_id -- if sort_updated_at
ORDER BY s.updated_at_us DESC, s.session_id DESC -- if sort_updated_at_descending
ORDER BY coalesce(d.title, ''), d.session_id -- if sort_title
ORDER BY coalesce(d.title, '') DESC, d.session_id DESC -- if sort_title_descending
ORDER BY s.message_count, s.session_id -- if sort_message_count
ORDER BY s.message_count DESC, s.session_id DESC -- if sort_message_count_descending
LIMIT :limit;

-- name: session_list_by_prefix
-- Sessions whose id begins like this: from the first such id on, before the first other.
SELECT session_id FROM sessions
WHERE tenant_id = :tenant_id AND session_id >= :first AND session_id < :beyond
AND owner = :owner -- if owner
ORDER BY session_id
LIMIT :limit;

-- name: session_lock
-- The parts of sessions that appends change; each row stays locked until the end.
SELECT tenant_id, session_id, owner, agent, version, message_count, turn_count, calls,
    input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    cost_nanousd, unpriced_calls, digest, updated_at_us
FROM sessions
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_lock_free
-- The same, without the sessions that another transaction has locked.
SELECT tenant_id, session_id, owner, agent, version, message_count, turn_count, calls,
    input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    cost_nanousd, unpriced_calls, digest, updated_at_us
FROM sessions
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_advance
-- What appends change, as absolute values: the row is locked.
UPDATE sessions SET version = :version, message_count = :message_count,
    turn_count = :turn_count, calls = :calls, input_tokens = :input_tokens,
    cached_tokens = :cached_tokens, cache_write_tokens = :cache_write_tokens,
    output_tokens = :output_tokens, reasoning_tokens = :reasoning_tokens,
    cost_nanousd = :cost_nanousd, unpriced_calls = :unpriced_calls, digest = :digest,
    updated_at_us = :updated_at_us
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_touch
-- A new version of a locked session, of which only the description changes.
UPDATE sessions SET version = :version, updated_at_us = :updated_at_us
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_describe
-- What a session is called, which model answers in it, what that is told first, what it costs.
UPDATE session_details SET title = :title, model = :model, system_prompt = :system_prompt,
    cost_data = :cost_data
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_details_update
-- What an update changes.
UPDATE session_details SET title = :title, archived = :archived, metadata = :metadata,
    cost_data = :cost_data, legal_hold = :legal_hold
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_details_stamp
-- Archived flag and time of an imported session.
UPDATE session_details SET archived = :archived, created_at_us = :created_at_us
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_delete
-- A session; all that hangs on it goes by cascade.
DELETE FROM sessions WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: cost_data_find
-- The clients' own objects.
SELECT tenant_id, session_id, cost_data FROM session_details
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: cost_data_put
-- The same, with new contents: the session is locked.
UPDATE session_details SET cost_data = :cost_data
WHERE tenant_id = :tenant_id AND session_id = :session_id;
