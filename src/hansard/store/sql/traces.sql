-- name: trace_save
-- A trace, new or saved again; whose it is never changes. No row comes back if it is not within
-- reach.
INSERT INTO traces AS t (
    tenant_id, trace_id, owner, session_id, model, status, started_at_us, saved_at_us, summary, body
) VALUES (
    :tenant_id, :trace_id, :owner, :session_id, :model, :status, :started_at_us, :saved_at_us,
    :summary, :body
)
ON CONFLICT (tenant_id, trace_id) DO UPDATE SET
    session_id = excluded.session_id,
    model = excluded.model,
    status = excluded.status,
    started_at_us = excluded.started_at_us,
    saved_at_us = excluded.saved_at_us,
    summary = excluded.summary,
    body = excluded.body
WHERE t.owner = :owner -- if owned
RETURNING trace_id;

-- name: trace_get
-- One trace.
SELECT body FROM traces
WHERE tenant_id = :tenant_id
AND owner = :owner -- if owner
AND trace_id = :trace_id;

-- name: trace_list
-- A page of summaries, newest start first; the cursor is the position of the last row seen.
SELECT started_at_us, trace_id, summary FROM traces
WHERE tenant_id = :tenant_id
AND owner = :owner -- if owner
AND session_id = :session_id -- if session_id
AND model = :model -- if model
AND status = :status -- if status
AND started_at_us >= :since_us -- if since_us
AND started_at_us < :until_us -- if until_us
AND (started_at_us, trace_id) < (:before_us, :before_id) -- if before
ORDER BY started_at_us DESC, trace_id DESC
LIMIT :limit OFFSET :offset;

-- name: trace_purge
-- Remove traces of no session under legal hold that were last saved before a moment, oldest first.
DELETE FROM traces
WHERE tenant_id = :tenant_id AND trace_id IN (
    SELECT trace_id FROM traces AS t
    WHERE tenant_id = :tenant_id AND saved_at_us < :before_us AND NOT EXISTS (
        SELECT 1 FROM session_details AS d
        WHERE d.tenant_id = :tenant_id AND d.session_id = t.session_id AND d.legal_hold
    )
    ORDER BY saved_at_us, trace_id
    LIMIT :limit
)
RETURNING trace_id;
