-- name: session_insert
-- A new session, unless the id is taken.
INSERT INTO sessions (
    tenant_id, session_id, owner, agent, title, model, archived, parent_session_id,
    forked_at_seq, version, message_count, turn_count, calls, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, digest,
    created_at_us, updated_at_us
) VALUES (
    :tenant_id, :session_id, :owner, :agent, :title, :model, :archived, :parent_session_id,
    :forked_at_seq, 1, :message_count, 0, 0, 0, 0, 0, 0, 0, 0, :digest, :created_at_us,
    :updated_at_us
) ON CONFLICT (tenant_id, session_id) DO NOTHING
RETURNING session_id;

-- name: session_document_insert
-- The parts of a new session that appends never touch.
INSERT INTO session_documents (tenant_id, session_id, system_prompt, metadata, cost_data)
VALUES (:tenant_id, :session_id, :system_prompt, :metadata, :cost_data);

-- name: session_get
-- A session with its documents.
SELECT s.session_id, s.owner, s.agent, s.title, s.model, d.system_prompt, d.metadata,
    d.cost_data, s.archived, s.parent_session_id, s.forked_at_seq, s.message_count,
    s.turn_count, s.version, s.calls, s.input_tokens, s.cached_tokens, s.cache_write_tokens,
    s.output_tokens, s.reasoning_tokens, s.cost_nanousd, s.digest, s.created_at_us,
    s.updated_at_us
FROM sessions AS s
JOIN session_documents AS d ON d.tenant_id = s.tenant_id AND d.session_id = s.session_id
WHERE s.tenant_id = :tenant_id AND s.session_id = :session_id;

-- name: session_list
-- A page of sessions; the cursor is the sort position of the last row seen.
SELECT s.session_id, s.owner, s.agent, s.title, s.model, NULL, d.metadata,
    '{}', s.archived, s.parent_session_id, s.forked_at_seq, s.message_count,
    s.turn_count, s.version, s.calls, s.input_tokens, s.cached_tokens, s.cache_write_tokens,
    s.output_tokens, s.reasoning_tokens, s.cost_nanousd, s.digest, s.created_at_us,
    s.updated_at_us
FROM sessions AS s
JOIN session_documents AS d ON d.tenant_id = s.tenant_id AND d.session_id = s.session_id
WHERE s.tenant_id = :tenant_id
AND s.owner = :owner -- if owner
AND s.agent = :agent -- if agent
AND s.archived = :archived -- if archived
AND s.created_at_us >= :created_after_us -- if created_after_us
AND s.created_at_us < :created_before_us -- if created_before_us
AND s.updated_at_us >= :updated_after_us -- if updated_after_us
AND (lower(s.title) LIKE :search ESCAPE '\' OR lower(s.agent) LIKE :search ESCAPE '\' OR lower(s.session_id) LIKE :search ESCAPE '\') -- if search
AND (s.created_at_us, s.session_id) > (:after_us, :after_id) -- if after_created_at
AND (s.created_at_us, s.session_id) < (:after_us, :after_id) -- if before_created_at
AND (s.updated_at_us, s.session_id) > (:after_us, :after_id) -- if after_updated_at
AND (s.updated_at_us, s.session_id) < (:after_us, :after_id) -- if before_updated_at
ORDER BY s.created_at_us, s.session_id -- if sort_created_at
ORDER BY s.created_at_us DESC, s.session_id DESC -- if sort_created_at_descending
ORDER BY s.updated_at_us, s.session_id -- if sort_updated_at
ORDER BY s.updated_at_us DESC, s.session_id DESC -- if sort_updated_at_descending
LIMIT :limit;

-- name: session_list_by_prefix
-- Sessions whose id begins like this: from the first such id on, before the first other.
SELECT session_id, owner FROM sessions
WHERE tenant_id = :tenant_id AND session_id >= :first AND session_id < :beyond
ORDER BY session_id
LIMIT :limit;

-- name: session_list_untouched
-- Sessions that nobody touched since, oldest first.
SELECT session_id, message_count, updated_at_us FROM sessions
WHERE tenant_id = :tenant_id AND updated_at_us < :before_us
AND owner = :owner -- if owner
AND (updated_at_us, session_id) > (:after_us, :after_id)
ORDER BY updated_at_us, session_id
LIMIT :limit;

-- name: session_lock
-- The parts of sessions that appends change; each row stays locked until the end.
SELECT tenant_id, session_id, owner, version, message_count, turn_count, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, digest,
    updated_at_us
FROM sessions
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_lock_free
-- The same, without the sessions that another transaction has locked.
SELECT tenant_id, session_id, owner, version, message_count, turn_count, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd, digest,
    updated_at_us
FROM sessions
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_advance
-- What appends change, as absolute values: the row is locked.
UPDATE sessions SET version = :version, message_count = :message_count,
    turn_count = :turn_count, calls = :calls, input_tokens = :input_tokens,
    cached_tokens = :cached_tokens, cache_write_tokens = :cache_write_tokens,
    output_tokens = :output_tokens, reasoning_tokens = :reasoning_tokens,
    cost_nanousd = :cost_nanousd, digest = :digest, updated_at_us = :updated_at_us
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_describe
-- What an update changes.
UPDATE sessions SET title = :title, archived = :archived, version = :version,
    updated_at_us = :updated_at_us
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_document_update
-- The documents that an update changes.
UPDATE session_documents SET metadata = :metadata, cost_data = :cost_data
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_stamp
-- Times and archived flag of an imported session.
UPDATE sessions SET archived = :archived, created_at_us = :created_at_us,
    updated_at_us = :updated_at_us
WHERE tenant_id = :tenant_id AND session_id = :session_id;

-- name: session_delete
-- A session; all that hangs on it goes by cascade.
DELETE FROM sessions WHERE tenant_id = :tenant_id AND session_id = :session_id;
